"""An archive in a directory, such as `/mnt/archive`.

A file in it, `.vodtender-archive`, holds the directory's own id. Where a disk is not mounted
there is no such file, and then nothing is put there and nothing counts as lost.
"""

from __future__ import annotations

import errno
import hashlib
import os
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from io import FileIO
from pathlib import Path
from uuid import uuid4

from vodtender.clients.fsync import sync_directory
from vodtender.errors import Refused, SettingsError, Stopped, Transient, VodtenderError
from vodtender.model.archive import ArchivedFile, object_name, vod_id_of
from vodtender.model.vod import Vod
from vodtender.pipeline.archive_shelf import (
    FORGOTTEN_AFTER,
    Kept,
    LostCopyError,
    Progress,
    Stop,
    Thawing,
)

MARKER = ".vodtender-archive"
_TEMPORARY = ".tmp-"
_BLOCK_BYTES = 1 << 20


class ArchiveDirectory:
    """See the module."""

    def __init__(self, root: Path, data_dir: Path) -> None:
        self.root = root.absolute()
        self._data_dir = data_dir.absolute()

    def check(self, *, in_use: bool) -> None:
        """Takes a directory into use for the first time, too, if it is plain that its disk is
        there: it must not be the one of `/` or of DATA_DIR, unless somebody has said so by making
        the marker."""
        with self._translated():
            if not self.root.is_dir():
                raise SettingsError(
                    f"ARCHIVE_DIR {self.root} is not there.",
                    hint=f"mount its disk, or make it: mkdir {self.root}",
                    code="archive_dir",
                )
            if self._id() is None:
                self._take_into_use(in_use=in_use)

    def sweep(self, is_wanted: Callable[[str], bool]) -> None:
        oldest = time.time() - FORGOTTEN_AFTER.total_seconds()
        with self._translated():
            for path in self.root.glob(f"{_TEMPORARY}*"):
                vod_id = vod_id_of(path.name)
                if vod_id is not None and path.stat().st_mtime < oldest and not is_wanted(vod_id):
                    path.unlink(missing_ok=True)

    def _take_into_use(self, *, in_use: bool) -> None:
        marker = self.root / MARKER
        if in_use and not marker.exists():
            raise Refused(
                f"{self.root} is not the archive any more in which files lie: is its disk not"
                " mounted?",
                hint=f"mount {self.root}; if it is a new, empty one: touch {marker}",
                code="archive_not_mounted",
            )
        here = self.root.stat().st_dev
        others = [path for path in (Path("/"), self._data_dir) if path.exists()]
        alike = [str(path) for path in others if path.stat().st_dev == here]
        if alike and not marker.exists():
            raise Refused(
                f"{self.root} lies on the disk of {' and '.join(alike)}, and no archive was made"
                " there: is its own disk not mounted?",
                hint=f"mount {self.root}; if the files are meant to lie there: touch {marker}",
                code="archive_not_mounted",
            )
        temporary = self.root / f"{_TEMPORARY}{uuid4().hex}"
        temporary.write_text(f"{uuid4()}\n", encoding="ascii")
        try:
            if marker.exists() and not marker.stat().st_size:
                os.replace(temporary, marker)
            else:
                os.link(temporary, marker)  # fails when another process was faster
        except FileExistsError:
            pass
        finally:
            temporary.unlink(missing_ok=True)

    def _id(self) -> str | None:
        try:
            text = (self.root / MARKER).read_text(encoding="ascii", errors="replace")
        except FileNotFoundError:
            return None
        return text.strip() or None

    def keep(
        self,
        path: Path,
        vod: Vod,
        *,
        side_by_side: int,  # noqa: ARG002 - one reader and one writer are a disk's pace
        progress: Progress,
        should_stop: Stop,
    ) -> Kept:
        assert vod.file_sha256 is not None
        directory_id, crc32, target = self._id(), None, self.root
        with self._translated():
            for taken in (False, True):
                target = self.root / object_name(path.name, vod.file_sha256, taken=taken)
                crc32 = self._put(path, target, vod.file_sha256, progress, should_stop)
                if crc32 is not None:
                    break
            if directory_id is None or self._id() != directory_id:
                raise Refused(
                    f"The disk of {self.root} was taken away meanwhile.",
                    hint=f"mount {self.root}",
                    code="archive_not_mounted",
                )
        if crc32 is None:
            raise Refused(f"{target} is something else than its name says.", code="archive_taken")
        return Kept(str(target), directory_id, None, crc32, None)

    def _put(
        self, path: Path, target: Path, sha256: str, progress: Progress, should_stop: Stop
    ) -> int | None:
        """The CRC32 of the file once it lies there, whoever has put it there; None when
        something else does."""
        if target.exists():
            there, crc32 = _digests(target, should_stop)
            return crc32 if there == sha256 else None
        temporary = self.root / f"{_TEMPORARY}{target.name}"
        left = path.stat().st_size - (temporary.stat().st_size if temporary.exists() else 0)
        self._need_room(left)
        _copy(path, temporary, sha256, progress, should_stop)
        crc32 = _proven(temporary, sha256, should_stop)
        os.replace(temporary, target)
        sync_directory(self.root, required=False)
        return crc32

    def _need_room(self, size_bytes: int) -> None:
        known = os.statvfs(self.root)
        if known.f_bavail * known.f_frsize < size_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def problem_of(
        self,
        copy: ArchivedFile,
        *,
        read: bool,  # noqa: ARG002 - there is no other way to know
        progress: Progress,
    ) -> str | None:
        self._must_be(copy)
        path = Path(copy.place)
        with self._translated():
            try:
                size_bytes = path.stat().st_size
            except FileNotFoundError:
                return "it is not there any more"
            if size_bytes != copy.size_bytes:
                return f"it has {size_bytes} bytes instead of {copy.size_bytes}"
            if _digests(path, lambda: False, progress)[0] != copy.sha256:
                return "its checksum is another"
        return None

    def thaw(self, copy: ArchivedFile, tier: str, now: datetime) -> Thawing | None:  # noqa: ARG002
        self._must_be(copy)
        return None

    def fetch(
        self, copy: ArchivedFile, path: Path, *, progress: Progress, should_stop: Stop
    ) -> None:
        self._must_be(copy)
        if not Path(copy.place).exists():
            raise _lost(copy, "it is not there any more")
        try:
            _copy(Path(copy.place), path, copy.sha256, progress, should_stop)
        except Transient as error:
            if error.code != "file_changed":
                raise
            raise _lost(copy, "its checksum is another") from error
        _proven(path, copy.sha256, should_stop)

    def _must_be(self, copy: ArchivedFile) -> None:
        """Nothing counts as lost while its disk is away."""
        with self._translated():
            found = self._id() if self.root.is_dir() else None
        if found != copy.directory_id:
            raise Refused(
                f"{self.root} is not the archive in which {Path(copy.place).name} lies.",
                hint=f"mount its disk at {self.root}",
                code="archive_not_mounted",
            )

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """What the system refuses becomes an error for people."""
        try:
            yield
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise VodtenderError(
                    f"There is no room for another file in {self.root}.",
                    hint=f"make room (df -h {self.root}), or set ARCHIVE_DIR to another disk",
                    code="archive_full",
                ) from error
            raise SettingsError(
                f"ARCHIVE_DIR {self.root} cannot be used: {(error.strerror or str(error)).lower()}",
                hint="see that its disk is mounted and that this user may write there",
                code="archive_dir",
            ) from error


