"""One VOD's work directory: who may write in it, and what of an earlier attempt is usable.

`lock` is held (flock) by the one process that works here. A segment file is usable when the
journal has its size and checksum and the file still has both: the journal's line is written
before the file gets its name, a torn last line is not a line, and the checksum is compared
before the file is used again. So it does not matter at which instant an earlier attempt, or
the machine, was switched off.

`finished.json` is written when the MP4 is verified and on the disk, and only then are the
segments removed. Up to that moment the directory holds the segments and the MP4: twice the
size of the VOD. That is the price of going on from bytes after a kill: the index of an MP4 is
written at its end, so half of one is worth nothing.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vodtender.clients.fsync import sync_directory
from vodtender.errors import Locked

VIDEO_NAME = "whole.video"
"""An MP4, under a name that no search for finished files (*.mp4) finds."""
SEGMENT_PATTERN = "*.seg"
_LOCK_NAME = "lock"
_JOURNAL_NAME = "segments.jsonl"
_FINISHED_NAME = "finished.json"
_LOCK_WAIT_SECONDS = 3.0
_LOCK_POLL_SECONDS = 0.05
_READ_BYTES = 256 << 10


@dataclass(frozen=True, slots=True)
class Stored:
    """A piece that is whole and on the disk. `name` is its file's, in the work directory."""

    key: str
    name: str
    size_bytes: int
    crc32: int
    muted: bool


