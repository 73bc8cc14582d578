"""The threads that look at the channels, each when its time has come.

There are several, so that a channel whose listing takes long, or hangs, does not keep the others
waiting.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from vodtender.daemon.lanes import Bell, Gate
from vodtender.errors import DatabaseUnavailable
from vodtender.model.next_look import NextLook, after_anothers_look, after_look
from vodtender.pipeline.discover import Looked, discover
from vodtender.pipeline.workplace import Workplace

_AT_ONCE = 3
_YTDLP_LISTING_PAUSE = timedelta(minutes=5)
"""yt-dlp's listing is a web page's, not an API's: unless it is set otherwise, it is asked more
rarely."""
_LONGEST_WAIT_SECONDS = 60.0
_DATABASE_AWAY_SECONDS = 2.0


@dataclass(slots=True)
class _Channel:
    name: str
    next_at: float = 0.0
    failures: int = 0
    settled: bool = False
    in_hand: bool = False


class Lookout:
    """Looks until the daemon stops; with `once`, at each channel until that is settled."""

    def __init__(self, place: Workplace, gate: Gate, bell: Bell, *, once: bool) -> None:
        self.place = place
        self.gate = gate
        self._bell = bell
        self._once = once
        self._channels = [_Channel(name) for name in place.settings.channels]
        self._choosing = threading.Lock()
        self._interval = _interval(place, by_helix=place.helix is not None)
        count = min(_AT_ONCE, max(1, len(self._channels)))
        self.threads = [LookoutThread(self, number) for number in range(1, count + 1)]

    @property
    def is_settled(self) -> bool:
        """Whether every channel was looked at, or cannot be looked at just now."""
        return all(channel.settled for channel in self._channels)

    def pause_seconds(self) -> float:
        """Until there is something to look at that nobody looks at already."""
        if self.gate.draining.is_set():
            return _LONGEST_WAIT_SECONDS
        with self._choosing:
            due = [one.next_at for one in self._free()]
        until_next = min(due, default=float("inf")) - time.monotonic()
        return max(0.0, min(until_next, _LONGEST_WAIT_SECONDS))

    def look_at_what_is_due(self) -> None:
        """At the channel that has waited longest, if one is due."""
        with self._choosing:
            channel = min(self._free(), key=lambda one: one.next_at, default=None)
            if channel is None or time.monotonic() < channel.next_at:
                return
            channel.in_hand = True
        try:
            self._look(channel)
        finally:
            channel.in_hand = False

    def _free(self) -> list[_Channel]:
        """Those to look at, now or some time, that nobody looks at."""
        once = self._once
        return [one for one in self._channels if not (one.in_hand or (once and one.settled))]

    def _look(self, channel: _Channel) -> None:
        try:
            looked = discover(self.place, channel.name)
        except DatabaseUnavailable as error:
            self.gate.database_failed(error)
            channel.next_at = time.monotonic() + _DATABASE_AWAY_SECONDS
            return
        if looked.new:
            self._bell.ring()
        self._plan(channel, looked)

    def _plan(self, channel: _Channel, looked: Looked) -> None:
        channel.failures = channel.failures + 1 if looked.error else 0
        next_look = self._after(looked, channel.failures)
        channel.next_at = time.monotonic() + next_look.pause.total_seconds()
        channel.settled |= next_look.settled

    def _after(self, looked: Looked, failures: int) -> NextLook:
        if looked.by_another:
            return after_anothers_look(self._interval)
        return after_look(
            looked.error,
            failures,
            interval=_interval(self.place, by_helix=False) if looked.spared else self._interval,
            backoff=self.place.policy.download,
            now=datetime.now(UTC),
            jitter=self.place.chance.random(),
        )


class LookoutThread(threading.Thread):
    """One of them."""

    def __init__(self, lookout: Lookout, number: int) -> None:
        super().__init__(name=f"lookout {number}", daemon=True)
        self.failure: BaseException | None = None
        self._lookout = lookout

    def run(self) -> None:
        try:
            stopping = self._lookout.place.stopping
            while not stopping.wait(self._lookout.pause_seconds()):
                self._lookout.look_at_what_is_due()
        except BaseException as error:
            self.failure = error


def _interval(place: Workplace, *, by_helix: bool) -> timedelta:
    as_set = place.settings.vod_process_interval
    if by_helix or place.settings.origin("VOD_PROCESS_INTERVAL") != "default":
        return as_set
    return max(as_set, _YTDLP_LISTING_PAUSE)
