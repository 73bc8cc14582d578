"""The thread that looks at the channels, each when its time has come."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from vodtender.daemon.lanes import Bell, Gate
from vodtender.errors import DatabaseUnavailable
from vodtender.model.next_look import after_look
from vodtender.pipeline.discover import Looked, discover
from vodtender.pipeline.workplace import Workplace

_YTDLP_LISTING_PAUSE = timedelta(minutes=5)
"""yt-dlp's listing is a web page's, not an API's: unless it is set otherwise, it is asked more
rarely."""
_LONGEST_WAIT_SECONDS = 60.0
_DATABASE_AWAY_SECONDS = 2.0


@dataclass(slots=True)
class _Channel:
    next_at: float = 0.0
    failures: int = 0
    settled: bool = False


class Lookout(threading.Thread):
    """Looks until the daemon stops; with `once`, at each channel until that is settled."""

    def __init__(self, place: Workplace, gate: Gate, bell: Bell, *, once: bool) -> None:
        super().__init__(name="lookout", daemon=True)
        self.failure: BaseException | None = None
        self._place = place
        self._gate = gate
        self._bell = bell
        self._once = once
        self._channels = {channel: _Channel() for channel in place.settings.channels}
        self._interval = _interval(place)

    @property
    def is_settled(self) -> bool:
        """Whether every channel was looked at, or cannot be looked at just now."""
        return all(channel.settled for channel in self._channels.values())

    def run(self) -> None:
        try:
            while not self._place.stopping.wait(self._pause_seconds()):
                self._look_at_what_is_due()
        except BaseException as error:
            self.failure = error

    def _pause_seconds(self) -> float:
        if self._gate.draining.is_set():
            return _LONGEST_WAIT_SECONDS
        due = [c.next_at for c in self._channels.values() if not (self._once and c.settled)]
        until_next = min(due, default=float("inf")) - time.monotonic()
        return max(0.0, min(until_next, _LONGEST_WAIT_SECONDS))

    def _look_at_what_is_due(self) -> None:
        for name, channel in self._channels.items():
            if self._place.stopping.is_set():
                return
            if time.monotonic() < channel.next_at or (self._once and channel.settled):
                continue
            try:
                looked = discover(self._place, name)
            except DatabaseUnavailable as error:
                self._gate.database_failed(error)
                channel.next_at = time.monotonic() + _DATABASE_AWAY_SECONDS
                continue
            if looked.new:
                self._bell.ring()
            self._plan(channel, looked)

    def _plan(self, channel: _Channel, looked: Looked) -> None:
        channel.failures = channel.failures + 1 if looked.error else 0
        next_look = after_look(
            looked.error,
            channel.failures,
            interval=self._interval,
            backoff=self._place.policy.download,
            now=datetime.now(UTC),
            jitter=self._place.chance.random(),
        )
        channel.settled |= next_look.settled
        channel.next_at = time.monotonic() + next_look.pause.total_seconds()


def _interval(place: Workplace) -> timedelta:
    as_set = place.settings.vod_process_interval
    if place.helix is not None or place.settings.origin("VOD_PROCESS_INTERVAL") != "default":
        return as_set
    return max(as_set, _YTDLP_LISTING_PAUSE)