class WorkDirectory:
    """Opened by one process at a time; usable from all its threads.

    Raises Locked(code="work_directory_busy") when another process works in it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(path / _LOCK_NAME)
        self._writing = threading.Lock()
        self._known = self._read_journal()
        self._journal = os.open(
            path / _JOURNAL_NAME, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644
        )
        self._end_torn_line()
        self.drop_leftovers()

    def drop_leftovers(self) -> None:
        """Removes what no later attempt can use: on a full disk it would stand in the way."""
        leftovers = [*self.path.glob("*.tmp"), *self.path.glob("mux-*")]
        if not (self.path / _FINISHED_NAME).exists():
            leftovers.append(self.path / VIDEO_NAME)  # nobody knows whether it is whole
        for leftover in leftovers:
            leftover.unlink(missing_ok=True)

    def temporary(self, key: str) -> Path:
        return self.path / f"{_name(key)}.tmp"

    def store(self, key: str, size_bytes: int, crc32: int, *, muted: bool) -> Stored:
        """Give the temporary file of this key its name: from here on it is usable."""
        stored = Stored(key, _name(key), size_bytes, crc32, muted)
        line = json.dumps(asdict(stored)).encode() + b"\n"
        with self._writing:
            written = os.write(self._journal, line)
            if written != len(line):
                self._end_torn_line()
                raise OSError(errno.ENOSPC, "the journal's line was cut short")
        os.replace(self.temporary(key), self.path / stored.name)
        self._known[key] = stored
        return stored

    def kept(self, key: str) -> Stored | None:
        """What is there of this piece already, if it is whole. Reads all of it."""
        stored = self._known.get(key)
        if stored is None:
            return None
        try:
            if _crc32(self.path / stored.name) == (stored.size_bytes, stored.crc32):
                return stored
        except OSError:
            pass
        return None

    def finish(self, made: Path, record: dict[str, Any]) -> Path:
        """Name the verified MP4, remember its record, remove the segments. Raises OSError."""
        video = self.path / VIDEO_NAME
        temporary = self.path / f"{_FINISHED_NAME}.tmp"
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(record, file)
            file.flush()
            os.fsync(file.fileno())
        (self.path / _FINISHED_NAME).unlink(missing_ok=True)
        os.replace(made, video)
        os.replace(temporary, self.path / _FINISHED_NAME)
        sync_directory(self.path, required=True)
        self._remove_segments()
        return video

    def finished(self) -> dict[str, Any] | None:
        """The record of a verified MP4 that nobody fetched from here yet, if it is unharmed."""
        try:
            record = json.loads((self.path / _FINISHED_NAME).read_text(encoding="utf-8"))
            size = (self.path / VIDEO_NAME).stat().st_size
            if not isinstance(record, dict) or record["size_bytes"] != size:
                return None
            sha256, record["crc32"] = digests(self.path / VIDEO_NAME)
            if record["sha256"] != sha256:
                return None
        except (OSError, ValueError, KeyError):
            return None
        self._remove_segments()
        return record

    def _remove_segments(self) -> None:
        for path in [*self.path.glob(SEGMENT_PATTERN), self.path / _JOURNAL_NAME]:
            path.unlink(missing_ok=True)

    def _read_journal(self) -> dict[str, Stored]:
        known: dict[str, Stored] = {}
        try:
            lines = (self.path / _JOURNAL_NAME).read_bytes().splitlines()
        except FileNotFoundError:
            return known
        for line in lines:
            try:
                stored = Stored(**json.loads(line))
            except (ValueError, TypeError):
                continue
            if stored.name == _name(stored.key):
                known[stored.key] = stored
        return known

    def _end_torn_line(self) -> None:
        """Keep what follows a line that was cut by a kill apart from it."""
        path = self.path / _JOURNAL_NAME
        if path.stat().st_size and path.read_bytes()[-1:] != b"\n":
            os.write(self._journal, b"\n")


def digests(path: Path) -> tuple[str, int]:
    """SHA-256, as hexadecimal digits, and CRC32 of a whole file, which was just written: to read it
    twice from memory, each on a core of its own, takes less time than one after the other."""
    with ThreadPoolExecutor(1) as beside, path.open("rb", buffering=0) as file:
        crc32 = beside.submit(_crc32, path)
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return sha256, crc32.result()[1]


def _crc32(path: Path) -> tuple[int, int]:
    size, crc, buffer = 0, 0, memoryview(bytearray(_READ_BYTES))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            size += count
            crc = zlib.crc32(buffer[:count], crc)
    return size, crc


def _name(key: str) -> str:
    return f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.seg"


def discard(path: Path) -> None:
    """Remove a work directory with all that is in it. Nothing happens when there is none.

    Raises Locked(code="work_directory_busy") when a process works in it.
    """
    if not path.is_dir():
        return
    descriptor = _locked(path / _LOCK_NAME, wait_seconds=0)
    try:
        # The lock's file last: whoever finds the directory half removed must not work in it.
        for entry in path.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif entry.name != _LOCK_NAME:
                entry.unlink()
        shutil.rmtree(path)
    finally:
        os.close(descriptor)


@contextmanager
def occupied(path: Path) -> Iterator[None]:
    """Keeps everybody else out of a work directory, which is made if need be.

    Raises Locked(code="work_directory_busy") when another process works in it.
    """
    path.mkdir(parents=True, exist_ok=True)
    descriptor = _locked(path / _LOCK_NAME)
    try:
        yield
    finally:
        os.close(descriptor)


def _busy(path: Path) -> Locked:
    return Locked(
        f"Another process is working in {path}: this VOD is being fetched already.",
        hint="vodtender status",
        code="work_directory_busy",
    )


def _locked(path: Path, wait_seconds: float = _LOCK_WAIT_SECONDS) -> int:
    """An open descriptor that holds the lock until this process ends, however it ends."""
    deadline = time.monotonic() + wait_seconds
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_still(path, descriptor):
                return descriptor
            os.close(descriptor)
            path.parent.mkdir(parents=True, exist_ok=True)
        except BlockingIOError:
            os.close(descriptor)
            # A predecessor that has lost its parent needs a moment to notice.
            if time.monotonic() >= deadline:
                raise _busy(path.parent) from None
            time.sleep(_LOCK_POLL_SECONDS)


def _is_still(path: Path, descriptor: int) -> bool:
    """Whether the locked file is the one of this name: it may have been discarded meanwhile."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False
