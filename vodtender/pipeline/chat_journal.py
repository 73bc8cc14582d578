"""What a chat recorder has heard and the database does not have yet.

    DATA_DIR/in-progress/chat/<recording>/00000001.log

Every line is written there as soon as it is heard, and removed once it is stored: so nothing
that was heard is lost with the process, and memory holds only what is just being stored,
however long the database is away. Where the disk takes nothing, memory does, up to a limit.

Normally there is next to nothing. What gathers while the database is away leaves DISK_RESERVE
free; what finds no place any more is lost, and becomes a gap.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import threading
import time
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from vodtender import metrics
from vodtender.errors import Locked
from vodtender.model.chat import Gap
from vodtender.pipeline.chat_pieces import Piece, chunk_of, event
from vodtender.pipeline.chat_target import NOTE_NAME
from vodtender.pipeline.directory import DataDirectory

_SEGMENT_BYTES = 16 * 1024 * 1024
_MEMORY_BYTES = 16 * 1024 * 1024
_PIECE_BYTES = 4 * 1024 * 1024
_LOCK_NAME = "lock"


class Journal:
    """One recording's, of which `note` tells what the name does not. One thread or several
    append, another one takes.

    Raises Locked if another process has it.
    """

    def __init__(
        self,
        directory: DataDirectory,
        name: str,
        *,
        note: bytes | None = None,
        reserve_bytes: int = 0,
    ) -> None:
        self.root = chat_directory(directory) / name
        self._reserve_bytes = reserve_bytes
        self._lock_descriptor = _locked(self.root)
        if note is not None:
            with contextlib.suppress(OSError):  # what is heard is worth more
                (self.root / NOTE_NAME).write_bytes(note)
        self._mutex = threading.Lock()
        self._segments = deque(sorted(self.root.glob("*.log")))
        self._number = int(self._segments[-1].stem) if self._segments else 0
        self._offset = 0
        self._current: Path | None = None
        self._descriptor: int | None = None
        self._size = 0
        self._memory: deque[bytes] = deque()
        self._memory_bytes = 0
        self._lost_since: float | None = None
        self._refusal: str | None = None
        self.arrived = threading.Event()
        """Set when there is something to take."""

    @property
    def trouble(self) -> str | None:
        """What a person should know: the disk does not take what the database does not."""
        if self._lost_since is not None:
            return f"chat is being lost: memory is full, and the disk takes none: {self._refusal}"
        if self._refusal is not None:
            return f"the disk takes no chat, memory does for a while: {self._refusal}"
        return None

    # --- writing ----------------------------------------------------------------------

    def lines(self, lines: Sequence[bytes], at: float, connection: str, first: int) -> None:
        """Keeps lines that were heard at `at` (Unix time). `first` is the first one's number."""
        self._append(chunk_of(lines, at, connection, first), len(lines))

    def gap(self, gap: Gap) -> None:
        """Keeps that nobody listened."""
        until = gap.until.isoformat() if gap.until else None
        self._append(event({"gap": gap.since.isoformat(), "until": until, "why": gap.why}))

    def resumed(self, at: datetime) -> None:
        """Keeps that somebody listens from here on, after an earlier process."""
        self._append(event({"resumed": at.isoformat()}))

    def heard_until(self, at: float) -> None:
        """Keeps that nothing was missed up to here (Unix time), though nothing was said."""
        self._append(event({"heard": datetime.fromtimestamp(at, UTC).isoformat()}))

    def _append(self, chunk: bytes, messages: int = 0) -> None:
        with self._mutex:
            if self._lost_since is not None:
                chunk = self._loss() + chunk
            if not self._write(chunk) and not self._remember(chunk):
                self._lost_since = self._lost_since or time.time()
                metrics.chat_lost.inc(messages)
                return
            self._lost_since = None
        self.arrived.set()

    def _loss(self) -> bytes:
        assert self._lost_since is not None
        since, until = (datetime.fromtimestamp(at, UTC) for at in (self._lost_since, time.time()))
        why = "neither the database nor the disk took it"
        return event({"gap": since.isoformat(), "until": until.isoformat(), "why": why})

    def _write(self, chunk: bytes, *, whatever_is_free: bool = False) -> bool:
        """Whether the disk took it."""
        try:
            if self._descriptor is None or self._size > _SEGMENT_BYTES:
                self._open_segment(whatever_is_free)
            assert self._descriptor is not None
            self._size += _write_whole(self._descriptor, chunk, self._size)
        except OSError as error:
            self._refusal = error.strerror or str(error)
            return False
        self._refusal = None
        return True

    def _remember(self, chunk: bytes) -> bool:
        if self._memory_bytes + len(chunk) > _MEMORY_BYTES:
            return False
        self._memory.append(chunk)
        self._memory_bytes += len(chunk)
        return True

    def _open_segment(self, whatever_is_free: bool) -> None:
        if self._segments and not whatever_is_free and not self._has_room():
            raise OSError(errno.ENOSPC, "less is free than DISK_RESERVE")
        path = self.root / f"{self._number + 1:08}.log"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._number += 1
        self._descriptor, self._current, self._size = descriptor, path, 0
        self._segments.append(path)

    def _has_room(self) -> bool:
        free_bytes = shutil.disk_usage(self.root).free
        return free_bytes - _SEGMENT_BYTES >= self._reserve_bytes

    @property
    def last_written_at(self) -> datetime:
        """When something was put here last; now, if nothing was."""
        times = [path.stat().st_mtime for path in self._segments if path.exists()]
        return datetime.fromtimestamp(max(times, default=time.time()), UTC)

    # --- taking -----------------------------------------------------------------------

    def take(self) -> Piece | None:
        """The oldest of what is there, not yet taken off; None if there is nothing.

        Raises OSError if the disk does not give it back."""
        with self._mutex:
            self.arrived.clear()
            while self._segments:
                segment = self._segments[0]
                is_current = segment == self._current
                size = self._size if is_current else segment.stat().st_size
                if self._offset < size:
                    return self._piece(segment, size)
                if is_current:
                    break
                self._drop(segment)
            if self._memory:
                return Piece(self._memory[0], None, 0)
            return None

    def done(self, piece: Piece) -> None:
        """It is stored."""
        with self._mutex:
            if piece.segment is None:
                self._memory_bytes -= len(self._memory.popleft())
                return
            self._offset = piece.end
            if piece.segment == self._current and piece.end == self._size:
                assert self._descriptor is not None
                os.ftruncate(self._descriptor, 0)
                self._size = self._offset = 0

    def _piece(self, segment: Path, size: int) -> Piece:
        with segment.open("rb") as file:
            file.seek(self._offset)
            data = file.read(min(size - self._offset, _PIECE_BYTES))
            if self._offset + len(data) < size:
                # Up to the last whole chunk; one that is longer than a piece, all of it.
                end = data.rfind(b"\n\0") + 1
                while not end:
                    more = file.read(_PIECE_BYTES)
                    data += more
                    end = (
                        len(data) if not more else data.find(b"\n\0", len(data) - len(more) - 1) + 1
                    )
                data = data[:end]
        return Piece(data, segment, self._offset + len(data))

    def _drop(self, segment: Path) -> None:
        with contextlib.suppress(OSError):
            segment.unlink(missing_ok=True)
        self._segments.popleft()
        self._offset = 0

    # --- closing ----------------------------------------------------------------------

    def close(self) -> None:
        """Gives it free; what is not stored stays. An empty one is removed."""
        with self._mutex:
            self._rescue()
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None
            if not self._size and self._current is not None and self._segments[0] == self._current:
                self._drop(self._current)
            if not self._segments:
                _remove(self.root)
            if self._lock_descriptor is not None:
                os.close(self._lock_descriptor)
                self._lock_descriptor = None

    def _rescue(self) -> None:
        """Memory ends with the process: its few megabytes may take what is reserved."""
        if self._lost_since is not None:
            self._memory.append(self._loss())
        while self._memory and self._write(self._memory[0], whatever_is_free=True):
            self._memory.popleft()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def chat_directory(directory: DataDirectory) -> Path:
    """Where all journals of a DATA_DIR lie."""
    return directory.root / "in-progress" / "chat"


