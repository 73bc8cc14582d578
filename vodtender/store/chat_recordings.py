"""Recordings of a chat: whose, from when, how far, and how the recorder fares."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from psycopg.rows import class_row

from vodtender.store.database import Connection


@dataclass(frozen=True, slots=True)
class Recording:
    """One row of `chat_recordings`. A recording is of one channel into one VOD; it may be
    interrupted and gone on with. `ended_at` is None while it is to go on."""

    id: int
    channel: str
    vod_id: str
    stream_id: str | None
    mode: str
    began_at: datetime
    created_at: datetime
    heard_until: datetime | None
    ended_at: datetime | None
    joined_at: datetime | None
    messages: int
    first_message_at: datetime | None
    last_message_at: datetime | None
    worker_id: str | None
    connected_since: datetime | None
    identity: str | None
    problem: str | None
    reconnections: int
    messages_per_minute: float | None
    latency_seconds: float | None
    reported_at: datetime | None


@dataclass(frozen=True, slots=True)
class Report:
    """How a recorder sees itself. `identity` is the name it reads under; `problem` what a
    person should know, such as a login that Twitch refuses."""

    worker_id: str | None
    connected_since: datetime | None
    identity: str | None
    problem: str | None
    reconnections: int
    messages_per_minute: float
    latency_seconds: float | None


@dataclass(frozen=True, slots=True)
class RecordedGap:
    """One row of `chat_gaps`. `to_at` is None while it lasts."""

    recording_id: int
    channel: str
    vod_id: str
    from_at: datetime
    to_at: datetime | None
    why: str


_COLUMNS = ", ".join(column.name for column in fields(Recording))


def begin(
    connection: Connection,
    channel: str,
    vod_id: str,
    *,
    mode: str,
    began_at: datetime,
    stream_id: str | None = None,
) -> Recording:
    """A recording of this channel into this VOD: a new one, or the one there is, which then
    goes on. `mode` is `auto` or `manual`; `began_at` is when the VOD begins."""
    with connection.cursor(row_factory=class_row(Recording)) as cursor:
        there = cursor.execute(
            "UPDATE chat_recordings SET ended_at = NULL WHERE id = (SELECT max(id) FROM"
            f" chat_recordings WHERE channel = %s AND vod_id = %s) RETURNING {_COLUMNS}",
            (channel, vod_id),
        ).fetchone()
        made = (
            there
            or cursor.execute(
                "INSERT INTO chat_recordings (channel, vod_id, mode, began_at, stream_id)"
                f" VALUES (%s, %s, %s, %s, %s) RETURNING {_COLUMNS}",
                (channel, vod_id, mode, began_at, stream_id),
            ).fetchone()
        )
    assert made is not None
    return made


def begin_manual(
    connection: Connection, channel: str, vod_id: str, start: datetime | None, now: datetime
) -> Recording:
    """A recording of this channel into a VOD that somebody names. It begins at `start`; else
    when the catalog says, or else now."""
    row = connection.execute("SELECT date FROM vods WHERE twitch_vod_id = %s", (vod_id,)).fetchone()
    known = None if row is None else row["date"]
    return begin(connection, channel, vod_id, mode="manual", began_at=start or known or now)


def end(connection: Connection, recording_id: int, at: datetime) -> None:
    """It is over: what is not heard from here on is no gap."""
    connection.execute(
        "UPDATE chat_recordings SET ended_at = %s, connected_since = NULL WHERE id = %s"
        " AND ended_at IS NULL",
        (at, recording_id),
    )
    connection.execute(
        "UPDATE chat_gaps SET to_at = greatest(from_at, %s)"
        " WHERE recording_id = %s AND to_at IS NULL",
        (at, recording_id),
    )


def report(connection: Connection, recording_id: int, said: Report) -> None:
    """Stores how the recorder sees itself."""
    connection.execute(
        "UPDATE chat_recordings SET worker_id = %s, connected_since = %s, identity = %s,"
        " problem = %s, reconnections = greatest(reconnections, %s), messages_per_minute = %s,"
        " latency_seconds = %s, reported_at = now() WHERE id = %s",
        (
            said.worker_id,
            said.connected_since,
            said.identity,
            said.problem,
            said.reconnections,
            said.messages_per_minute,
            said.latency_seconds,
            recording_id,
        ),
    )


def get(connection: Connection, recording_id: int) -> Recording | None:
    """One recording."""
    return next(iter(_find(connection, "id = %s", recording_id)), None)


def unfinished(connection: Connection) -> list[Recording]:
    """Those that are to go on, whether or not somebody records."""
    return _find(connection, "ended_at IS NULL")


def of_vod(connection: Connection, vod_id: str) -> list[Recording]:
    """All that belong to a VOD, or to what stands for one."""
    return _find(connection, "vod_id = %s", vod_id)


def of_stream(connection: Connection, channel: str, stream_id: str) -> Recording | None:
    """The automatic recording of a stream, whether or not it has its VOD."""
    found = _find(
        connection, "channel = %s AND stream_id = %s AND mode = 'auto'", channel, stream_id
    )
    return found[-1] if found else None


def not_joined(connection: Connection) -> list[Recording]:
    """Automatic ones whose VOD has not appeared and may still do so: Twitch keeps none for
    longer than 60 days."""
    return _find(
        connection,
        "mode = 'auto' AND joined_at IS NULL AND began_at > now() - interval '70 days'",
    )


def latest(connection: Connection, channels: Sequence[str]) -> list[Recording]:
    """The newest recording of each of these channels that has one."""
    return _find(
        connection,
        "id IN (SELECT (SELECT id FROM chat_recordings WHERE channel = wanted"
        " ORDER BY began_at DESC, id DESC LIMIT 1) FROM unnest(%s::text[]) AS wanted)",
        list(channels),
    )


def gaps(connection: Connection, vod_id: str | None = None) -> list[RecordedGap]:
    """The gaps of a VOD's recordings, or all, in the order of their beginnings."""
    where, values = ("", ()) if vod_id is None else ("WHERE r.vod_id = %s", (vod_id,))
    with connection.cursor(row_factory=class_row(RecordedGap)) as cursor:
        return cursor.execute(
            "SELECT recording_id, channel, vod_id, from_at, to_at, why FROM chat_gaps g"
            f" JOIN chat_recordings r ON r.id = g.recording_id {where}"
            " ORDER BY from_at, recording_id",
            values,
        ).fetchall()


def messages(connection: Connection, vod_id: str) -> Iterator[dict[str, Any]]:
    """What was said in a VOD, in order, a piece at a time; with all columns. To be read within
    the transaction."""
    with connection.cursor(name="chat_export") as cursor:
        cursor.itersize = 2000
        yield from cursor.execute(
            'SELECT * FROM chat_messages WHERE vod_id = %s ORDER BY "timestamp", message_id',
            (vod_id,),
        )


def _find(connection: Connection, condition: str, *values: object) -> list[Recording]:
    with connection.cursor(row_factory=class_row(Recording)) as cursor:
        return cursor.execute(
            f"SELECT {_COLUMNS} FROM chat_recordings WHERE {condition} ORDER BY id", values
        ).fetchall()
