"""Where archived files lie: a prefix in S3, or a directory on another disk.

Both prove what they take before they say that they hold it, overwrite nothing, and go on where
an earlier try was cut off.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from vodtender.config.settings import Settings
from vodtender.errors import NotFound, Refused, SettingsError, VodtenderError
from vodtender.model.archive import ArchivedFile, object_name, tiers_of, vod_id_of, wait_for
from vodtender.model.s3_location import S3Location
from vodtender.model.vod import Vod
from vodtender.store import archive
from vodtender.store.database import Database

if TYPE_CHECKING:
    from vodtender.clients.s3 import Store, Stored

_READABLE_DAYS = 3
"""For so long what was asked for can be read."""
_SCHEME = "s3://"
FORGOTTEN_AFTER = timedelta(days=7)
"""So long what was begun and cut off waits to be gone on with."""

Progress = Callable[[int], object]
Stop = Callable[[], bool]


class LostCopyError(VodtenderError):
    """The archive does not hold what it is said to hold."""

    code = "archive_lost"


@dataclass(frozen=True, slots=True)
class Kept:
    """A proven copy. See `ArchivedFile`."""

    place: str
    directory_id: str | None
    storage_class: str | None
    crc32: int
    etag: str | None


@dataclass(frozen=True, slots=True)
class Thawing:
    """It was asked for, and can be read later: at the latest after so long, if that is known."""

    tier: str
    asked_now: bool
    ready_by: datetime | None


class Shelf(Protocol):
    """An archive."""

    def check(self, *, in_use: bool) -> None:
        """Raises Refused or SettingsError when nothing can be put there now. `in_use`: files are
        known to lie there already."""

    def keep(
        self, path: Path, vod: Vod, *, side_by_side: int, progress: Progress, should_stop: Stop
    ) -> Kept:
        """Takes a VOD's file, which must be what is recorded of it, and proves the copy. See
        `clients.s3_upload.upload` for what is raised."""

    def problem_of(self, copy: ArchivedFile, *, read: bool, progress: Progress) -> str | None:
        """Why a copy is none any more; None: it is there, and the same. With `read` all of it is
        read where its class allows that."""

    def sweep(self, is_wanted: Callable[[str], bool]) -> None:
        """Removes what was begun more than a week ago for VODs (by their numbers) of which
        nothing is to be moved any more."""

    def thaw(self, copy: ArchivedFile, tier: str, now: datetime) -> Thawing | None:
        """Makes sure that a copy can be read, now (None) or later. Raises LostCopyError."""

    def fetch(
        self, copy: ArchivedFile, path: Path, *, progress: Progress, should_stop: Stop
    ) -> None:
        """Writes a copy to a file and compares it. Raises LostCopyError, OSError, and what the
        archive answers."""


class Shelves:
    """The archives that the settings, and copies from other days, lead to. Each is opened when
    it is first wanted."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @cached_property
    def current(self) -> Shelf:
        """Where files go now. Raises SettingsError when there is no archive."""
        settings = self._settings
        if settings.archive_s3_url is not None:
            return S3Shelf(lambda: self._store, settings)
        if settings.archive_dir is not None:
            return self._directory(settings.archive_dir)
        raise SettingsError(
            "There is no archive: neither ARCHIVE_S3_URL nor ARCHIVE_DIR is set.",
            hint="set ARCHIVE_S3_URL=s3://bucket/vods/ or ARCHIVE_DIR=/mnt/archive",
            code="no_archive",
        )

    def of(self, copy: ArchivedFile) -> Shelf:
        """Where a copy lies, whatever the settings say today."""
        if copy.place.startswith(_SCHEME):
            return S3Shelf(lambda: self._store, self._settings)
        return self._directory(Path(copy.place).parent)

    @cached_property
    def _store(self) -> Store:
        from vodtender.clients.s3 import open_store

        return open_store(self._settings)

    def _directory(self, root: Path) -> Shelf:
        from vodtender.pipeline.archive_directory import ArchiveDirectory

        return ArchiveDirectory(root, self._settings.data_dir)


def known_copy(database: Database, vod: Vod) -> ArchivedFile | None:
    """A good copy of what is recorded of the VOD's file, as far as the database knows."""
    with database.transaction() as connection:
        copy = archive.get(connection, vod.twitch_vod_id)
    return copy if copy is not None and copy.is_copy_of(vod) else None


