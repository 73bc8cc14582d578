"""Whether the disk has room for another download."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from vodtender.model.disk import reserve_bytes
from vodtender.model.vod import Vod
from vodtender.pipeline.directory import DataDirectory

_REST_SECONDS = 30.0
_LONGEST_REST_SECONDS = 1800.0
_BRIEF_RESTS = 3
"""After so many rests of a VOD something stands in its way that will not go soon."""
_ROUGH_SHARE = 0.25
"""By so much of it may be wrong what a VOD is said to need: told from its first segments."""


@dataclass(slots=True)
class DownloadRoom:
    """No download begins while the disk has less free than the reserve.

    What a VOD needs is known roughly once part of it is there. One that did not fit waits until
    there is room for the rest of it, and lets smaller ones go before it meanwhile. Where there
    seems to be room, or nearly, it waits for a while: quotas and limits on files do not show in
    what is free, and on a disk that only just holds it a guess must not keep it off for ever.
    """

    directory: DataDirectory
    wanted_reserve_bytes: int | None
    """None: as much as suits the disk."""
    _needed: dict[int, tuple[str, int]] = field(default_factory=dict)
    _resting_until: dict[int, float] = field(default_factory=dict)
    _rests: dict[int, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def reserve_bytes(self) -> int:
        """What downloads leave free."""
        return reserve_bytes(self.wanted_reserve_bytes, self.directory.room().total_bytes)

    def did_not_fit(self, vod: Vod, needed_bytes: int) -> None:
        """A VOD's download ran out of room; it needs so much in all, what is kept included."""
        with self._lock:
            self._needed[vod.id] = (vod.twitch_vod_id, needed_bytes)
            self._resting_until.pop(vod.id, None)  # of an earlier time
        if vod.id not in self.too_large_now():
            rests = self._rests[vod.id] = self._rests.get(vod.id, 0) + 1
            rest = _REST_SECONDS * 2.0 ** min(max(0, rests - _BRIEF_RESTS), 20)
            self._resting_until[vod.id] = time.monotonic() + min(rest, _LONGEST_REST_SECONDS)

    def fitted(self, vod: Vod) -> None:
        """It is there."""
        with self._lock:
            self._needed.pop(vod.id, None)
        self._resting_until.pop(vod.id, None)
        self._rests.pop(vod.id, None)

    @property
    def may_fit_soon(self) -> bool:
        """Whether a VOD that seems to have room will be tried again after a short rest."""
        now = time.monotonic()
        return any(
            now < until and self._rests.get(row_id, 0) <= _BRIEF_RESTS
            for row_id, until in list(self._resting_until.items())
        )

    def too_large_now(self) -> dict[int, int]:
        """The VODs that did not fit and for which there clearly still is no room, or that rest:
        how many bytes more they need than there are, by their rows."""
        room = self.directory.room().free_bytes - self.reserve_bytes
        with self._lock:
            needed = dict(self._needed)
        now = time.monotonic()
        wanting = {}
        for row_id, (twitch_vod_id, needed_bytes) in needed.items():
            lacking = needed_bytes - self.directory.kept_bytes(twitch_vod_id) - room
            rests = now < self._resting_until.get(row_id, 0.0)
            if rests or lacking > needed_bytes * _ROUGH_SHARE:
                wanting[row_id] = max(1, lacking)
        return wanting

    def why_none(self) -> str | None:
        """Why no download is begun now; None: there is room for some."""
        free, reserve = self.directory.room().free_bytes, self.reserve_bytes
        if free >= reserve:
            return None
        return (
            f"the disk of {self.directory.root} has {_mb(free)} free; downloads wait until there"
            f" are {_mb(reserve)} (DISK_RESERVE)"
        )

    def why_some_wait(self) -> str | None:
        """The same, or why some VODs are passed over."""
        too_large = self.too_large_now()
        if not too_large:
            return self.why_none()
        return self.why_none() or (
            f"the disk of {self.directory.root} has too little room for {len(too_large)} of the"
            f" next VODs; the smallest wants {_mb(min(too_large.values()))} more"
        )


def _mb(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.0f} MB"
