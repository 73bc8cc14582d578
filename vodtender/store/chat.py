"""Chat in the database: messages in bulk, what was taken back of them, and where nobody listened.

Whatever is stored twice is stored once: messages and marks have ids, gaps begin at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psycopg
from psycopg import errors as pg

from vodtender.model.chat import ChatMessage, Gap, Mark
from vodtender.store.database import Connection

_COLUMNS = (
    '"timestamp", relative_seconds, message_id, vod_id, channel, username, message, kind, user_id,'
    " display_name, color, badges, emotes, reply_to, bits, is_action, notice, system_message,"
    " details"
)
_TABS = _COLUMNS.count(",")
_NULL = "\x01\x02"
"""What stands for NULL in a COPY. Without a backslash, so that one look at a line tells whether
anything in it has to be escaped."""
_COPY = f"COPY {{}} ({_COLUMNS}) FROM STDIN WITH (NULL '{_NULL}')"
_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r", "\x01": "\\\x01"})
_ROWS_PER_WRITE = 500


@dataclass(slots=True)
class Batch:
    """What is stored together. `heard_until`: up to here nothing is missing but in the gaps."""

    messages: list[ChatMessage] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    resumed: list[datetime] = field(default_factory=list)
    heard_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    """How many messages of a batch were new, and how many the database would not have."""

    new: int
    refused: int


def store(connection: Connection, recording_id: int, batch: Batch) -> Stored:
    """Stores a batch under the VOD that the recording belongs to now. Messages that are there
    already stay as they are. To be called in a transaction; raises LookupError if there is no
    such recording."""
    row = connection.execute(
        "SELECT vod_id, channel, began_at FROM chat_recordings WHERE id = %s FOR UPDATE",
        (recording_id,),
    ).fetchone()
    if row is None:
        raise LookupError(f"no recording {recording_id}")
    for at in batch.resumed:
        _resume(connection, recording_id, at)
    rows = _rows({m.message_id: m for m in batch.messages}.values(), row)
    stored = _insert(connection, rows)
    if batch.marks:
        _take_back(connection, recording_id, row["vod_id"], batch.marks)
    for gap in batch.gaps:
        _note_gap(connection, recording_id, gap)
    times = [message.timestamp for message in batch.messages]
    connection.execute(
        "UPDATE chat_recordings SET messages = messages + %s,"
        " first_message_at = least(first_message_at, %s),"
        " last_message_at = greatest(last_message_at, %s),"
        " heard_until = greatest(heard_until, %s) WHERE id = %s",
        (
            stored.new,
            min(times, default=None),
            max(times, default=None),
            batch.heard_until,
            recording_id,
        ),
    )
    return stored


def _rows(messages: Iterable[ChatMessage], recording: dict[str, Any]) -> list[str]:
    """As COPY reads them."""
    vod_id, channel = _escaped(recording["vod_id"]), _escaped(recording["channel"])
    began_at: datetime = recording["began_at"]
    rows = []
    for m in messages:
        row = (
            f"{m.timestamp.isoformat()}\t{(m.timestamp - began_at).total_seconds()}"
            f"\t{m.message_id}\t{vod_id}\t{channel}\t{m.username}\t{m.message}\t{m.kind}"
            f"\t{m.user_id or _NULL}\t{m.display_name or _NULL}\t{m.color or _NULL}"
            f"\t{m.badges or _NULL}\t{m.emotes or _NULL}\t{m.reply_to or _NULL}"
            f"\t{_NULL if m.bits is None else m.bits}\t{m.is_action}\t{m.notice or _NULL}"
            f"\t{m.system_message or _NULL}\t{m.details or _NULL}\n"
        )
        if (
            "\\" in row
            or row.count("\t") != _TABS
            or row.count("\n") != 1
            or "\r" in row
            or _NULL in m.message
        ):
            row = _escaped_row(m, vod_id, channel, began_at)
        rows.append(row)
    return rows


def _escaped_row(m: ChatMessage, vod_id: str, channel: str, began_at: datetime) -> str:
    seconds = (m.timestamp - began_at).total_seconds()
    first = (m.timestamp.isoformat(), str(seconds))
    optional = (m.user_id, m.display_name, m.color, m.badges, m.emotes, m.reply_to)
    bits = _NULL if m.bits is None else str(m.bits)
    last = (m.notice, m.system_message, m.details)
    fields = (
        *first,
        _escaped(m.message_id),
        vod_id,
        channel,
        *(_escaped(text) for text in (m.username, m.message, m.kind)),
        *(_escaped(text) if text else _NULL for text in optional),
        bits,
        str(m.is_action),
        *(_escaped(text) if text else _NULL for text in last),
    )
    return "\t".join(fields) + "\n"


def _escaped(text: str) -> str:
    return text.translate(_ESCAPES)


def _insert(connection: Connection, rows: Sequence[str]) -> Stored:
    """Straight into the table, as fast as it goes; only if that meets a message that is there
    already, through a table of its own."""
    if not rows:
        return Stored(0, 0)
    try:
        with connection.transaction():
            _copy(connection, "chat_messages", rows)
        return Stored(len(rows), 0)
    except pg.UniqueViolation:
        pass
    except (psycopg.DataError, psycopg.IntegrityError):
        return _one_by_one(connection, rows)
    try:
        with connection.transaction():
            return Stored(_merge(connection, rows), 0)
    except (psycopg.DataError, psycopg.IntegrityError):
        return _one_by_one(connection, rows)


def _copy(connection: Connection, table: str, rows: Sequence[str]) -> None:
    with connection.cursor() as cursor, cursor.copy(_COPY.format(table)) as copy:
        for start in range(0, len(rows), _ROWS_PER_WRITE):
            copy.write("".join(rows[start : start + _ROWS_PER_WRITE]))


def _merge(connection: Connection, rows: Sequence[str]) -> int:
    connection.execute(
        "CREATE TEMPORARY TABLE chat_arrivals (LIKE chat_messages INCLUDING DEFAULTS)"
        " ON COMMIT DROP"
    )
    _copy(connection, "chat_arrivals", rows)
    inserted = connection.execute(
        f"INSERT INTO chat_messages ({_COLUMNS}) SELECT {_COLUMNS} FROM chat_arrivals"
        " ON CONFLICT (message_id) DO NOTHING"
    ).rowcount
    connection.execute("DROP TABLE chat_arrivals")
    return inserted


def _one_by_one(connection: Connection, rows: Sequence[str]) -> Stored:
    """What the database would not have must not keep out the rest."""
    new = refused = 0
    for row in rows:
        try:
            with connection.transaction():
                new += _merge(connection, [row])
        except (psycopg.DataError, psycopg.IntegrityError):
            refused += 1
    return Stored(new, refused)


def _take_back(
    connection: Connection, recording_id: int, vod_id: str, marks: Sequence[Mark]
) -> None:
    """Notes the marks, and when what they mean was taken back. The first mark counts."""
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO chat_marks (mark_id, recording_id, at, target_id, username, ban_seconds)"
            " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            [
                (m.mark_id, recording_id, m.at, m.target_id, m.username, m.ban_seconds)
                for m in marks
            ],
        )
    apply_marks(connection, recording_id, vod_id, [mark.mark_id for mark in marks])


def apply_marks(
    connection: Connection, recording_id: int, vod_id: str, mark_ids: Sequence[str]
) -> None:
    """Marks what was said before these marks and is theirs."""
    parameters = {"recording": recording_id, "vod": vod_id, "marks": list(mark_ids)}
    for which in (
        "m.message_id = k.target_id",
        "k.target_id IS NULL AND m.vod_id = %(vod)s AND m.username = k.username"
        ' AND m."timestamp" <= k.at',
        "k.target_id IS NULL AND k.username IS NULL AND m.vod_id = %(vod)s"
        ' AND m."timestamp" <= k.at',
    ):
        connection.execute(
            "UPDATE chat_messages m SET deleted_at = k.at FROM chat_marks k"
            " WHERE k.mark_id = ANY(%(marks)s) AND m.deleted_at IS NULL AND " + which,
            parameters,
        )


def _resume(connection: Connection, recording_id: int, at: datetime) -> None:
    """Somebody listens again: what was open ends, and what nobody noted is noted."""
    ended = connection.execute(
        "UPDATE chat_gaps SET to_at = greatest(from_at, %s)"
        " WHERE recording_id = %s AND to_at IS NULL",
        (at, recording_id),
    ).rowcount
    if not ended:
        connection.execute(
            "INSERT INTO chat_gaps (recording_id, from_at, to_at, why)"
            " SELECT id, coalesce(heard_until, began_at), %(at)s, CASE WHEN heard_until IS NULL"
            " THEN 'before the recording began' ELSE 'nobody recorded' END FROM chat_recordings"
            " WHERE id = %(id)s AND coalesce(heard_until, began_at) < %(at)s"
            " ON CONFLICT DO NOTHING",
            {"id": recording_id, "at": at},
        )


def _note_gap(connection: Connection, recording_id: int, gap: Gap) -> None:
    connection.execute(
        "INSERT INTO chat_gaps (recording_id, from_at, to_at, why) VALUES (%s, %s, %s, %s)"
        " ON CONFLICT (recording_id, from_at) DO UPDATE"
        " SET to_at = coalesce(excluded.to_at, chat_gaps.to_at)",
        (recording_id, gap.since, gap.until, gap.why),
    )
