"""The threads that work: each takes one kind of work, one piece after another."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from vodtender import log, metrics
from vodtender.errors import DatabaseUnavailable
from vodtender.pipeline.work import Lane, work_on_next
from vodtender.pipeline.workplace import Workplace
from vodtender.store import workers

_POLL_SECONDS = 5.0
_DATABASE_AWAY_SECONDS = 1.0
_LONGEST_AWAY_SECONDS = 15.0
_log = log.get("daemon")


@dataclass(slots=True)
class Bell:
    """Wakes whoever waits for work. Each waiter hears every ring."""

    _condition: threading.Condition = field(default_factory=threading.Condition)
    _rings: int = 0

    def ring(self) -> None:
        """There may be something to do."""
        with self._condition:
            self._rings += 1
            self._condition.notify_all()

    @property
    def rings(self) -> int:
        """To be read before looking for work, so that no ring is missed."""
        with self._condition:
            return self._rings

    def wait(self, rings_heard: int, timeout_seconds: float) -> None:
        """Until the next ring after those heard, or the timeout."""
        with self._condition:
            self._condition.wait_for(lambda: self._rings != rings_heard, timeout_seconds)


@dataclass(slots=True)
class DatabaseWatch:
    """Since when the database is away, as seen by this process."""

    away_since: float | None = None
    why: str = ""

    def failed(self, error: DatabaseUnavailable, now: float) -> None:
        metrics.db_errors.inc()
        if self.away_since is None:
            self.away_since = now
            _log.error("the database is away; waiting", why=error.message, hint=error.hint or None)
        self.why = error.message

    def works(self) -> None:
        if self.away_since is not None:
            _log.info("the database is back")
        self.away_since = None


class LaneThread(threading.Thread):
    """Works until the daemon stops. `takes_work` may forbid it to begin anything new."""

    def __init__(self, name: str, place: Workplace, lane: Lane, gate: Gate, bell: Bell) -> None:
        super().__init__(name=name, daemon=True)
        self.failure: BaseException | None = None
        self._place = place
        self._lane = lane
        self._gate = gate
        self._bell = bell

    def run(self) -> None:
        try:
            self._work()
        except BaseException as error:
            self.failure = error
        finally:
            self._bell.ring()

    def _work(self) -> None:
        away_seconds = _DATABASE_AWAY_SECONDS
        while not self._place.stopping.is_set():
            rings = self._bell.rings
            try:
                busy = self._gate.is_open(self._lane) and work_on_next(self._place, self._lane)
                self._gate.database.works()
                away_seconds = _DATABASE_AWAY_SECONDS
            except DatabaseUnavailable as error:
                self._gate.database_failed(error)
                self._place.stopping.wait(away_seconds)
                away_seconds = min(away_seconds * 2, _LONGEST_AWAY_SECONDS)
                continue
            if busy:
                self._bell.ring()
            else:
                self._bell.wait(rings, _POLL_SECONDS)


class Gate:
    """Whether a lane may begin something new."""

    def __init__(self, place: Workplace) -> None:
        self.place = place
        self.draining = threading.Event()
        self.database = DatabaseWatch()

    def is_open(self, lane: Lane) -> bool:
        """Nothing is begun while draining or where DATA_DIR has gone; downloads need room on
        the disk, uploads and checks an account. Raises DatabaseUnavailable."""
        with self.place.database.transaction() as connection:
            if workers.is_draining(connection, self.place.worker_id):
                self.drain()
            uploads_wanted = self.place.accounts.uploads_wanted(connection)
        if self.draining.is_set() or not self._has_directory():
            return False
        if lane.direction == "download":
            return self._has_room()
        return uploads_wanted

    def drain(self) -> None:
        """Nothing new is begun from now on."""
        if not self.draining.is_set():
            self.draining.set()
            _log.info("draining: nothing new is begun")

    def _has_room(self) -> bool:
        why_none = self.place.room.why_none()
        if why_none is not None and self.place.is_news("no room"):
            _log.warning("no download is begun", why=why_none)
        return why_none is None

    def _has_directory(self) -> bool:
        """A disk that is not there must not pass for one whose files were all deleted."""
        directory = self.place.directory
        there = directory.is_there()
        if not there and self.place.is_news("no directory"):
            _log.error(
                "DATA_DIR is not the directory it was; waiting",
                path=directory.root,
                hint="is its disk still mounted?",
            )
        return there

    def database_failed(self, error: DatabaseUnavailable) -> None:
        """Notes it, and starts the database again if it is the embedded one. While stopping it
        is no news: the database is being left."""
        if self.place.stopping.is_set():
            return
        self.database.failed(error, time.time())
        try:
            self.place.database.revive()
        except DatabaseUnavailable as still:
            _log.debug("the embedded database does not start", why=still.message)