class S3Shelf:
    """A store that speaks S3; ARCHIVE_S3_URL in it is where new copies go."""

    def __init__(self, store: Callable[[], Store], settings: Settings) -> None:
        self._open = store
        self._settings = settings

    @property
    def store(self) -> Store:
        """Opened only when it is wanted: that takes longer than most of what is asked."""
        return self._open()

    def check(self, *, in_use: bool) -> None:
        """What is wrong with a bucket shows at the first file."""

    def keep(
        self, path: Path, vod: Vod, *, side_by_side: int, progress: Progress, should_stop: Stop
    ) -> Kept:
        from vodtender.clients.s3_upload import upload

        assert vod.file_sha256 is not None
        at = self._free_place(path.name, vod)
        sent = upload(
            self.store,
            path,
            at,
            storage_class=self._settings.archive_storage_class,
            metadata={
                "sha256": vod.file_sha256,
                "vod-id": vod.twitch_vod_id,
                "host": socket.gethostname().encode("ascii", "replace").decode(),
            },
            # One is enough, and the CRC32 has to be computed anyway.
            sha256=vod.file_sha256 if vod.file_crc32 is None else None,
            crc32=vod.file_crc32,
            side_by_side=side_by_side,
            progress=progress,
            should_stop=should_stop,
        )
        return Kept(str(at), None, sent.stored.storage_class, sent.crc32, sent.stored.etag)

    def _free_place(self, name: str, vod: Vod) -> S3Location:
        """Where nothing else lies. What has its checksum beside it is the same file."""
        assert vod.file_sha256 is not None
        prefix = self._settings.archive_s3_url
        assert prefix is not None
        found = self.store.head(prefix / name)
        taken = found is not None and (
            found.size_bytes != vod.file_size_bytes
            or found.metadata.get("sha256", vod.file_sha256) != vod.file_sha256
        )
        return prefix / object_name(name, vod.file_sha256, taken=taken)

    def problem_of(self, copy: ArchivedFile, *, read: bool, progress: Progress) -> str | None:
        found = self._head(copy)
        if found is None:
            return "it is not there any more"
        if found.size_bytes != copy.size_bytes:
            return f"it has {found.size_bytes} bytes instead of {copy.size_bytes}"
        if found.crc32 is not None and found.crc32 != copy.crc32:
            return "its checksum is another"
        if found.crc32 is None and found.etag != copy.etag:
            return "it is another object than the one that was put there"
        if read and found.is_readable and not self._reads(copy, progress):
            return "what is read of it is not what was put there"
        return None

    def sweep(self, is_wanted: Callable[[str], bool]) -> None:
        def is_left(name: str) -> bool:
            vod_id = vod_id_of(name)
            return vod_id is not None and not is_wanted(vod_id)

        prefix = self._settings.archive_s3_url
        assert prefix is not None
        before = datetime.now(UTC) - FORGOTTEN_AFTER
        self.store.abort_unfinished(prefix, before=before, only=is_left)

    def _head(self, copy: ArchivedFile) -> Stored | None:
        try:
            return self.store.head(S3Location.parse(copy.place))
        except NotFound:
            return None

    def _reads(self, copy: ArchivedFile, progress: Progress) -> bool:
        import hashlib

        digest, done = hashlib.sha256(), 0
        for block in self.store.stream(S3Location.parse(copy.place)):
            digest.update(block)
            done += len(block)
            progress(done)
        return digest.hexdigest() == copy.sha256

    def thaw(self, copy: ArchivedFile, tier: str, now: datetime) -> Thawing | None:
        found = self._head(copy)
        if found is None:
            raise _lost(copy, "it is not there any more")
        if found.is_readable:
            return None
        storage_class = found.storage_class
        if found.retrieval is None:
            if wait_for(storage_class, tier) is None:
                raise Refused(
                    f"{storage_class} has no tier {tier}.",
                    hint=" or ".join(f"--tier {name}" for name in tiers_of(storage_class)),
                    code="s3_tier",
                )
            self.store.ask_for(
                S3Location.parse(copy.place), tier=tier.capitalize(), days=_READABLE_DAYS
            )
            again = self._head(copy)
            if again is not None and again.is_readable:
                return None
            copy_asked, copy_tier, asked_now = now, tier, True
        else:
            copy_asked, copy_tier = copy.asked_at or now, copy.asked_tier or tier
            asked_now = False
        longest = wait_for(storage_class, copy_tier)
        return Thawing(copy_tier, asked_now, None if longest is None else copy_asked + longest)

    def fetch(
        self, copy: ArchivedFile, path: Path, *, progress: Progress, should_stop: Stop
    ) -> None:
        try:
            received = self.store.download(
                S3Location.parse(copy.place), path, progress=progress, should_stop=should_stop
            )
        except NotFound as error:
            raise _lost(copy, "it is not there any more") from error
        if (received.size_bytes, received.sha256) != (copy.size_bytes, copy.sha256):
            raise _lost(copy, "what was read of it is not what was put there")


def _lost(copy: ArchivedFile, why: str) -> LostCopyError:
    return LostCopyError(
        f"The archived file of VOD {copy.vod_id} is lost: {copy.place}: {why}.",
        hint=f"vodtender archive verify {copy.vod_id}",
    )
