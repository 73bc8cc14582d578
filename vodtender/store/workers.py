"""The daemons that work on this database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from vodtender.store.database import Connection


@dataclass(frozen=True, slots=True)
class Worker:
    """One running daemon, as it last reported."""

    worker_id: str
    host: str
    pid: int
    version: str
    directory_id: str
    directory: str
    channels: Sequence[str]
    started_at: datetime
    heartbeat_at: datetime
    draining: bool
    disk_free_bytes: int | None
    disk_total_bytes: int | None
    downloads_paused: str | None
    seconds_since_heartbeat: float


def register(
    connection: Connection,
    *,
    worker_id: str,
    host: str,
    pid: int,
    version: str,
    directory_id: str,
    directory: str,
    channels: Sequence[str],
) -> None:
    """A daemon has started; those that were not heard of for days are forgotten."""
    connection.execute("DELETE FROM workers WHERE heartbeat_at < now() - interval '7 days'")
    connection.execute(
        """
        INSERT INTO workers (worker_id, host, pid, version, directory_id, directory, channels)
        VALUES (%s, %s, %s, %s, %s, %s, %s)
        ON CONFLICT (worker_id) DO UPDATE SET heartbeat_at = now()
        """,
        (worker_id, host, pid, version, directory_id, directory, list(channels)),
    )


def heartbeat(
    connection: Connection,
    worker_id: str,
    *,
    disk_free_bytes: int,
    disk_total_bytes: int,
    downloads_paused: str | None,
) -> bool | None:
    """Reports that it lives; returns whether it is to take nothing new, or None if nobody
    knows this worker (any more)."""
    row = connection.execute(
        """
        UPDATE workers SET heartbeat_at = now(), disk_free_bytes = %s, disk_total_bytes = %s,
            downloads_paused = %s
        WHERE worker_id = %s RETURNING draining
        """,
        (disk_free_bytes, disk_total_bytes, downloads_paused, worker_id),
    ).fetchone()
    return None if row is None else row["draining"]


def remove(connection: Connection, worker_id: str) -> None:
    """It has ended, or is known to be dead."""
    connection.execute("DELETE FROM workers WHERE worker_id = %s", (worker_id,))


def find(connection: Connection, *, heard_within_seconds: float | None = None) -> list[Worker]:
    """The known daemons, those heard of last first."""
    with connection.cursor(row_factory=class_row(Worker)) as cursor:
        return cursor.execute(
            """
            SELECT *, extract(epoch FROM now() - heartbeat_at)::float8
                AS seconds_since_heartbeat
            FROM workers
            WHERE %(within)s::float8 IS NULL
                OR heartbeat_at > now() - make_interval(secs => %(within)s)
            ORDER BY heartbeat_at DESC, worker_id
            """,
            {"within": heard_within_seconds},
        ).fetchall()


def count(connection: Connection, *, heard_within_seconds: float) -> int:
    """How many live, in whatever schema the database has: none where there is no such table."""
    known = connection.execute("SELECT to_regclass('workers') IS NOT NULL AS there").fetchone()
    if known is None or not known["there"]:
        return 0
    return len(find(connection, heard_within_seconds=heard_within_seconds))


def in_hand(connection: Connection) -> dict[str, list[str]]:
    """The Twitch numbers of the VODs that each worker works on; what its death or silence has
    freed is not in its hand."""
    rows = connection.execute(
        "SELECT worker_id, array_agg(twitch_vod_id ORDER BY id) AS vods FROM vods"
        " WHERE worker_id IS NOT NULL AND lease_expires_at > now() GROUP BY 1"
    )
    return {row["worker_id"]: row["vods"] for row in rows}


def is_draining(connection: Connection, worker_id: str) -> bool:
    """Whether it has been told to take nothing new."""
    row = connection.execute(
        "SELECT draining FROM workers WHERE worker_id = %s", (worker_id,)
    ).fetchone()
    return row is not None and row["draining"]


def set_draining(connection: Connection, worker_id: str) -> None:
    """Tells a daemon to take nothing new."""
    connection.execute("UPDATE workers SET draining = true WHERE worker_id = %s", (worker_id,))
