"""A VOD while it is worked on: its claim is renewed, and the work is told when to stop."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from types import TracebackType
from typing import Self

from vodtender import log, metrics
from vodtender.errors import DatabaseUnavailable, LeaseLost
from vodtender.model.vod import Stage, Vod
from vodtender.pipeline.workplace import Workplace
from vodtender.store import claims
from vodtender.store.claims import Claim, Progress

_LONGEST_BEAT_SECONDS = 2.0
_BEATS_PER_LEASE = 5
_log = log.get("lease")


def _seconds() -> float:
    """Time that goes on while the process or the machine is stopped."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class ClaimedVod:
    """Renews a claim from a thread of its own, and tells the work when it has to stop.

    The work asks `should_stop()` before everything it writes. It becomes true when the daemon
    stops, when an operator cancels, when the claim is somebody else's, and also when the lease
    has run out by our own clock: a process that slept longer than its lease must find out
    before it writes, not at its next heartbeat.
    """

    def __init__(self, place: Workplace, vod: Vod) -> None:
        self.vod = vod
        self.claim = Claim(vod.id, place.worker_id, vod.claim)
        self.cancel_reason: str | None = None
        self.is_lost = False
        self.ending = False
        """The result is being stored, and the claim ends with that; a heartbeat may find out."""
        self._place = place
        self._lease_seconds = float(place.settings.lease_seconds)
        self._good_until = _seconds() + self._lease_seconds
        self._progress: Progress | None = None
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"lease {vod.id}", daemon=True)

    def should_stop(self) -> bool:
        """Whether the work is to end now, at the next safe point."""
        return (
            self._place.stopping.is_set()
            or self.is_lost
            or self.cancel_reason is not None
            or _seconds() >= self._good_until
        )

    def report(self, progress: Progress) -> None:
        """How far it is; stored with the next heartbeat."""
        self._progress = progress

    def advance(self, to: Stage) -> None:
        """The work goes on in another stage. Raises LeaseLost."""
        with self._place.database.transaction() as connection:
            claims.advance(connection, self.claim, to)
        self.vod = replace(self.vod, stage=to)

    def renew(self) -> None:
        """One heartbeat. Raises LeaseLost or DatabaseUnavailable."""
        sent_at = _seconds()
        with self._place.database.transaction(timeout_seconds=10) as connection:
            reason = claims.renew(connection, self.claim, self._lease_seconds, self._progress)
        self._good_until = sent_at + self._lease_seconds
        self.cancel_reason = self.cancel_reason or reason

    def _beat(self) -> None:
        pause = min(_LONGEST_BEAT_SECONDS, self._lease_seconds / _BEATS_PER_LEASE)
        while not self._done.wait(pause):
            try:
                self.renew()
            except LeaseLost:
                self.is_lost = True
                if not self.ending:
                    _log.warning("the VOD is no longer ours, stopping", vod=self.vod.twitch_vod_id)
                return
            except DatabaseUnavailable as error:
                metrics.db_errors.inc()
                _log.debug("heartbeat failed", vod=self.vod.twitch_vod_id, why=error.message)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join()
