"""Gives recordings of streams to the VODs that the streams became."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from vodtender.model.liveness import Candidate
from vodtender.store import chat
from vodtender.store.database import Connection

_LONGEST_STREAM = "interval '49 hours'"
_KEPT = (
    '"timestamp", deleted_at, bits, is_action, message_id, channel, username, message, kind,'
    " user_id, display_name, color, badges, emotes, reply_to, notice, system_message, details"
)
"""Columns of a message that do not depend on whose it is."""
_TWITCH_KEEPS = "interval '70 days'"
"""After that no VOD of a stream can appear any more: Twitch has deleted it."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A recording that is over and that waits for its VOD."""

    recording_id: int
    channel: str
    vod_id: str
    """What stands for the VOD."""
    stream_id: str | None
    began_at: datetime
    candidates: tuple[Candidate, ...]


def pending(connection: Connection, ended_seconds_ago: float) -> list[Pending]:
    """Those for which there is a VOD that may be theirs."""
    rows = connection.execute(
        f"""
        SELECT r.id, r.channel, r.vod_id, r.stream_id, r.began_at, v.twitch_vod_id,
            v.stream_id AS its_stream, v.date, v.duration_seconds
        FROM chat_recordings r
        JOIN LATERAL (
            SELECT id, twitch_vod_id, channel, kind, stream_id, date, duration_seconds
            FROM vods WHERE stream_id = r.stream_id
            UNION
            SELECT id, twitch_vod_id, channel, kind, stream_id, date, duration_seconds
            FROM vods WHERE coalesce(date, created_at)
                BETWEEN r.began_at - {_LONGEST_STREAM} AND r.began_at + interval '10 minutes'
        ) v ON v.channel = r.channel AND v.kind = 'archive'
        WHERE r.mode = 'auto' AND r.joined_at IS NULL AND r.began_at > now() - {_TWITCH_KEEPS}
            AND r.ended_at <= now() - make_interval(secs => %s)
        ORDER BY r.id
        """,
        (ended_seconds_ago,),
    ).fetchall()
    found: dict[int, Pending] = {}
    for row in rows:
        candidate = Candidate(
            row["twitch_vod_id"], row["its_stream"], row["date"], row["duration_seconds"]
        )
        before = found.get(row["id"])
        candidates = (*(before.candidates if before else ()), candidate)
        found[row["id"]] = Pending(
            row["id"],
            row["channel"],
            row["vod_id"],
            row["stream_id"],
            row["began_at"],
            candidates,
        )
    return list(found.values())


def move_some(connection: Connection, pending: Pending, vod: Candidate, limit: int) -> int:
    """Gives so many of its messages to the VOD, which may have some of them already; returns how
    many there were. Whoever stores more of them meanwhile waits, since both hold the
    recording's row."""
    connection.execute(
        "SELECT FROM chat_recordings WHERE id = %s FOR UPDATE", (pending.recording_id,)
    )
    row = connection.execute(
        f"""
        WITH chosen AS (
            SELECT message_id FROM chat_messages WHERE vod_id = %(placeholder)s LIMIT %(limit)s
        ), taken AS (
            DELETE FROM chat_messages m USING chosen
            WHERE m.vod_id = %(placeholder)s AND m.message_id = chosen.message_id RETURNING m.*
        ), given AS (
            INSERT INTO chat_messages (vod_id, relative_seconds, {_KEPT})
            SELECT %(vod)s, extract(epoch FROM "timestamp" - %(began)s), {_KEPT} FROM taken
            ON CONFLICT DO NOTHING
        )
        SELECT count(*) AS number FROM taken
        """,
        {**_values(pending, vod), "limit": limit},
    ).fetchone()
    return 0 if row is None else int(row["number"])


def settle(connection: Connection, pending: Pending, vod: Candidate) -> None:
    """The recording is the VOD's. To be called in the transaction that moves the last."""
    connection.execute(
        "UPDATE chat_recordings SET vod_id = %(vod)s, began_at = %(began)s, joined_at = now()"
        " WHERE id = %(recording)s",
        {**_values(pending, vod), "recording": pending.recording_id},
    )
    # Marks that came while messages were moved have found only a part of them.
    marks = connection.execute(
        "SELECT mark_id FROM chat_marks WHERE recording_id = %s", (pending.recording_id,)
    ).fetchall()
    if marks:
        ids = [row["mark_id"] for row in marks]
        chat.apply_marks(connection, vod.vod_id, ids)


def _values(pending: Pending, vod: Candidate) -> Mapping[str, object]:
    began_at = vod.began_at or pending.began_at
    return {"vod": vod.vod_id, "began": began_at, "placeholder": pending.vod_id}
