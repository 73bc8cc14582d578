"""What becomes of a Ctrl-C: whoever typed it is told what it left behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from vodtender.errors import Stopped


@dataclass(slots=True)
class Change:
    """Set `begun` right before the database that people use is replaced."""

    begun: bool = False


@contextmanager
def told_if_interrupted() -> Iterator[Change]:
    """While a database is made that is to take another's place. Raises Stopped."""
    change = Change()
    try:
        yield change
    except KeyboardInterrupt:
        if change.begun:
            raise interrupted(
                "Interrupted while the new database took the old one's place: one of the two is"
                " there, whole.",
                hint="which one: vodtender status",
            ) from None
        raise interrupted("Interrupted. The database was not changed.") from None


def interrupted(message: str, *, hint: str = "type it again") -> Stopped:
    """The error for that."""
    return Stopped(message, hint=hint, code="interrupted")
