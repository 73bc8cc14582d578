"""Chat in the database: messages in bulk, what was taken back of them, and where nobody listened.

Whatever is stored twice is stored once: messages and marks have ids, gaps begin at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import chain

import psycopg
from psycopg import errors as pg

from vodtender.model.chat import ChatMessage, Gap, Mark
from vodtender.store.database import Connection

COLUMNS = (
    '"timestamp", relative_seconds, message_id, vod_id, channel, username, message, kind, user_id,'
    " display_name, color, badges, emotes, reply_to, bits, is_action, notice, system_message,"
    " details"
)
_TABS = COLUMNS.count(",")
NULL = "\x01\x02"
"""What stands for NULL in a COPY. Without a backslash, so that one look at a line tells whether
anything in it has to be escaped."""
COPY = f"COPY {{}} ({COLUMNS}) FROM STDIN WITH (NULL '{NULL}')"
_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r", "\x01": "\\\x01"})


@dataclass(slots=True)
class Batch:
    """What is stored together. `heard_until`: up to here nothing is missing but in the gaps."""

    messages: list[ChatMessage] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    resumed: list[datetime] = field(default_factory=list)
    heard_until: datetime | None = None
    heard_at: list[datetime] = field(default_factory=list)
    """When its messages came, as often as some came together."""


@dataclass(frozen=True, slots=True)
class Stored:
    """How many messages were new, and how many the database would not have; and when they had
    come, as in `Batch`."""

    new: int
    refused: int
    heard_at: Sequence[datetime] = ()


def store(connection: Connection, recording_id: int, batches: Iterable[Batch]) -> Stored:
    """Stores batches under the VOD that the recording belongs to now. Messages that are there
    already stay as they are. They may be made while they are asked for: the server works on one
    meanwhile. To be called in a transaction; raises LookupError if there is no such recording.
    """
    found = connection.execute(
        "SELECT vod_id, channel, began_at FROM chat_recordings WHERE id = %s FOR UPDATE",
        (recording_id,),
    ).fetchone()
    if found is None:
        raise LookupError(f"no recording {recording_id}")
    arrivals = _Arrivals(batches, found["vod_id"], found["channel"], found["began_at"])
    stored = _insert(connection, arrivals)
    for at in arrivals.rest.resumed:
        _resume(connection, recording_id, at)
    _take_back(connection, recording_id, found["vod_id"], arrivals)
    for gap in arrivals.rest.gaps:
        _note_gap(connection, recording_id, gap)
    connection.execute(
        "UPDATE chat_recordings SET messages = messages + %s,"
        " first_message_at = least(first_message_at, %s),"
        " last_message_at = greatest(last_message_at, %s),"
        " heard_until = greatest(heard_until, %s) WHERE id = %s",
        (stored.new, arrivals.first, arrivals.last, arrivals.rest.heard_until, recording_id),
    )
    return replace(stored, heard_at=arrivals.rest.heard_at)


class _Arrivals:
    """The rows of some batches, made as they are asked for and kept for another try; and what
    else those batches say, once all rows are made."""

    def __init__(
        self, batches: Iterable[Batch], vod_id: str, channel: str, began_at: datetime
    ) -> None:
        self.rest = Batch()
        self.first: datetime | None = None
        self.last: datetime | None = None
        self.made: list[str] = []
        self._batches = iter(batches)
        self._vod_id = vod_id
        self._channel = channel
        self._began_at = began_at
        self._ids: set[str] = set()

    def blocks(self) -> Iterator[str]:
        """Rows that follow those that were made, some at a time."""
        for batch in self._batches:
            self._keep(batch)
            messages = [m for m in batch.messages if m.message_id not in self._ids]
            self._ids.update([m.message_id for m in messages])
            if len(self._ids) < len(self.made) + len(messages):  # some are twice in one batch
                messages = list({m.message_id: m for m in messages}.values())
            if messages:
                made = rows(messages, self._vod_id, self._channel, self._began_at)
                self.made += made
                yield "".join(made)

    def finish(self) -> None:
        """Makes all that are not yet made."""
        for _ in self.blocks():
            pass

    def _keep(self, batch: Batch) -> None:
        rest = self.rest
        rest.marks += batch.marks
        rest.gaps += batch.gaps
        rest.heard_at += batch.heard_at
        rest.resumed += batch.resumed
        if batch.heard_until is not None:
            rest.heard_until = max(rest.heard_until or batch.heard_until, batch.heard_until)
        if batch.messages:
            times = [message.timestamp for message in batch.messages]
            first, last = min(times), max(times)
            self.first = first if self.first is None else min(first, self.first)
            self.last = last if self.last is None else max(last, self.last)


def rows(
    messages: Iterable[ChatMessage], vod_id: str, channel: str, began_at: datetime
) -> list[str]:
    """As `COPY` reads them."""
    vod_id, channel = _escaped(vod_id), _escaped(channel)
    written = []
    for m in messages:
        # Unpacked, which is much faster than fields by name.
        id_, at, nick, said, kind, user, name, color, badges, emotes, reply, bits, *last = m
        is_action, notice, system_message, details = last
        row = (
            f"{at.isoformat()}\t{(at - began_at).total_seconds()}"
            f"\t{id_}\t{vod_id}\t{channel}\t{nick}\t{said}\t{kind}"
            f"\t{user or NULL}\t{name or NULL}\t{color or NULL}"
            f"\t{badges or NULL}\t{emotes or NULL}\t{reply or NULL}"
            f"\t{NULL if bits is None else bits}\t{is_action}\t{notice or NULL}"
            f"\t{system_message or NULL}\t{details or NULL}\n"
        )
        if (
            "\\" in row
            or row.count("\t") != _TABS
            or row.count("\n") != 1
            or "\r" in row
            or NULL in said
        ):
            row = _escaped_row(m, vod_id, channel, began_at)
        written.append(row)
    return written


def _escaped_row(m: ChatMessage, vod_id: str, channel: str, began_at: datetime) -> str:
    seconds = (m.timestamp - began_at).total_seconds()
    first = (m.timestamp.isoformat(), str(seconds))
    optional = (m.user_id, m.display_name, m.color, m.badges, m.emotes, m.reply_to)
    bits = NULL if m.bits is None else str(m.bits)
    last = (m.notice, m.system_message, m.details)
    fields = (
        *first,
        _escaped(m.message_id),
        vod_id,
        channel,
        *(_escaped(text) for text in (m.username, m.message, m.kind)),
        *(_escaped(text) if text else NULL for text in optional),
        bits,
        str(m.is_action),
        *(_escaped(text) if text else NULL for text in last),
    )
    return "\t".join(fields) + "\n"


def _escaped(text: str) -> str:
    return text.translate(_ESCAPES)


def _insert(connection: Connection, arrivals: _Arrivals) -> Stored:
    """Straight into the table, as fast as it goes; only if that meets a message that is there
    already, through a table of its own."""
    blocks = arrivals.blocks()
    first = next(blocks, None)
    if first is None:
        return Stored(0, 0)
    try:
        with connection.transaction():
            _copy(connection, "chat_messages", chain([first], blocks))
        return Stored(len(arrivals.made), 0)
    except pg.UniqueViolation:
        pass
    except (psycopg.DataError, psycopg.IntegrityError):
        arrivals.finish()
        return _one_by_one(connection, arrivals.made)
    arrivals.finish()
    try:
        with connection.transaction():
            return Stored(_merge(connection, arrivals.made), 0)
    except (psycopg.DataError, psycopg.IntegrityError):
        return _one_by_one(connection, arrivals.made)


def _copy(connection: Connection, table: str, blocks: Iterable[str]) -> None:
    with connection.cursor() as cursor, cursor.copy(COPY.format(table)) as copy:
        for block in blocks:
            copy.write(block)


def _merge(connection: Connection, lines: Sequence[str]) -> int:
    connection.execute(
        "CREATE TEMPORARY TABLE chat_arrivals (LIKE chat_messages INCLUDING DEFAULTS)"
        " ON COMMIT DROP"
    )
    _copy(connection, "chat_arrivals", ["".join(lines)])
    inserted = connection.execute(
        f"INSERT INTO chat_messages ({COLUMNS}) SELECT {COLUMNS} FROM chat_arrivals"
        " ON CONFLICT (message_id) DO NOTHING"
    ).rowcount
    connection.execute("DROP TABLE chat_arrivals")
    return inserted


def _one_by_one(connection: Connection, lines: Sequence[str]) -> Stored:
    """What the database would not have must not keep out the rest."""
    new = refused = 0
    for line in lines:
        try:
            with connection.transaction():
                new += _merge(connection, [line])
        except (psycopg.DataError, psycopg.IntegrityError):
            refused += 1
    return Stored(new, refused)


def _take_back(connection: Connection, recording_id: int, vod_id: str, arrivals: _Arrivals) -> None:
    """Notes new marks, and when what they mean was taken back; older marks count for messages
    that arrive only now. The first mark counts."""
    marks = arrivals.rest.marks
    if marks:
        with connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO chat_marks (mark_id, recording_id, at, target_id, username,"
                " ban_seconds) VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
                [
                    (m.mark_id, recording_id, m.at, m.target_id, m.username, m.ban_seconds)
                    for m in marks
                ],
            )
    times = [mark.at for mark in marks] + ([arrivals.first] if arrivals.first else [])
    found = connection.execute(
        "SELECT mark_id FROM chat_marks WHERE recording_id = %s AND at >= %s",
        (recording_id, min(times) if times else None),
    ).fetchall()
    if found:
        apply_marks(connection, vod_id, [row["mark_id"] for row in found])


_THEIRS = (
    "m.message_id = k.target_id",
    "k.target_id IS NULL AND m.vod_id = %(vod)s AND m.username = k.username"
    ' AND m."timestamp" <= k.at',
    'k.target_id IS NULL AND k.username IS NULL AND m.vod_id = %(vod)s AND m."timestamp" <= k.at',
)


def apply_marks(connection: Connection, vod_id: str, mark_ids: Sequence[str]) -> None:
    """Marks what was said before these marks and is theirs."""
    for theirs in _THEIRS:
        connection.execute(
            "UPDATE chat_messages m SET deleted_at = first.at FROM ("
            " SELECT m.message_id, min(k.at) AS at FROM chat_marks k JOIN chat_messages m"
            f" ON m.deleted_at IS NULL AND {theirs}"
            " WHERE k.mark_id = ANY(%(marks)s) GROUP BY 1) AS first"
            " WHERE m.message_id = first.message_id",
            {"vod": vod_id, "marks": list(mark_ids)},
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
