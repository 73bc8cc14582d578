"""Waiting for locks, but not for long: who waits for a table makes everybody behind wait, too.

A dump holds a lock on every table for as long as it runs. A statement that needs a stronger one
queues behind it, and all readers and writers queue behind that statement.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg import errors as pg

from vodtender.errors import Locked
from vodtender.store.database import Connection, first_line

LOOKING_SECONDS = 5.0
"""How long those wait that only look."""


@contextmanager
def impatient(connection: Connection, seconds: float = LOOKING_SECONDS) -> Iterator[None]:
    """For the rest of the transaction, no lock is waited for longer than this.

    Raises:
        Locked: one could not be had.
    """
    set_patience(connection, seconds, local=True)
    with lock_errors():
        yield


def set_patience(connection: Connection, seconds: float, *, local: bool) -> None:
    """The same without a translation of the error; without `local` for the whole session, which
    only a connection of one's own past any pooler has."""
    connection.execute(
        "SELECT set_config('lock_timeout', %s, %s)", (f"{max(1, round(seconds * 1000))}ms", local)
    )


@contextmanager
def lock_errors() -> Iterator[None]:
    """A lock that could not be had in time becomes Locked."""
    try:
        yield
    except pg.LockNotAvailable as error:
        raise Locked(
            f"A lock that is needed was not to be had in time: {first_line(error)}.",
            hint="who is connected: vodtender db connections",
        ) from error
