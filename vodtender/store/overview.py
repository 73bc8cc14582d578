"""What `status` and the metrics say, at a cost that does not grow with the archive."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from vodtender.store.database import Connection

_ENOUGH = 1000
"""Longer lists are counted no further."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """A VOD that moves now."""

    vod_id: str
    channel: str
    title: str
    direction: str
    phase: str
    bytes_done: int
    bytes_total: int | None
    bytes_per_second: float | None
    started_at: datetime
    updated_at: datetime
    worker_id: str | None

    @property
    def seconds_left(self) -> float | None:
        """At the present speed; None: nobody can say."""
        if self.bytes_total is None or not self.bytes_per_second:
            return None
        return max(0, self.bytes_total - self.bytes_done) / self.bytes_per_second


@dataclass(frozen=True, slots=True)
class ErrorLine:
    """A VOD with a problem."""

    vod_id: str
    channel: str
    title: str
    state: str
    error: str
    code: str | None
    updated_at: datetime
    next_try_at: datetime | None


@dataclass(frozen=True, slots=True)
class Vanishing:
    """A VOD that Twitch deletes soon and that is not on disk."""

    vod_id: str
    channel: str
    title: str
    state: str
    vanishes_at: datetime


def counts(connection: Connection) -> dict[str, dict[str, int]]:
    """How many VODs are in each state, by channel."""
    found: dict[str, dict[str, int]] = {}
    for row in connection.execute(
        "SELECT channel, state, sum(n)::bigint AS n FROM vod_counts GROUP BY 1, 2"
        " HAVING sum(n) > 0 ORDER BY 1, 2"
    ):
        found.setdefault(row["channel"], {})[row["state"]] = row["n"]
    return found


def compact_counts(connection: Connection) -> None:
    """Adds up the rows that writers have left."""
    connection.execute(
        """
        WITH taken AS (
            DELETE FROM vod_counts WHERE ctid = ANY (ARRAY(
                SELECT ctid FROM vod_counts FOR UPDATE SKIP LOCKED))
            RETURNING channel, state, n)
        INSERT INTO vod_counts
            SELECT channel, state, sum(n) FROM taken GROUP BY 1, 2 HAVING sum(n) <> 0
        """
    )


def transfers(connection: Connection) -> list[Transfer]:
    """What moves now, the oldest work first."""
    with connection.cursor(row_factory=class_row(Transfer)) as cursor:
        return cursor.execute(
            """
            SELECT vods.twitch_vod_id AS vod_id, channel, title, direction, phase, bytes_done,
                bytes_total, bytes_per_second, transfers.started_at, transfers.updated_at,
                worker_id
            FROM transfers JOIN vods ON vods.id = transfers.vod_id
                AND vods.claim = transfers.claim
            WHERE worker_id IS NOT NULL ORDER BY transfers.started_at, vods.id
            """
        ).fetchall()


def errors(connection: Connection, limit: int) -> list[ErrorLine]:
    """The VODs with a problem, the latest first. What an operator has skipped is none."""
    with connection.cursor(row_factory=class_row(ErrorLine)) as cursor:
        return cursor.execute(
            """
            SELECT * FROM (
                SELECT twitch_vod_id AS vod_id, channel, title, state,
                    processing_error AS error, problem_code AS code, updated_at, next_try_at
                FROM vods WHERE processing_error IS NOT NULL
                ORDER BY updated_at DESC LIMIT %(enough)s) AS latest
            WHERE state <> 'skipped' ORDER BY updated_at DESC LIMIT %(limit)s
            """,
            {"enough": _ENOUGH, "limit": limit},
        ).fetchall()


def vanishing(
    connection: Connection, within_seconds: float, limit: int
) -> tuple[list[Vanishing], int]:
    """What will be gone soonest, and how many in all (no further than a thousand)."""
    query = """
        FROM vods WHERE stage IN ('live', 'queued', 'downloading')
            AND vanishes_at > now() AND vanishes_at < now() + make_interval(secs => %(within)s)
    """
    with connection.cursor(row_factory=class_row(Vanishing)) as cursor:
        soonest = cursor.execute(
            "SELECT twitch_vod_id AS vod_id, channel, title, state, vanishes_at"
            f" {query} ORDER BY vanishes_at, id LIMIT %(limit)s",
            {"within": within_seconds, "limit": limit},
        ).fetchall()
    row = connection.execute(
        f"SELECT count(*) AS n FROM (SELECT {query} LIMIT %(enough)s) AS first",
        {"within": within_seconds, "enough": _ENOUGH},
    ).fetchone()
    assert row is not None
    return soonest, row["n"]
