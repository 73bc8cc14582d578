"""What becomes of a Ctrl-C: whoever typed it is told what it left behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from vodtender.errors import Stopped


@dataclass(slots=True)
class Replacement:
    """Of the database that people use, by another: `begun` is set right before."""

    begun: bool = False


@contextmanager
def told_if_interrupted() -> Iterator[Replacement]:
    """While a database is made that is to take another's place. Raises Stopped."""
    replacement = Replacement()
    try:
        yield replacement
    except KeyboardInterrupt:
        if replacement.begun:
            raise interrupted(
                "Interrupted while the new database took the old one's place: one of the two is"
                " there, whole.",
                hint="which one: vodtender status",
            ) from None
        raise interrupted("Interrupted. The database was not changed.") from None


def interrupted(message: str, *, hint: str = "type it again") -> Stopped:
    """The error for that."""
    return Stopped(message, hint=hint, code="interrupted")
