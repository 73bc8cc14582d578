"""What there is to do, and who gets it next.

Whoever takes a VOD has a claim on it (see `claims`) that ends by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql
from psycopg.rows import class_row

from vodtender.model.vod import Stage, Vod, Waiting
from vodtender.store import claims
from vodtender.store.database import Connection
from vodtender.store.vods import COLUMNS

DOWNLOADS = (Stage.QUEUED,)
UPLOADS = (Stage.DOWNLOADED, Stage.UPLOADING)
CHECKS = (Stage.FINALIZING, Stage.VERIFYING)

_SHORT = [str(waiting) for waiting in Waiting if waiting.is_short]
_AWAY_SECONDS = 120
"""So long after its last heartbeat a worker's directory counts as out of reach."""

_WAKE_AT_ONCE = 1000
"""Rows; when more are due together, the next look wakes the next ones."""


def wake(connection: Connection) -> None:
    """Puts back into the queue what has waited long enough and what its worker has lost."""
    connection.execute(
        """
        UPDATE vods SET next_try_at = NULL, waiting_for = NULL,
            stage = CASE stage WHEN 'live' THEN 'queued' ELSE stage END
        WHERE id IN (
            SELECT id FROM vods WHERE next_try_at <= now()
            ORDER BY next_try_at LIMIT %s FOR UPDATE SKIP LOCKED)
        """,
        (_WAKE_AT_ONCE,),
    )
    claims.release_expired(connection)


_TO_DOWNLOAD = sql.SQL("stage = 'queued' AND worker_id IS NULL AND next_try_at IS NULL")
_TO_UPLOAD = sql.SQL(
    """stage IN ('downloaded', 'uploading')
        AND worker_id IS NULL AND next_try_at IS NULL AND NOT skip_upload
        AND (directory_id IS NULL OR directory_id <> ALL (ARRAY(
            SELECT directory_id FROM workers WHERE directory_id <> %(directory_id)s
            AND heartbeat_at > now() - make_interval(secs => %(away)s))))"""
)
_TO_CHECK = sql.SQL(
    """stage IN ('finalizing', 'verifying')
        AND worker_id IS NULL AND next_try_at IS NULL"""
)
# Several of each channel are looked at, and one is locked: what another worker is just taking
# is passed over, and what it leaves is not kept from anybody.
_CLAIM = """
    WITH candidate AS (
        SELECT vods.id FROM unnest(%(channels)s::text[]) AS of (channel)
        CROSS JOIN LATERAL (
            SELECT id AS found_id FROM vods
            WHERE vods.channel = of.channel AND {eligible}
                AND id <> ALL (%(avoiding)s::bigint[])
            ORDER BY priority DESC, {second}, id LIMIT 8
        ) AS found
        JOIN vods ON vods.id = found_id
        WHERE {eligible}
        ORDER BY vods.priority DESC, {second}, vods.id LIMIT 1 FOR UPDATE OF vods SKIP LOCKED
    )
    UPDATE vods SET worker_id = %(worker_id)s, claim = claim + 1,
        stage = CASE stage WHEN 'queued' THEN 'downloading' ELSE stage END,
        problem = CASE WHEN stage IN ('queued', 'uploading') THEN NULL ELSE problem END,
        problem_code = CASE WHEN stage IN ('queued', 'uploading') THEN NULL ELSE problem_code END,
        lease_expires_at = now() + make_interval(secs => %(lease_seconds)s)
    FROM candidate WHERE vods.id = candidate.id
    RETURNING {columns}
"""