def _copy(source: Path, target: Path, sha256: str, progress: Progress, should_stop: Stop) -> int:
    """Copies a file, on the disk when this returns, going on behind what an earlier try has
    written; that is proven afterwards like the rest. Raises Transient when the source is not
    what it should be; then nothing of the copy is left."""
    digest, done = hashlib.sha256(), 0
    with _reading(source) as reader, open(target, "ab", buffering=0) as writer:
        there = writer.tell()
        while block := _read(source, reader):
            if should_stop():
                raise Stopped("the copy was stopped")
            digest.update(block)
            done += len(block)
            if done > there:
                left = memoryview(block)[max(0, len(block) - (done - there)) :]
                while left:
                    left = left[writer.write(left) :]
                there = done
            progress(done)
        writer.truncate(done)
        known = os.fstat(reader.fileno())
        os.utime(writer.fileno(), ns=(known.st_atime_ns, known.st_mtime_ns))
        os.fsync(writer.fileno())
    if digest.hexdigest() != sha256:
        target.unlink(missing_ok=True)
        raise Transient(f"{source} is not what it was, or changes just now.", code="file_changed")
    return done


def _reading(source: Path) -> FileIO:
    try:
        return source.open("rb", buffering=0)
    except OSError as error:
        raise _unreadable(source, error) from error


def _read(source: Path, reader: FileIO) -> bytes:
    try:
        return reader.read(_BLOCK_BYTES) or b""
    except OSError as error:
        raise _unreadable(source, error) from error


def _unreadable(source: Path, error: OSError) -> Transient:
    return Transient(f"{source} cannot be read: {error.strerror}.", code="disk")


def _proven(path: Path, sha256: str, should_stop: Stop) -> int:
    """Reads what was written from the disk, past the memory that the writer has filled, and
    returns its CRC32."""
    with suppress(OSError), path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    found, crc32 = _digests(path, should_stop)
    if found != sha256:
        path.unlink(missing_ok=True)
        raise Transient(
            f"What was written to {path.parent} cannot be read back.", code="archive_damaged"
        )
    return crc32


def _digests(
    path: Path, should_stop: Callable[[], bool], progress: Progress = lambda _done: None
) -> tuple[str, int]:
    """SHA-256 and CRC32 of a file."""
    digest, crc32, done = hashlib.sha256(), 0, 0
    with path.open("rb", buffering=0) as file:
        while block := file.read(_BLOCK_BYTES):
            if should_stop():
                raise Stopped("stopped while a file was read")
            digest.update(block)
            crc32 = zlib.crc32(block, crc32)
            done += len(block)
            progress(done)
    return digest.hexdigest(), crc32


def _lost(copy: ArchivedFile, why: str) -> LostCopyError:
    return LostCopyError(
        f"The archived file of VOD {copy.vod_id} is lost: {copy.place}: {why}.",
        hint=f"vodtender archive verify {copy.vod_id}",
    )
