"""DOWNLOAD_RATE_LIMIT, shared among the downloads of a daemon."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(slots=True)
class Bandwidth:
    """Each download has the same share, a larger one as soon as another ends."""

    _downloads: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def used(self) -> Iterator[None]:
        """By one download, for as long as the block lasts."""
        with self._lock:
            self._downloads += 1
        try:
            yield
        finally:
            with self._lock:
                self._downloads -= 1

    def share(self, bytes_per_second: int | None) -> int | None:
        """Of one download, when all together may have so much. None: no limit."""
        if bytes_per_second is None:
            return None
        with self._lock:
            return max(1, bytes_per_second // max(1, self._downloads))