def take(
    connection: Connection,
    stages: Sequence[Stage],
    *,
    worker_id: str,
    directory_id: str,
    lease_seconds: float,
    channels: Sequence[str],
    avoiding: Sequence[int] = (),
) -> Vod | None:
    """Claims the next VOD of these channels for `DOWNLOADS`, `UPLOADS` or `CHECKS`, if there
    is one.

    Downloads: the highest priority first, then what vanishes from Twitch soonest. Uploads:
    the oldest stream first, and those whose file lies in the worker's own directory or in one
    that nobody serves any more. Checks need no file. Those `avoiding` are left out.
    """
    urgency = "vanishes_at" if tuple(stages) == DOWNLOADS else "date"
    query = sql.SQL(_CLAIM).format(
        eligible=_eligible(stages),
        second=sql.Identifier("vods", urgency),
        columns=sql.SQL(", ").join(sql.Identifier("vods", name) for name in COLUMNS),
    )
    parameters = {
        "channels": list(channels),
        "worker_id": worker_id,
        "directory_id": directory_id,
        "lease_seconds": lease_seconds,
        "away": _AWAY_SECONDS,
        "avoiding": list(avoiding),
    }
    with connection.cursor(row_factory=class_row(Vod)) as cursor:
        return cursor.execute(query, parameters).fetchone()


def _eligible(stages: Sequence[Stage]) -> sql.SQL:
    """Which rows may be claimed for this kind of work; each is the condition of an index."""
    return {DOWNLOADS: _TO_DOWNLOAD, UPLOADS: _TO_UPLOAD, CHECKS: _TO_CHECK}[tuple(stages)]


def is_any_left(
    connection: Connection, stages: Sequence[Stage], channel: str, *, directory_id: str
) -> bool:
    """Whether `take` would find something in a channel, now or after a short wait."""
    query = sql.SQL(
        """
        SELECT EXISTS (SELECT FROM vods WHERE channel = %(channel)s AND {}) OR EXISTS (
            SELECT FROM vods WHERE next_try_at IS NOT NULL AND waiting_for = ANY(%(short)s)
            AND channel = %(channel)s AND stage = ANY(%(stages)s)) AS found
        """
    ).format(_eligible(stages))
    row = connection.execute(
        query,
        {
            "channel": channel,
            "directory_id": directory_id,
            "away": _AWAY_SECONDS,
            "short": _SHORT,
            "stages": [str(stage) for stage in stages],
        },
    ).fetchone()
    assert row is not None
    found: bool = row["found"]
    return found


@dataclass(frozen=True, slots=True)
class Outlook:
    """What there is to do, now or soon. `too_large`: only downloads for want of room."""

    downloads: bool
    too_large: bool
    uploads: bool
    checks: bool
    short_waits: bool
    in_hand: bool


def outlook(
    connection: Connection,
    *,
    worker_id: str,
    directory_id: str,
    channels: Sequence[str],
    too_large: Sequence[int] = (),
) -> Outlook:
    """What this worker could take in these channels, what waits for a short time only, and
    whether it has anything in hand. What has waited long enough is woken first. For VODs that
    are `too_large` it has no room."""
    wake(connection)
    ready = sql.SQL(
        "EXISTS (SELECT FROM unnest(%(channels)s::text[]) AS of (channel) CROSS JOIN LATERAL"
        " (SELECT FROM vods WHERE vods.channel = of.channel AND {} LIMIT 1) AS found)"
    )
    query = sql.SQL(
        """
        SELECT {downloads} AS downloads, {too_large} AS too_large,
            {uploads} AS uploads, {checks} AS checks,
            EXISTS (SELECT FROM vods WHERE next_try_at IS NOT NULL
                AND waiting_for = ANY(%(short)s)) AS short_waits,
            EXISTS (SELECT FROM vods WHERE worker_id = %(worker_id)s) AS in_hand
        """
    ).format(
        downloads=ready.format(
            sql.SQL("{} AND id <> ALL (%(too_large)s::bigint[])").format(_TO_DOWNLOAD)
        ),
        too_large=ready.format(
            sql.SQL("{} AND id = ANY (%(too_large)s::bigint[])").format(_TO_DOWNLOAD)
        ),
        uploads=ready.format(_TO_UPLOAD),
        checks=ready.format(_TO_CHECK),
    )
    with connection.cursor(row_factory=class_row(Outlook)) as cursor:
        found = cursor.execute(
            query,
            {
                "channels": list(channels),
                "worker_id": worker_id,
                "directory_id": directory_id,
                "away": _AWAY_SECONDS,
                "short": _SHORT,
                "too_large": list(too_large),
            },
        ).fetchone()
    assert found is not None
    return found
