"""Looks at the queue all the time: how long does what a killed daemon had in hand lie idle?"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg.rows import dict_row

_LOOK_SECONDS = 0.1
_ENDED = ("published", "failed", "skipped")


@dataclass(frozen=True, slots=True)
class _Dropped:
    claim: int
    at: float


@dataclass
class Watch:
    """`longest_recovery_seconds`: from a kill until somebody works on the VOD again, or until
    it waits for something that has nothing to do with the kill."""

    dsn: str
    longest_recovery_seconds: float = 0.0
    unfinished: int = 0
    _dropped: dict[str, _Dropped] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _ended: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        assert self._thread is not None
        self._thread.join()

    def killed(self, pid: int) -> None:
        """A daemon has just been killed."""
        try:
            with self._connect() as connection:
                rows = _rows(connection)
        except psycopg.Error:
            return  # the database was killed as well
        now = time.monotonic()
        with self._lock:
            for row in rows:
                if f"-{pid}-" in (row["worker_id"] or ""):
                    self._dropped[row["twitch_vod_id"]] = _Dropped(row["claim"], now)

    @property
    def waiting(self) -> list[str]:
        """What nobody has taken up yet."""
        with self._lock:
            return sorted(self._dropped)

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                with self._connect() as connection:
                    while not self._ended.wait(_LOOK_SECONDS):
                        self._note({row["twitch_vod_id"]: row for row in _rows(connection)})
            except psycopg.Error:
                self._ended.wait(_LOOK_SECONDS)  # until it is started again

    def _note(self, rows: dict[str, dict[str, Any]]) -> None:
        self.unfinished = sum(row["stage"] not in _ENDED for row in rows.values())
        now = time.monotonic()
        with self._lock:
            for vod_id, dropped in list(self._dropped.items()):
                row = rows.get(vod_id)
                if row is None or not _taken_up(row, dropped.claim):
                    continue
                del self._dropped[vod_id]
                waited = now - dropped.at
                self.longest_recovery_seconds = max(self.longest_recovery_seconds, waited)

    def _connect(self) -> psycopg.Connection[dict[str, Any]]:
        return psycopg.connect(self.dsn, row_factory=dict_row, autocommit=True, connect_timeout=2)


def _rows(connection: psycopg.Connection[dict[str, Any]]) -> list[dict[str, Any]]:
    return connection.execute(
        "SELECT twitch_vod_id, worker_id, claim, stage, next_try_at FROM vods"
    ).fetchall()


def _taken_up(row: dict[str, Any], claim: int) -> bool:
    worked_on = row["worker_id"] is not None and row["claim"] > claim
    return worked_on or row["next_try_at"] is not None or row["stage"] in _ENDED
