"""A worker makes itself known to the others, and leaves nothing claimed behind."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from vodtender import __version__
from vodtender.errors import DatabaseUnavailable
from vodtender.pipeline.workplace import Workplace
from vodtender.store import channels, claims, leases, workers
from vodtender.store.database import Connection, Database


@contextmanager
def registered(place: Workplace) -> Iterator[None]:
    """Known for as long as the block lasts. Where the database is away at its end, the lock's file
    stays, by which the next worker here finds that this one is dead and buries it. Raises
    DatabaseUnavailable."""
    lock = place.directory.register(place.worker_id)
    try:
        with place.database.transaction() as connection:
            enter(connection, place)
            channels.watch(connection, place.settings.channels)
        yield
    finally:
        with suppress(DatabaseUnavailable):
            _leave(place.database, place.worker_id)
            place.directory.unregister(place.worker_id)
        os.close(lock)


def enter(connection: Connection, place: Workplace) -> None:
    """Also when the row is gone: a database that was restored does not know this worker."""
    workers.register(
        connection,
        worker_id=place.worker_id,
        host=socket.gethostname(),
        pid=os.getpid(),
        version=__version__,
        directory_id=place.directory.id,
        directory=str(place.directory.root),
        channels=place.settings.channels,
    )


def _leave(database: Database, worker_id: str) -> None:
    with database.transaction(timeout_seconds=10) as connection:
        claims.release_all(connection, worker_id)
        leases.release_all(connection, worker_id)
        workers.remove(connection, worker_id)
