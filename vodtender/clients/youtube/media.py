"""A file on its way to YouTube: read piece by piece, held to a speed, watched for changes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from vodtender.clients.youtube.library import MediaUpload
from vodtender.errors import Stopped, Transient

_BLOCK_BYTES = 256 * 1024
_NAP_SECONDS = 0.2
_BURST_SECONDS = 0.5


class Throttle:
    """Holds reading down to so many bytes a second; None is no limit."""

    def __init__(
        self,
        bytes_per_second: int | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rate = bytes_per_second
        self._clock = clock
        self._sleep = sleep
        self._due = clock()

    def wait(self, size_bytes: int, should_stop: Callable[[], bool]) -> None:
        """Returns when that many more bytes may go. Raises Stopped when asked to stop."""
        if not self._rate:
            return
        self._due = max(self._due, self._clock() - _BURST_SECONDS) + size_bytes / self._rate
        while (rest := self._due - self._clock()) > 0:
            if should_stop():
                raise Stopped("the upload was stopped; what YouTube has is kept")
            self._sleep(min(rest, _NAP_SECONDS))


class WatchedFile:
    """The file being uploaded, open for reading. It must not change while it is.

    Raises:
        Transient: `file_missing`; `file_changed` when its size is not `size_bytes` or it is
            written to after it was opened; `disk` when it is there and cannot be read.
    """

    def __init__(self, path: Path, size_bytes: int) -> None:
        self._path = path
        self._size_bytes = size_bytes
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise Transient(
                f"{path.name} is gone: it was deleted or moved before its upload was done",
                code="file_missing",
            ) from None
        except OSError as error:
            raise Transient(f"{path.name} cannot be read: {error.strerror}", code="disk") from error
        self._modified_ns = os.fstat(self._fd).st_mtime_ns

    def __enter__(self) -> WatchedFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._fd)

    def check(self) -> None:
        """Raises Transient `file_changed` if it is no longer the file that was opened."""
        found = os.fstat(self._fd)
        if found.st_size != self._size_bytes or found.st_mtime_ns != self._modified_ns:
            raise self._changed(found.st_size)

    def read_at(self, offset: int, size: int) -> bytes:
        """Exactly `size` bytes, or Transient `file_changed` if the file ends before."""
        block = os.pread(self._fd, size, offset)
        while len(block) < size:
            more = os.pread(self._fd, size - len(block), offset + len(block))
            if not more:
                raise self._changed(os.fstat(self._fd).st_size)
            block += more
        return block

    def _changed(self, found_bytes: int) -> Transient:
        return Transient(
            f"{self._path.name} changed while it was uploaded: it had {self._size_bytes} bytes "
            f"and has {found_bytes}, so the upload cannot be completed as it began",
            code="file_changed",
        )


class FileStream:
    """The file as the stream that the library slices: `seek`, `tell` and `read`.

    `reached_bytes` is how far it has been read, which is the most that can have been sent.
    """

    def __init__(
        self, file: WatchedFile, size_bytes: int, throttle: Throttle, stop: Callable[[], bool]
    ) -> None:
        self._file = file
        self.size_bytes = size_bytes
        self._throttle = throttle
        self._should_stop = stop
        self._position = 0
        self.reached_bytes = 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence != os.SEEK_SET:
            raise ValueError("only absolute positions")
        self._position = offset
        return offset

    def tell(self) -> int:
        return self._position

    def read(self, size: int = -1) -> bytes:
        rest = max(0, self.size_bytes - self._position)
        size = min(_BLOCK_BYTES, rest if size < 0 else min(size, rest))
        if size == 0:
            return b""
        self._throttle.wait(size, self._should_stop)
        if self._should_stop():
            raise Stopped("the upload was stopped; what YouTube has is kept")
        block = self._file.read_at(self._position, size)
        self._position += size
        self.reached_bytes = max(self.reached_bytes, self._position)
        return block


class FileUpload(MediaUpload):  # type: ignore[misc]
    """What the library wants to know about the file. Without a stream it can only describe
    the upload, which is all that opening a session takes."""

    def __init__(
        self, size_bytes: int, mime: str, chunk_bytes: int, stream: FileStream | None = None
    ) -> None:
        super().__init__()
        self._size_bytes = size_bytes
        self._mime = mime
        self._chunk_bytes = chunk_bytes
        self._stream = stream

    def size(self) -> int:
        return self._size_bytes

    def mimetype(self) -> str:
        return self._mime

    def chunksize(self) -> int:
        return self._chunk_bytes

    def resumable(self) -> bool:
        return True

    def has_stream(self) -> bool:
        return True

    def stream(self) -> Any:
        return self._stream