def left_behind(directory: DataDirectory) -> list[str]:
    """The names of journals in which something may lie that is not stored."""
    try:
        return sorted(path.name for path in chat_directory(directory).iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _locked(root: Path) -> int | None:
    """The descriptor that holds the lock; None where the disk takes not even that."""
    path = root / _LOCK_NAME
    for _ in range(100):
        descriptor = None
        try:
            root.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_ino == path.stat().st_ino:
                return descriptor
        except BlockingIOError as error:
            assert descriptor is not None
            os.close(descriptor)
            raise Locked(
                f"The chat recording {root.name} is in another process's hands."
            ) from error
        except FileNotFoundError:
            pass  # whoever had it has just removed it
        except OSError:
            break
        if descriptor is not None:
            os.close(descriptor)
    return None


def _write_whole(descriptor: int, chunk: bytes, offset: int) -> int:
    """All of it or nothing. Raises OSError."""
    written = 0
    try:
        while written < len(chunk):
            written += os.pwrite(
                descriptor, chunk[written:] if written else chunk, offset + written
            )
    except OSError:
        os.ftruncate(descriptor, offset)
        raise
    return written


def _remove(root: Path) -> None:
    with contextlib.suppress(OSError):
        (root / NOTE_NAME).unlink(missing_ok=True)
        (root / _LOCK_NAME).unlink(missing_ok=True)
        root.rmdir()
