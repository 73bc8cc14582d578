"""Dumps of a database: pg_dump's custom format, compressed with zstd on every core.

`pg_restore -l` says nothing against a dump of which half is missing, and pg_restore overlooks a
bit that flipped; so a dump is proven by its digest and by being read to its end.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import subprocess
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from vodtender.clients import pg_tools, zstd
from vodtender.clients.pg_tools import Tools
from vodtender.errors import Stopped, VodtenderError

_BLOCK_BYTES = 1 << 20
_LOCK_WAIT_SECONDS = 60
_LOOK_EVERY_BYTES = 64 << 20
_LEAST_FREE_BYTES = 256 << 20

CHANGED = "its digest is another than when it was made"

Progress = Callable[[int], object]
"""Told how many bytes are done."""


@dataclass(frozen=True, slots=True)
class Dumped:
    """What was written; `raw_bytes` is the size before zstd."""

    raw_bytes: int
    size_bytes: int
    sha256: str
    crc32: int


class DamagedBackupError(VodtenderError):
    """A backup is not what it was when it was made."""

    code = "backup_damaged"


class ChangedBackupError(DamagedBackupError):
    """The same, and no doubt about it: its bytes are others."""


def dump(
    tools: Tools,
    dsn: str,
    snapshot: str | None,
    target: BinaryIO,
    *,
    progress: Progress,
    should_stop: Callable[[], bool],
    only: Sequence[str] = (),
) -> Dumped:
    """Writes what the exported snapshot (None: now) shows, or the part of it that pg_dump's
    options in `only` choose; on the disk when this returns.

    Raises ToolFailedError, Stopped, OSError (ENOSPC before the disk is quite full).
    """
    arguments = ["--format=custom", "--compress=0", "--no-password", *only]
    arguments.append(f"--lock-wait-timeout={_LOCK_WAIT_SECONDS}s")
    if snapshot is not None:
        arguments.append(f"--snapshot={snapshot}")
    written = _Written(target)
    packer = zstd.compressor()
    raw_bytes = 0
    with pg_tools.running(tools, "pg_dump", arguments, dsn=dsn, stdout=subprocess.PIPE) as started:
        widen(started.stdout.fileno())
        while block := os.read(started.stdout.fileno(), _BLOCK_BYTES):
            if should_stop():
                raise Stopped("the backup was stopped")
            raw_bytes += len(block)
            written.take(packer.compress(block))
            progress(raw_bytes)
        started.finish()
    written.take(packer.flush())
    target.flush()
    os.fsync(target.fileno())
    return Dumped(raw_bytes, written.size_bytes, written.sha256.hexdigest(), written.crc32)


class _Written:
    """A file with its digests, which leaves a little room on its disk."""

    def __init__(self, target: BinaryIO) -> None:
        self._target = target
        self._looked_at = -_LOOK_EVERY_BYTES
        self.size_bytes = 0
        self.crc32 = 0
        self.sha256 = hashlib.sha256()

    def take(self, data: bytes) -> None:
        if not data:
            return
        if self.size_bytes - self._looked_at >= _LOOK_EVERY_BYTES:
            self._looked_at = self.size_bytes
            disk = os.fstatvfs(self._target.fileno())
            total, free = disk.f_blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize
            # The database may live on the same disk, and would stop when that is full.
            if free < min(_LEAST_FREE_BYTES, total // 20):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._target.write(data)
        self.size_bytes += len(data)
        self.sha256.update(data)
        self.crc32 = zlib.crc32(data, self.crc32)


def read_back(
    tools: Tools,
    path: Path,
    *,
    sha256: str,
    progress: Progress,
    should_stop: Callable[[], bool],
) -> None:
    """Reads a dump from the disk to its end, as a restore would.

    Raises DamagedBackupError (ChangedBackupError where its digest says so), Stopped, OSError.
    """
    try:
        digest = _read(tools, path, progress, should_stop)
    except DamagedBackupError:
        # What a program makes of bytes that are others is of no interest.
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest == sha256:
            raise
    if digest != sha256:
        raise ChangedBackupError(
            f"{path.name} is damaged: {CHANGED}", hint="make another one now: vodtender backup"
        )


def _read(tools: Tools, path: Path, progress: Progress, should_stop: Callable[[], bool]) -> str:
    """The digest of what was read to its end. Raises DamagedBackupError, Stopped, OSError."""
    digest = hashlib.sha256()
    done = 0

    def read(raw: bytes) -> None:
        nonlocal done
        if should_stop():
            raise Stopped("the reading was stopped")
        digest.update(raw)
        done += len(raw)
        progress(done)

    forget_cached(path)
    arguments = ["--file=/dev/null"]
    with pg_tools.running(tools, "pg_restore", arguments, stdin=subprocess.PIPE) as started:
        try:
            widen(started.stdin.fileno())
            for block in zstd.blocks(path, read):
                started.stdin.write(block)
            started.stdin.close()
        except BrokenPipeError:
            raise _damaged(path, started.failure().message) from None
        except (EOFError, zstd.Error) as error:
            raise _damaged(path, str(error)) from error
        try:
            started.finish()
        except pg_tools.ToolFailedError as error:
            raise _damaged(path, error.message) from error
    return digest.hexdigest()


def forget_cached(path: Path) -> None:
    """What is read next of this file comes from the disk, as far as the system allows it."""
    if not hasattr(os, "posix_fadvise"):
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def _damaged(path: Path, why: str) -> DamagedBackupError:
    return DamagedBackupError(
        f"{path.name} is damaged: {why}", hint="make another one now: vodtender backup"
    )


def widen(descriptor: int) -> None:
    """Gives a pipe more room: one of 64 KiB costs a change between two processes for each."""
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        try:
            fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _BLOCK_BYTES)
        except OSError:
            return  # the user has used up what pipes may take; it works as it is
