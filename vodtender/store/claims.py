"""Who works on which VOD: claims with an expiry, checked whenever something is written.

A claim is a worker's name and a number that grows with each claim of the row. Time is the
database's, so that workers with wrong clocks agree. A worker whose claim has ended, because it
expired or because an operator edited the VOD, cannot write any more: the number differs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psycopg import sql

from vodtender.errors import LeaseLost
from vodtender.model.settlement import Settlement
from vodtender.model.vod import Stage
from vodtender.store.database import Connection


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to work on one VOD."""

    vod_id: int
    worker_id: str
    number: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the work in hand is, for `status`."""

    direction: str
    phase: str
    bytes_done: int
    bytes_total: int | None
    bytes_per_second: float | None


def renew(
    connection: Connection, claim: Claim, lease_seconds: float, progress: Progress | None
) -> str | None:
    """A heartbeat. Returns why the work is to be cancelled, if it is.

    Raises:
        LeaseLost: somebody else has it by now.
    """
    row = connection.execute(
        """
        UPDATE vods SET lease_expires_at = now() + make_interval(secs => %(lease_seconds)s)
        WHERE id = %(id)s AND worker_id = %(worker_id)s AND claim = %(claim)s
        RETURNING cancel_reason
        """,
        {"lease_seconds": lease_seconds, **_named(claim)},
    ).fetchone()
    if row is None:
        raise _lost(claim)
    if progress is not None:
        _show(connection, claim, progress)
    reason: str | None = row["cancel_reason"]
    return reason


def lock(connection: Connection, claim: Claim) -> str | None:
    """Makes sure, until the transaction ends, that the claim is still good. Returns why the
    work is to be cancelled, if it is.

    Raises:
        LeaseLost: it is not.
    """
    row = connection.execute(
        "SELECT cancel_reason FROM vods"
        " WHERE id = %(id)s AND worker_id = %(worker_id)s AND claim = %(claim)s FOR UPDATE",
        _named(claim),
    ).fetchone()
    if row is None:
        raise _lost(claim)
    reason: str | None = row["cancel_reason"]
    return reason


def advance(connection: Connection, claim: Claim, to: Stage) -> None:
    """The work goes on in another stage; the claim stays. Raises LeaseLost."""
    lock(connection, claim)
    connection.execute(
        "UPDATE vods SET stage = %s, problem = NULL, problem_code = NULL WHERE id = %s",
        (to, claim.vod_id),
    )


def settle(connection: Connection, claim: Claim, came_from: Stage, settlement: Settlement) -> None:
    """Stores what came of the work and ends the claim.

    Raises:
        LeaseLost: somebody else has it by now; nothing is stored.
    """
    standing = settlement.standing
    values: dict[str, Any] = {
        "stage": standing.stage,
        "problem": standing.problem,
        "problem_code": standing.problem_code,
        "waiting_for": standing.waiting_for,
        "next_try_at": standing.next_try_at,
        "download_attempts": standing.download_attempts,
        "upload_attempts": standing.upload_attempts,
        "polls": standing.polls,
        "missing_since": standing.missing_since,
        "uncertain_since": standing.uncertain_since,
        "video_id": standing.video_id,
        "recheck": standing.recheck,
        "worker_id": None,
        "lease_expires_at": None,
        "cancel_reason": None,
        **_file_values(settlement),
    }
    assignments: list[sql.Composable] = [
        sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(name)) for name in values
    ]
    if settlement.file is not None:
        assignments += [sql.SQL("downloaded_at = now()"), sql.SQL("file_removed_at = NULL")]
    if standing.stage is Stage.PUBLISHED:
        assignments.append(sql.SQL("published_at = now()"))
    else:
        assignments.append(
            sql.SQL(
                "published_at = CASE WHEN video_id = %(video_id)s THEN published_at ELSE NULL END"
            )
        )
    query = sql.SQL(
        "UPDATE vods SET {} WHERE id = %(id)s AND worker_id = %(claimed_by)s"
        " AND claim = %(claim)s AND stage = %(came_from)s RETURNING id"
    ).format(sql.SQL(", ").join(assignments))
    own = _named(claim)
    row = connection.execute(
        query,
        {
            **values,
            "id": own["id"],
            "claimed_by": own["worker_id"],
            "claim": own["claim"],
            "came_from": came_from,
        },
    ).fetchone()
    if row is None:
        raise _lost(claim)
    hide(connection, claim.vod_id)
    if settlement.forget_session:
        connection.execute(
            "DELETE FROM uploads WHERE vod_id = %s AND video_id IS NULL", (claim.vod_id,)
        )
    if settlement.forget_videos:
        connection.execute(
            "DELETE FROM uploads WHERE vod_id = %s AND video_id = ANY(%s)",
            (claim.vod_id, list(settlement.forget_videos)),
        )


def release_all(connection: Connection, worker_id: str) -> int:
    """Gives back whatever a worker that is gone, or going, still holds. Returns how many.

    What is locked at the moment is skipped: an operator who edits it takes it away anyway, and
    a lease ends by itself. Waiting for it could be waiting crosswise.
    """
    return _give_back(connection, sql.SQL("worker_id = %(worker_id)s"), {"worker_id": worker_id})


def release_expired(connection: Connection) -> int:
    """Gives back what workers have lost that were not heard of in time. Returns how many."""
    return _give_back(connection, sql.SQL("worker_id IS NOT NULL AND lease_expires_at < now()"), {})


def release(connection: Connection, claim: Claim) -> None:
    """Ends a claim without a result, if it is still good: the VOD is as it was before."""
    _give_back(
        connection,
        sql.SQL("id = %(id)s AND worker_id = %(worker_id)s AND claim = %(claim)s"),
        _named(claim),
    )


def hide(connection: Connection, vod_id: int) -> None:
    """Nothing of it moves any more."""
    connection.execute("DELETE FROM transfers WHERE vod_id = %s", (vod_id,))


def _give_back(connection: Connection, which: sql.SQL, parameters: dict[str, Any]) -> int:
    """Nobody works on these any more. What was to be cancelled is, though its worker never
    heard."""
    query = sql.SQL(
        """
        UPDATE vods SET worker_id = NULL, lease_expires_at = NULL, claim = claim + 1,
            stage = CASE WHEN cancel_reason IS NOT NULL THEN 'skipped'
                WHEN stage = 'downloading' THEN 'queued' ELSE stage END,
            problem = coalesce(cancel_reason, problem),
            problem_code = CASE WHEN cancel_reason IS NULL THEN problem_code ELSE 'cancelled' END,
            cancel_reason = NULL
        WHERE id IN (SELECT id FROM vods WHERE {} FOR UPDATE SKIP LOCKED)
        """
    ).format(which)
    return connection.execute(query, parameters).rowcount


def _file_values(settlement: Settlement) -> dict[str, Any]:
    if settlement.file is not None:
        file = settlement.file
        return {
            "downloaded_path": file.path,
            "directory_id": file.directory_id,
            "file_size_bytes": file.size_bytes,
            "file_sha256": file.sha256,
            "file_crc32": file.crc32,
            "file_seconds": file.seconds,
            "muted_segments": file.muted_segments,
            "gaps": list(file.gaps),
        }
    if settlement.forget_file:
        return {"downloaded_path": None, "directory_id": None}
    return {}


def _show(connection: Connection, claim: Claim, progress: Progress) -> None:
    connection.execute(
        """
        INSERT INTO transfers
            (vod_id, claim, direction, phase, bytes_done, bytes_total, bytes_per_second)
        VALUES (%(id)s, %(claim)s, %(direction)s, %(phase)s, %(done)s, %(total)s, %(speed)s)
        ON CONFLICT (vod_id) DO UPDATE SET
            started_at = CASE WHEN transfers.claim = excluded.claim
                AND transfers.direction = excluded.direction
                THEN transfers.started_at ELSE now() END,
            claim = excluded.claim, direction = excluded.direction, phase = excluded.phase,
            bytes_done = excluded.bytes_done, bytes_total = excluded.bytes_total,
            bytes_per_second = excluded.bytes_per_second, updated_at = now()
        """,
        {
            **_named(claim),
            "direction": progress.direction,
            "phase": progress.phase,
            "done": progress.bytes_done,
            "total": progress.bytes_total,
            "speed": progress.bytes_per_second,
        },
    )


def _named(claim: Claim) -> dict[str, Any]:
    return {"id": claim.vod_id, "worker_id": claim.worker_id, "claim": claim.number}


def _lost(claim: Claim) -> LeaseLost:
    return LeaseLost(f"The claim {claim.number} on VOD row {claim.vod_id} has ended.")
