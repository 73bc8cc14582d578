"""Records one channel's chat into one VOD, for as long as it is told to.

    recorder = ChatRecorder(database, directory, target, address=settings.twitch_irc_url)
    recorder.run(stopping)            # in a thread of its own; returns soon after stopping is set

`target` is a row of `chat_recordings`, or is yet to be one. Nothing that happens
to the network, to Twitch or to the database ends `run`; only `stopping` does, and a mistake of
ours. What is heard goes to the VOD that the recording belongs to when it is stored. When it is
over, call `chat_recordings.end`. Whoever records must hold the channel's lease; two recorders
at once do no harm but to speed.

`store_left_behind` (in `chat_flush`) stores what recorders that died have left.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from vodtender import log, metrics
from vodtender.clients.attempt import attempt
from vodtender.clients.twitch import irc
from vodtender.clients.twitch.irc import ChatLogin, Patience
from vodtender.clients.twitch.irc_transport import DEFAULT_ADDRESS
from vodtender.errors import AuthExpired, Transient
from vodtender.model.backoff import Backoff
from vodtender.model.chat import Gap
from vodtender.pipeline.chat_flush import Flusher, Pace
from vodtender.pipeline.chat_journal import Journal
from vodtender.pipeline.chat_reader import Reader
from vodtender.pipeline.chat_target import Target
from vodtender.pipeline.directory import DataDirectory
from vodtender.store.chat_recordings import Report
from vodtender.store.database import Database

_log = log.get("chat")

RECONNECT = Backoff(1_000_000_000, timedelta(seconds=1), timedelta(seconds=60))
"""How long to wait before the next try of a connection: from 1 s to 60 s, without end."""

_TICK_SECONDS = 0.5
_OVERLAP_SECONDS = 2.0
"""How long a connection that was replaced is still listened to."""
_STABLE_SECONDS = 30.0
"""A connection that held for so long is no failed try."""


def _nobody() -> ChatLogin | None:
    return None


@dataclass(frozen=True, slots=True)
class Manner:
    """How connections are kept; tests are in more of a hurry."""

    patience: Patience = field(default_factory=Patience)
    backoff: Backoff = RECONNECT
    overlap_seconds: float = _OVERLAP_SECONDS


class ChatRecorder:
    """See the module. `login` is asked before each connection: whose name to read under, or
    None for anonymous reading. A login that Twitch refuses is told in the log and in the
    recording's `problem`, and reading goes on without it until `login` gives another."""

    def __init__(
        self,
        database: Database,
        directory: DataDirectory,
        target: Target,
        *,
        address: str = DEFAULT_ADDRESS,
        login: Callable[[], ChatLogin | None] = _nobody,
        worker_id: str | None = None,
        manner: Manner | None = None,
        reserve_bytes: int = 0,
        chance: random.Random | None = None,
    ) -> None:
        self._target = target
        self._reserve_bytes = reserve_bytes
        self._journal: Journal | None = None
        self._database = database
        self._directory = directory
        self._address = address
        self._login = login
        self._worker_id = worker_id
        self._manner = manner or Manner()
        self._chance = chance or random.Random()  # noqa: S311
        self._log = _log.bind(channel=target.channel, vod=target.vod_id)
        self._news = threading.Condition()
        self._refused_token: str | None = None
        self._problem: str | None = None
        self._reconnections = target.known.reconnections if target.known else 0
        self._current: Reader | None = None
        self._replaced: list[Reader] = []
        self._connected_before = False
        self._deaf_since: float | None = None

    def run(self, stopping: threading.Event) -> None:
        """Records until `stopping` is set.

        Raises:
            Locked: another process on this machine records into this recording.
            SettingsError: the address is none, or SSL_CERT_FILE names nothing readable.
        """
        with Journal(
            self._directory,
            self._target.journal_name,
            note=self._target.note,
            reserve_bytes=self._reserve_bytes,
        ) as journal:
            self._journal = journal
            flusher = Flusher(self._database, journal, self._target, self._report)
            flusher.start()
            try:
                self._listen(journal, flusher, stopping)
            finally:
                self._fall_silent(journal)
                flusher.stop()
                flusher.join()
                self._log.info("chat recorder stopped")
        if flusher.failure is not None:
            raise flusher.failure

    def _listen(self, journal: Journal, flusher: Flusher, stopping: threading.Event) -> None:
        failures = 0
        next_try = 0.0
        while not stopping.is_set() and flusher.is_alive():
            current = self._current
            if current is not None and current.has_ended:
                failures = self._lost(current, journal, failures)
                next_try = time.monotonic() + self._wait_seconds(failures)
                current = None
            if (current is None or current.wants_reconnect) and time.monotonic() >= next_try:
                if self._replace(journal, stopping):
                    continue
                failures += 1
                next_try = time.monotonic() + self._wait_seconds(failures)
            until_try = max(0.01, next_try - time.monotonic()) if current is None else _TICK_SECONDS
            with self._news:
                self._news.wait_for(self._is_news, min(_TICK_SECONDS, until_try))

    def _is_news(self) -> bool:
        current = self._current
        return current is not None and (current.has_ended or current.wants_reconnect)

    def _wait_seconds(self, failures: int) -> float:
        if not failures:
            return 0.0
        return self._manner.backoff.wait(failures, self._chance.random()).total_seconds()

    def _lost(self, reader: Reader, journal: Journal, failures: int) -> int:
        """Nobody listens any more; returns how many tries have failed by now."""
        self._current = None
        self._deaf_since = reader.heard_at
        self._log.warning("IRC disconnected", why=reader.why)
        self._note_gap(journal, reader.heard_at, None, reader.why)
        return 1 if reader.lasted_seconds > _STABLE_SECONDS else failures + 1

    def _replace(self, journal: Journal, stopping: threading.Event) -> bool:
        """A new connection in the place of the current one, if there is one; that one is
        listened to until the new one is in the channel, and a little longer."""
        before = self._current
        reader = self._connect(journal, stopping)
        if reader is None:
            return False
        if self._connected_before:
            self._reconnections += 1
            metrics.chat_reconnections.inc()
        else:
            journal.resumed(_time(reader.joined_at))
        self._connected_before = True
        if before is not None:
            before.retire(self._manner.overlap_seconds)
            self._replaced = [reader for reader in self._replaced if reader.is_alive()] + [before]
            if before.has_ended and before.heard_at < reader.joined_at:
                self._note_gap(journal, before.heard_at, reader.joined_at, before.why)
        elif self._deaf_since is not None:
            self._note_gap(journal, self._deaf_since, reader.joined_at, "")
        self._deaf_since = None
        self._current = reader
        self._log.info("connected to the chat", identity=reader.identity)
        reader.start()
        return True

    def _connect(self, journal: Journal, stopping: threading.Event) -> Reader | None:
        patience = self._manner.patience
        try:
            login = attempt(self._login, patience.connect_seconds, stopping.is_set)
        except TimeoutError:
            login = None  # a chat that is read without a name is better than none
        if login is not None and login.token == self._refused_token:
            login = None
        try:
            connection = irc.connect(
                self._address,
                self._target.channel,
                login,
                patience,
                give_up=stopping.is_set,
            )
            reader = Reader(connection, journal, self._target.channel, self._wake)
            reader.join_channel(stopping)
        except AuthExpired as error:
            assert login is not None
            self._refused_token, self._problem = login.token, error.message
            self._log.error("chat login refused; reading without it", exc=error)
            return self._connect(journal, stopping)
        except Transient as error:
            if not stopping.is_set():
                self._log.warning("IRC disconnected", why=error.message)
            return None
        if login is not None:
            self._problem = None
        return reader

    def _note_gap(self, journal: Journal, since: float, until: float | None, why: str) -> None:
        """As it begins, and again with its end."""
        metrics.chat_gaps.inc(until is None)
        journal.gap(Gap(_time(since), None if until is None else _time(until), why))

    def _fall_silent(self, journal: Journal) -> None:
        """Ends the connections; up to here everything was heard."""
        for reader in self._replaced:
            reader.retire(0.0)
            reader.join()
        current = self._current
        if current is not None:
            current.retire(0.0)
            current.join()
            if not current.failed:
                journal.heard_until(current.heard_at)
            self._current = None

    def _report(self, pace: Pace) -> Report:
        current = self._current
        return Report(
            worker_id=self._worker_id,
            connected_since=_time(current.joined_at) if current is not None else None,
            identity=current.identity if current is not None else None,
            problem=self._problem or (self._journal.trouble if self._journal else None),
            reconnections=self._reconnections,
            messages_per_minute=pace.per_minute,
            latency_seconds=pace.latency_seconds,
        )

    def _wake(self) -> None:
        with self._news:
            self._news.notify_all()


def _time(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
