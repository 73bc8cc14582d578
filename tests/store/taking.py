"""Workers that live, and the VODs that they take out of the queue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.store.rows import DIRECTORY, WORKER
from vodtender.model.vod import Stage, Vod
from vodtender.store import queue, workers
from vodtender.store.database import Connection
from vodtender.store.queue import DOWNLOADS


def take(
    connection: Connection, stages: Sequence[Stage] = DOWNLOADS, **different: Any
) -> Vod | None:
    arguments: dict[str, Any] = {
        "worker_id": WORKER,
        "directory_id": DIRECTORY,
        "lease_seconds": 60,
        "channels": ["alice", "bob"],
        **different,
    }
    return queue.take(connection, stages, **arguments)


def taken(connection: Connection, stages: Sequence[Stage] = DOWNLOADS, **different: Any) -> Vod:
    vod = take(connection, stages, **different)
    assert vod is not None
    return vod


def live(connection: Connection, worker_id: str, directory_id: str) -> None:
    workers.register(
        connection,
        worker_id=worker_id,
        host="host",
        pid=1,
        version="1",
        directory_id=directory_id,
        directory="/data",
        channels=["alice"],
    )
