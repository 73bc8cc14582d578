"""Chat in the database: messages in bulk, what was taken back of them, and where nobody listened.

Whatever is stored twice is stored once: messages and marks have ids, gaps begin at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import chain

import psycopg

from vodtender.model.chat import ChatMessage, Gap, Mark
from vodtender.model.chat_patterns import Plain
from vodtender.store import chat_rows
from vodtender.store.chat_rows import COLUMNS, COPY, Home
from vodtender.store.database import Connection


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
    plain: list[Plain] = field(default_factory=list)


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
    arrivals = _Arrivals(batches, Home(found["vod_id"], found["channel"], found["began_at"]))
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

    def __init__(self, batches: Iterable[Batch], home: Home) -> None:
        self.rest = Batch()
        self.first: datetime | None = None
        self.last: datetime | None = None
        self.made: list[str] = []
        """Rows, many in each of these."""
        self.number = 0
        self._batches = iter(batches)
        self._home = home

    def blocks(self) -> Iterator[str]:
        """Rows that follow those that were made, some at a time."""
        for batch in self._batches:
            self._keep(batch)
            rows = chat_rows.of_plain(batch.plain, self._home)
            rows += chat_rows.of_messages(batch.messages, self._home)
            if rows:
                self.number += len(batch.plain) + len(batch.messages)
                self.made.append(rows)
                yield rows

    def rows(self) -> list[str]:
        """All there are, also those that were not yet asked for."""
        for _ in self.blocks():
            pass
        return [f"{row}\n" for row in "".join(self.made).split("\n")[:-1]]

    def _keep(self, batch: Batch) -> None:
        rest = self.rest
        rest.marks += batch.marks
        rest.gaps += batch.gaps
        rest.heard_at += batch.heard_at
        rest.resumed += batch.resumed
        if batch.heard_until is not None:
            rest.heard_until = max(rest.heard_until or batch.heard_until, batch.heard_until)
        times = [message.timestamp for message in batch.messages]
        if batch.plain:
            sent = [message[1] for message in batch.plain]
            times += [datetime.fromtimestamp(int(at) / 1000, UTC) for at in (min(sent), max(sent))]
        if times:
            self.first = min([*times, self.first or times[0]])
            self.last = max([*times, self.last or times[0]])


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
        return Stored(arrivals.number, 0)
    except (psycopg.DataError, psycopg.IntegrityError):
        return _merge_what_can_be(connection, arrivals.rows())


def _merge_what_can_be(connection: Connection, rows: Sequence[str]) -> Stored:
    """What the database would not have must not keep out the rest: it is looked for by halves."""
    try:
        with connection.transaction():
            return Stored(_merge(connection, rows), 0)
    except (psycopg.DataError, psycopg.IntegrityError):
        if len(rows) == 1:
            return Stored(0, 1)
    half = len(rows) // 2
    found = [_merge_what_can_be(connection, part) for part in (rows[:half], rows[half:])]
    return Stored(sum(one.new for one in found), sum(one.refused for one in found))


def _copy(connection: Connection, table: str, blocks: Iterable[str]) -> None:
    with connection.cursor() as cursor, cursor.copy(COPY.format(table)) as copy:
        for block in blocks:
            copy.write(block)


def _merge(connection: Connection, rows: Sequence[str]) -> int:
    connection.execute(
        "CREATE TEMPORARY TABLE chat_arrivals (LIKE chat_messages INCLUDING DEFAULTS)"
        " ON COMMIT DROP"
    )
    _copy(connection, "chat_arrivals", ["".join(rows)])
    inserted = connection.execute(
        f"INSERT INTO chat_messages ({COLUMNS}) SELECT {COLUMNS} FROM chat_arrivals"
        " ON CONFLICT DO NOTHING"
    ).rowcount
    connection.execute("DROP TABLE chat_arrivals")
    return inserted


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
    'k.target_id IS NULL AND m.username = k.username AND m."timestamp" <= k.at',
    'k.target_id IS NULL AND k.username IS NULL AND m."timestamp" <= k.at',
)


def apply_marks(connection: Connection, vod_id: str, mark_ids: Sequence[str]) -> None:
    """Marks what was said before these marks and is theirs."""
    for theirs in _THEIRS:
        connection.execute(
            "UPDATE chat_messages m SET deleted_at = first.at FROM ("
            " SELECT m.message_id, min(k.at) AS at FROM chat_marks k JOIN chat_messages m"
            f" ON m.vod_id = %(vod)s AND m.deleted_at IS NULL AND {theirs}"
            " WHERE k.mark_id = ANY(%(marks)s) GROUP BY 1) AS first"
            " WHERE m.vod_id = %(vod)s AND m.message_id = first.message_id",
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
