"""From a chat's journal into the database."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from vodtender import log, metrics
from vodtender.errors import DatabaseUnavailable, Locked
from vodtender.pipeline.chat_journal import Journal, left_behind
from vodtender.pipeline.chat_pieces import Piece, batches_of
from vodtender.pipeline.chat_target import Target, begin_left_behind, noted
from vodtender.pipeline.directory import DataDirectory
from vodtender.store import chat, chat_recordings
from vodtender.store.chat_recordings import Report
from vodtender.store.database import Database

FLUSH_SECONDS = 0.25
"""How long the first of some messages waits for others."""
_REPORT_SECONDS = 5.0
_DATABASE_AWAY_SECONDS = 1.0
_LONGEST_AWAY_SECONDS = 5.0
_RATE_SECONDS = 10.0
_MINUTE_SECONDS = 60.0
_CONNECTION_SECONDS = 3.0
_log = log.get("chat")


class Flusher(threading.Thread):
    """Stores what a journal holds, as it comes. `look` says how the recorder fares; it is
    stored, too. Ends soon after `stop`, having tried once more."""

    def __init__(
        self,
        database: Database,
        journal: Journal,
        target: Target,
        look: Callable[[Pace], Report],
    ) -> None:
        super().__init__(name=f"chat flush {target.channel}", daemon=True)
        self.failure: BaseException | None = None
        self._database = database
        self._journal = journal
        self._target = target
        self._channel = target.channel
        self._look = look
        self._stopping = threading.Event()
        self._pace = Pace()
        self._reported: Report | None = None
        self._reported_at = 0.0
        self._away = False
        self._trouble: str | None = None

    def stop(self) -> None:
        """What is there is stored if the database takes it, and stays in the journal else."""
        self._stopping.set()
        self._journal.arrived.set()

    def run(self) -> None:
        try:
            self._work()
        except BaseException as error:
            self.failure = error

    def _work(self) -> None:
        away_seconds = _DATABASE_AWAY_SECONDS
        while True:
            last = self._stopping.is_set()
            if last and self._away:
                return  # it is on the disk
            self._tell_trouble()
            try:
                self._store_all()
                self._report(last)
                away_seconds = _DATABASE_AWAY_SECONDS
                self._back()
            except (DatabaseUnavailable, OSError) as error:
                self._failed(error)
                self._stopping.wait(away_seconds)
                away_seconds = min(away_seconds * 2, _LONGEST_AWAY_SECONDS)
            if last:
                return
            self._journal.arrived.wait(_REPORT_SECONDS)
            self._stopping.wait(FLUSH_SECONDS)

    def _store_all(self) -> None:
        while (piece := self._journal.take()) is not None:
            recording = self._target.recording(self._database)
            store_piece(self._database, recording.id, self._channel, piece, self._pace)
            self._journal.done(piece)

    def _report(self, last: bool) -> None:
        now = time.monotonic()
        said = self._look(self._pace)
        rate = 0.0 if last else self._pace.per_second(_RATE_SECONDS)
        metrics.chat_rate.labels(self._channel).set(rate)
        changed = self._reported is None or (
            (said.connected_since, said.identity, said.problem)
            != (self._reported.connected_since, self._reported.identity, self._reported.problem)
        )
        if not changed and now - self._reported_at < _REPORT_SECONDS and not last:
            return
        recording = self._target.recording(self._database)
        with self._database.transaction(
            timeout_seconds=10, wait_seconds=_CONNECTION_SECONDS
        ) as connection:
            chat_recordings.report(connection, recording.id, said)
        self._reported, self._reported_at = said, now

    def _tell_trouble(self) -> None:
        trouble = self._journal.trouble
        if trouble is not None and trouble != self._trouble:
            _log.error(trouble, channel=self._channel, hint="make room on the disk of DATA_DIR")
        self._trouble = trouble

    def _failed(self, error: DatabaseUnavailable | OSError) -> None:
        metrics.db_errors.inc()
        if not self._away:
            why = error.message if isinstance(error, DatabaseUnavailable) else str(error)
            _log.error(
                "chat cannot be stored now; it is kept on the disk",
                channel=self._channel,
                why=why,
            )
        self._away = True

    def _back(self) -> None:
        if self._away:
            _log.info("chat is stored again", channel=self._channel)
        self._away = False


class Pace:
    """How fast messages come in, and how long they take."""

    def __init__(self) -> None:
        self.latency_seconds: float | None = None
        self._stored: deque[tuple[float, int]] = deque()

    def count(self, messages: int) -> None:
        """So many were stored now."""
        now = time.monotonic()
        self._stored.append((now, messages))
        while self._stored and self._stored[0][0] < now - _MINUTE_SECONDS:
            self._stored.popleft()

    def per_second(self, seconds: float) -> float:
        """The mean of the last so many seconds, at most a minute's."""
        since = time.monotonic() - seconds
        return sum(number for at, number in self._stored if at >= since) / seconds

    @property
    def per_minute(self) -> float:
        """Messages of the last minute."""
        return round(self.per_second(_MINUTE_SECONDS) * _MINUTE_SECONDS, 1)


def store_piece(
    database: Database, recording_id: int, channel: str, piece: Piece, pace: Pace
) -> int:
    """Stores one piece; returns how many messages were new. Raises DatabaseUnavailable."""
    try:
        with database.transaction(wait_seconds=_CONNECTION_SECONDS) as connection:
            stored = chat.store(connection, recording_id, batches_of(piece))
    except LookupError:
        _log.warning("a chat recording is gone; what was heard for it is dropped", id=recording_id)
        return 0
    now, times = time.time(), [at.timestamp() for at in stored.heard_at]
    for at in times:
        metrics.chat_latency_seconds.observe(max(0.0, now - at))
    if times:
        pace.latency_seconds = round(max(0.0, now - min(times)), 3)
    if stored.new:
        metrics.chat_messages.labels(channel).inc(stored.new)
        pace.count(stored.new)
    if stored.refused:
        metrics.chat_refused.inc(stored.refused)
        _log.error(
            "the database would not have some messages", channel=channel, number=stored.refused
        )
    return stored.new


def store_left_behind(database: Database, directory: DataDirectory) -> int:
    """Stores what recorders that died have left in DATA_DIR; returns how many messages were
    new. What a living recorder has in hand is left to it. Raises DatabaseUnavailable."""
    new = 0
    for name in left_behind(directory):
        try:
            journal = Journal(directory, name)
        except Locked:
            continue
        with journal:
            new += _store_journal(database, journal)
    return new


def _store_journal(database: Database, journal: Journal) -> int:
    recording_id, channel = _whose(database, journal)
    new = 0
    while (piece := journal.take()) is not None:
        new += store_piece(database, recording_id, channel, piece, Pace())
        journal.done(piece)
    if new:
        _log.info("stored what a recorder had left behind", channel=channel, messages=new)
    return new


def _whose(database: Database, journal: Journal) -> tuple[int, str]:
    """The row of a recording, and its channel; 0 if there is none any more."""
    name, stream = journal.root.name, noted(journal.root)
    with database.transaction() as connection:
        if stream is not None:
            made = begin_left_behind(connection, stream, journal.last_written_at)
            return made.id, made.channel
        known = chat_recordings.get(connection, int(name)) if name.isdecimal() else None
    return (0, "") if known is None else (known.id, known.channel)
