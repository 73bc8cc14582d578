"""Where backups lie: BACKUP_DIR and a prefix in S3, each with its manifests.

Only what has a manifest that fits is a backup. A dump gets its name after its manifest is there,
and is removed before it; so a death at any moment leaves a manifest without a dump at worst,
which nobody takes for a backup and the next run sweeps away.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from vodtender.clients.fsync import sync_directory
from vodtender.errors import Locked, SettingsError, VodtenderError
from vodtender.model.backup import (
    MANIFESTS,
    Manifest,
    is_name,
    is_old_name,
    manifest_name,
)
from vodtender.model.s3_location import S3Location

if TYPE_CHECKING:
    from vodtender.clients.s3 import Store

_LOCK_NAME = ".lock"
_READING_NAME = ".reading"
_LOCK_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
_TEMPORARY = ".tmp-"
_LARGEST_MANIFEST_BYTES = 4 << 20

_FULL, _UNUSABLE = "backup_disk_full", "backup_dir"

NOT_TO_BE_USED = frozenset({_FULL, _UNUSABLE})
"""Codes of errors that are BACKUP_DIR's and say nothing of the database."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file that is called as a backup is. `problem` says why it is none; None: it is one, as
    far as can be seen without reading all of it. `manifest` is there whenever it is one."""

    name: str
    size_bytes: int
    manifest: Manifest | None
    problem: str | None
    storage_class: str | None = None


class LocalShelf:
    """BACKUP_DIR."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else makes, marks or removes backups here meanwhile. The lock ends with its
        holder, however that ends.

        Raises Locked (code `backup_running`), and SettingsError when the directory cannot be
        used.
        """
        with translated(self.directory):
            for path in (self.directory, self.directory / MANIFESTS):
                path.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self.directory / _LOCK_NAME, _LOCK_FLAGS, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Locked(
                    f"Another backup, prune or keep is at work in {self.directory}.",
                    hint="wait for it, then: vodtender backup list",
                    code="backup_running",
                ) from None
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def being_read(self) -> Iterator[None]:
        """Nothing is removed here meanwhile: a restore reads a backup more than once. Ends with
        its holder. Several may read; where the lock cannot be had, it is read without."""
        try:
            descriptor = os.open(self.directory / _READING_NAME, _LOCK_FLAGS, 0o600)
        except OSError:  # a disk that is read-only, or another's: nobody removes anything there
            yield
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            yield
        finally:
            os.close(descriptor)

    @property
    def is_being_read(self) -> bool:
        descriptor = os.open(self.directory / _READING_NAME, _LOCK_FLAGS, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def path(self, name: str) -> Path:
        return self.directory / name

    def temporary(self, name: str) -> Path:
        """Where a dump is written before it gets its name."""
        return self.directory / f"{_TEMPORARY}{name}"

    def sweep(self) -> None:
        """Removes what runs that died have left; to be called with the lock."""
        for path in [
            *self.directory.glob(f"{_TEMPORARY}*"),
            *(self.directory / MANIFESTS).glob(f"{_TEMPORARY}*"),
        ]:
            path.unlink(missing_ok=True)
        for path in (self.directory / MANIFESTS).glob("*.json"):
            name = path.name.removesuffix(".json")
            if is_name(name) and not self.path(name).exists():
                path.unlink(missing_ok=True)

    def entries(self) -> list[Entry]:
        """The newest name first. Empty where there is no such directory."""
        with translated(self.directory):
            try:
                found = sorted(os.scandir(self.directory), key=lambda one: one.name, reverse=True)
            except FileNotFoundError:
                return []
            named = [one for one in found if is_name(one.name) or is_old_name(one.name)]
            return [self._entry(one.name, one.stat().st_size) for one in named]

    def entry(self, name: str) -> Entry | None:
        """The one of that name; None where there is no such file."""
        with translated(self.directory):
            try:
                return self._entry(name, self.path(name).stat().st_size)
            except (FileNotFoundError, NotADirectoryError):
                return None

    def _entry(self, name: str, size_bytes: int) -> Entry:
        path = self.directory / MANIFESTS / manifest_name(name)
        try:
            with path.open("rb") as file:
                return judged(name, size_bytes, file.read(_LARGEST_MANIFEST_BYTES))
        except FileNotFoundError:
            return judged(name, size_bytes, None)

    def add(self, manifest: Manifest) -> Path:
        """The temporary dump becomes a backup, on the disk when this returns."""
        self.write_manifest(manifest)
        path = self.path(manifest.name)
        os.replace(self.temporary(manifest.name), path)
        sync_directory(self.directory, required=False)
        return path

    def write_manifest(self, manifest: Manifest) -> None:
        folder = self.directory / MANIFESTS
        temporary = folder / f"{_TEMPORARY}{manifest_name(manifest.name)}"
        with open(temporary, "w", encoding="utf-8", opener=private) as file:
            file.write(manifest.to_json())
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, folder / manifest_name(manifest.name))
        sync_directory(folder, required=False)

    def remove(self, name: str) -> None:
        self.path(name).unlink(missing_ok=True)
        sync_directory(self.directory, required=False)
        (self.directory / MANIFESTS / manifest_name(name)).unlink(missing_ok=True)


class S3Shelf:
    """A prefix in S3."""

    def __init__(self, store: Store, prefix: S3Location) -> None:
        self.store = store
        self.prefix = prefix

    def entries(self) -> list[Entry]:
        """The newest name first. Raises what the store answers."""
        found = list(self.store.listing(self.prefix))
        manifests = {one.at.name for one in found if one.at == self._manifest(one.at.name)}
        return [
            self._entry(one.at.name, one.size_bytes, one.storage_class, manifests)
            for one in reversed(found)
            if one.at == self.prefix / one.at.name
            and (is_name(one.at.name) or is_old_name(one.at.name))
        ]

    def _entry(self, name: str, size_bytes: int, storage_class: str, manifests: set[str]) -> Entry:
        there = manifest_name(name) in manifests
        text = self.store.get(self._manifest(manifest_name(name))) if there else None
        return judged(name, size_bytes, text, storage_class)

    def _manifest(self, name: str) -> S3Location:
        return self.prefix / f"{MANIFESTS}/{name}"

    def add(
        self,
        path: Path,
        manifest: Manifest,
        *,
        storage_class: str,
        progress: Callable[[int], object],
        should_stop: Callable[[], bool],
    ) -> S3Location:
        """Uploads a dump and its manifest, and proves both.

        Raises DamagedBackupError when the file is no longer what its manifest says; the copy
        then has no manifest, and counts as none.
        """
        from vodtender.clients.dump import DamagedBackupError
        from vodtender.clients.s3_upload import upload

        at = self.prefix / manifest.name
        sent = upload(
            self.store,
            path,
            at,
            storage_class=storage_class,
            metadata={"sha256": manifest.sha256},
            progress=progress,
            should_stop=should_stop,
        )
        if sent.crc32 != manifest.crc32:
            self.store.delete(at)
            raise DamagedBackupError(
                f"{path} is damaged: its checksum is another than when it was made.",
                hint="make another one now: vodtender backup",
            )
        self.write_manifest(manifest)
        return at

    def write_manifest(self, manifest: Manifest) -> None:
        """In the class STANDARD: it is read often, and small objects cost more in others."""
        at = self._manifest(manifest_name(manifest.name))
        self.store.put(at, manifest.to_json().encode())

    def remove(self, name: str) -> None:
        self.store.delete(self.prefix / name)
        self.store.delete(self._manifest(manifest_name(name)))

    def abort_unfinished(self, before: datetime) -> None:
        """Ends uploads of ours that were cut off before that and not gone on with."""
        self.store.abort_unfinished(self.prefix, before=before, only=is_name)

    def archive(self, name: str, storage_class: str) -> None:
        """Moves a dump to another class; its manifest stays where it can be read at once."""
        self.store.change_class(self.prefix / name, storage_class)


def judged(
    name: str, size_bytes: int, text: bytes | None, storage_class: str | None = None
) -> Entry:
    """What a file is, by its manifest."""
    manifest, problem = None, None
    if is_old_name(name):
        problem = "a plain dump of the old script; it can be restored"
    elif text is None:
        problem = "it has no manifest: it was never finished, or copied without manifests/"
    else:
        try:
            manifest = Manifest.from_json(text)
        except ValueError:
            problem = "its manifest cannot be read"
    if manifest is not None and manifest.name != name:
        problem = f"its manifest is that of {manifest.name}"
    elif manifest is not None and manifest.size_bytes != size_bytes:
        problem = f"it has {size_bytes} bytes, and had {manifest.size_bytes} when it was made"
    elif manifest is not None and manifest.damage:
        problem = manifest.damage
    return Entry(name, size_bytes, manifest, problem, storage_class)


def missing(directory: Path) -> str:
    """Says so where BACKUP_DIR is not there at all; else empty."""
    return "" if directory.is_dir() else f"BACKUP_DIR, which is {directory}, does not exist."


def private(path: str, flags: int) -> int:
    """An opener for files that only their owner may read: there are tokens in a dump."""
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


@contextmanager
def translated(directory: Path) -> Iterator[None]:
    """What the system refuses becomes an error for people."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise VodtenderError(
                f"There is no room for a backup in {directory}.",
                hint=f"make room (df -h {directory}), or set BACKUP_DIR to another disk",
                code=_FULL,
            ) from error
        raise SettingsError(
            f"BACKUP_DIR {directory} cannot be used: {(error.strerror or str(error)).lower()}",
            hint="set BACKUP_DIR to a directory that this user may write",
            code=_UNUSABLE,
        ) from error
