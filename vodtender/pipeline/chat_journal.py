"""What a chat recorder has heard and the database does not have yet.

    DATA_DIR/in-progress/chat/<recording>/00000001.log

Every line is written there as soon as it is heard, and removed once it is stored: so nothing
that was heard is lost with the process, and memory holds only what is just being stored,
however long the database is away. Where the disk takes nothing, memory does, up to a limit.

A file holds chunks: a line that begins with NUL and says when and where they were heard, then
the lines as they came. NUL is in none of those. A chunk may also be an event, as JSON.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from vodtender.errors import Locked
from vodtender.model.chat import ChatMessage, Gap, Heard
from vodtender.model.chat_patterns import ChatReader
from vodtender.pipeline.directory import DataDirectory
from vodtender.store.chat import Batch

_SEGMENT_BYTES = 16 * 1024 * 1024
_MEMORY_BYTES = 16 * 1024 * 1024
_PIECE_BYTES = 4 * 1024 * 1024
_BATCH_MESSAGES = 1000
_CHUNK = b"\0c "
_EVENT = b"\0e "
_LOCK_NAME = "lock"


@dataclass(frozen=True, slots=True)
class Piece:
    """Some of what was heard. `segment` is None for what lies in memory only."""

    data: bytes
    segment: Path | None
    end: int


class Journal:
    """One recording's. One thread or several append, another one takes.

    Raises Locked if another process has it.
    """

    def __init__(self, directory: DataDirectory, recording_id: int) -> None:
        self._root = chat_directory(directory) / str(recording_id)
        self._lock_descriptor = _locked(self._root)
        self._mutex = threading.Lock()
        self._segments = deque(sorted(self._root.glob("*.log")))
        self._number = int(self._segments[-1].stem) if self._segments else 0
        self._offset = 0
        self._current: Path | None = None
        self._descriptor: int | None = None
        self._size = 0
        self._memory: deque[bytes] = deque()
        self._memory_bytes = 0
        self._lost_since: float | None = None
        self.arrived = threading.Event()
        """Set when there is something to take."""

    # --- writing ----------------------------------------------------------------------

    def lines(self, lines: Sequence[bytes], at: float, connection: str, first: int) -> None:
        """Keeps lines that were heard at `at` (Unix time). `first` is the first one's number."""
        head = b"%s%d %s %d\n" % (_CHUNK, int(at * 1_000_000), connection.encode(), first)
        self._append(head + b"\n".join(lines) + b"\n")

    def gap(self, gap: Gap) -> None:
        """Keeps that nobody listened."""
        until = gap.until.isoformat() if gap.until else None
        self._event({"gap": gap.since.isoformat(), "until": until, "why": gap.why})

    def resumed(self, at: datetime) -> None:
        """Keeps that somebody listens from here on, after an earlier process."""
        self._event({"resumed": at.isoformat()})

    def heard_until(self, at: float) -> None:
        """Keeps that nothing was missed up to here (Unix time), though nothing was said."""
        self._event({"heard": datetime.fromtimestamp(at, UTC).isoformat()})

    def _event(self, event: dict[str, str | None]) -> None:
        self._append(_EVENT + json.dumps(event).encode() + b"\n")

    def _append(self, chunk: bytes) -> None:
        with self._mutex:
            if self._lost_since is not None:
                chunk = self._loss() + chunk
            if not self._write(chunk) and not self._remember(chunk):
                self._lost_since = self._lost_since or time.time()
                return
            self._lost_since = None
        self.arrived.set()

    def _loss(self) -> bytes:
        assert self._lost_since is not None
        since, until = (datetime.fromtimestamp(at, UTC) for at in (self._lost_since, time.time()))
        why = "neither the database nor the disk took it"
        event = {"gap": since.isoformat(), "until": until.isoformat(), "why": why}
        return _EVENT + json.dumps(event).encode() + b"\n"

    def _write(self, chunk: bytes) -> bool:
        """Whether the disk took it."""
        try:
            if self._descriptor is None or self._size > _SEGMENT_BYTES:
                self._open_segment()
            assert self._descriptor is not None
            self._size += _write_whole(self._descriptor, chunk, self._size)
        except OSError:
            return False
        return True

    def _remember(self, chunk: bytes) -> bool:
        if self._memory_bytes + len(chunk) > _MEMORY_BYTES:
            return False
        self._memory.append(chunk)
        self._memory_bytes += len(chunk)
        return True

    def _open_segment(self) -> None:
        path = self._root / f"{self._number + 1:08}.log"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._number += 1
        self._descriptor, self._current, self._size = descriptor, path, 0
        self._segments.append(path)

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
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None
            if not self._size and self._current is not None and self._segments[0] == self._current:
                self._drop(self._current)
            if not self._segments:
                _remove(self._root)
            if self._lock_descriptor is not None:
                os.close(self._lock_descriptor)
                self._lock_descriptor = None

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


def left_behind(directory: DataDirectory) -> list[int]:
    """The recordings of which something may lie here that is not stored."""
    try:
        names = [path.name for path in chat_directory(directory).iterdir()]
    except FileNotFoundError:
        return []
    return sorted(int(name) for name in names if name.isdigit())


def batches_of(piece: Piece) -> Iterator[Batch]:
    """What a piece says, some of it at a time."""
    batch, reader = Batch(), ChatReader()
    for chunk in piece.data.removeprefix(b"\0").split(b"\n\0"):
        head, _, body = chunk.decode("utf-8", "replace").partition("\n")
        if head.startswith("e "):
            _read_event(batch, head[2:])
        elif head.startswith("c "):
            _read_lines(batch, reader, head, body)
        if len(batch.plain) + len(batch.messages) >= _BATCH_MESSAGES:
            yield batch
            batch = Batch()
    yield batch


def _read_lines(batch: Batch, reader: ChatReader, head: str, body: str) -> None:
    try:
        _, microseconds, connection, first = head.split(" ")
        at, number = datetime.fromtimestamp(int(microseconds) / 1_000_000, UTC), int(first)
    except (ValueError, OverflowError):
        return  # the rest of a file that a crash of the machine has torn
    plain, others = reader.read(body.split("\n"), Heard(at, connection, number))
    batch.plain += plain
    for said in others:
        if isinstance(said, ChatMessage):
            batch.messages.append(said)
        else:
            batch.marks.append(said)
    batch.heard_until = max(batch.heard_until or at, at)
    batch.heard_at.append(at)


def _read_event(batch: Batch, text: str) -> None:
    try:
        event = {name: value for name, value in json.loads(text).items() if value is not None}
        why = event.pop("why", "")
        times = {name: datetime.fromisoformat(value) for name, value in event.items()}
    except (ValueError, AttributeError, TypeError):
        return
    if "gap" in times:
        batch.gaps.append(Gap(times["gap"], times.get("until"), why))
    if "resumed" in times:
        batch.resumed.append(times["resumed"])
    if "heard" in times:
        batch.heard_until = max(batch.heard_until or times["heard"], times["heard"])


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
        (root / _LOCK_NAME).unlink(missing_ok=True)
        root.rmdir()
