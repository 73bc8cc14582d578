"""A limit on how fast bytes come, over all threads of a fetch."""

from __future__ import annotations

import threading
import time

_CHUNK_BYTES = 256 << 10


class RateLimit:
    """So many bytes a second over all threads together. None: as fast as it goes."""

    def __init__(self, bytes_per_second: int | None) -> None:
        self._bytes_per_second = bytes_per_second
        self._lock = threading.Lock()
        self._free_at = 0.0

    def set(self, bytes_per_second: int | None) -> None:
        """Another limit from now on."""
        with self._lock:
            self._bytes_per_second = bytes_per_second

    def take(self, size_bytes: int) -> None:
        """Wait until these bytes, already read, fit into the limit."""
        with self._lock:
            if self._bytes_per_second is None:
                return
            now = time.monotonic()
            self._free_at = max(self._free_at, now) + size_bytes / self._bytes_per_second
            wait_seconds = self._free_at - now
        time.sleep(wait_seconds)

    @property
    def chunk_bytes(self) -> int:
        """Small enough that each thread reads about four times a second."""
        with self._lock:
            if self._bytes_per_second is None:
                return _CHUNK_BYTES
            return max(4096, min(_CHUNK_BYTES, self._bytes_per_second // 32))
