"""Rows as a daemon or an operator would have left them, for tests that begin in the middle."""

from __future__ import annotations

from typing import Any

from psycopg import sql

from vodtender.store import workers
from vodtender.store.database import Database


def add_vod(database: Database, twitch_vod_id: str, /, **columns: Any) -> int:
    """Inserts a VOD with these columns; returns its row's id."""
    values = {"twitch_vod_id": twitch_vod_id, "channel": "alice", **columns}
    query = sql.SQL("INSERT INTO vods ({}) VALUES ({}) RETURNING id").format(
        sql.SQL(", ").join(map(sql.Identifier, values)),
        sql.SQL(", ").join(map(sql.Placeholder, values)),
    )
    with database.transaction() as connection:
        row = connection.execute(query, values).fetchone()
    assert row is not None
    vod_id: int = row["id"]
    return vod_id


def add_worker(database: Database, worker_id: str) -> None:
    """Registers a daemon that lives."""
    with database.transaction() as connection:
        workers.register(
            connection,
            worker_id=worker_id,
            host="host",
            pid=1,
            version="1",
            directory_id="directory",
            directory="/data",
            channels=["alice"],
        )


def rows(database: Database, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """What a query answers, as plain tuples."""
    with database.transaction() as connection:
        return [tuple(row.values()) for row in connection.execute(query, parameters).fetchall()]
