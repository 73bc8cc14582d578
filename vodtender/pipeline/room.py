"""Whether the disk has room for another download."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from vodtender.model.disk import reserve_bytes
from vodtender.pipeline.directory import DataDirectory


@dataclass(slots=True)
class DownloadRoom:
    """Downloads wait while the disk has less free than the reserve and what is needed.

    What a VOD needs is known once part of it is there; one that did not fit is remembered
    until there is room for it.
    """

    directory: DataDirectory
    wanted_reserve_bytes: int | None
    """None: as much as suits the disk."""
    _needed: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def reserve_bytes(self) -> int:
        """What downloads leave free."""
        return reserve_bytes(self.wanted_reserve_bytes, self.directory.room().total_bytes)

    def did_not_fit(self, twitch_vod_id: str, still_needed_bytes: int) -> None:
        """A download ran out of room and wants so much more than there was to go on."""
        with self._lock:
            self._needed[twitch_vod_id] = still_needed_bytes

    def fitted(self, twitch_vod_id: str) -> None:
        """It is there, or not wanted any more."""
        with self._lock:
            self._needed.pop(twitch_vod_id, None)

    def why_none(self) -> str | None:
        """Why no download is to be started now; None: there is room."""
        with self._lock:
            smallest = min(self._needed.values(), default=0)
        free, reserve = self.directory.room().free_bytes, self.reserve_bytes
        wanted = reserve + smallest
        if free >= wanted:
            return None
        return (
            f"the disk of {self.directory.root} has {_mb(free)} free; downloads wait until there"
            f" are {_mb(wanted)} (DISK_RESERVE {_mb(reserve)}"
            + (f" and {_mb(smallest)} for the next VOD)" if smallest else ")")
        )


def _mb(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.0f} MB"
