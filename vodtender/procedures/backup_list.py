"""Which backups there are, here and in S3, and which one a name means."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from vodtender.config.settings import Settings
from vodtender.errors import NotFound
from vodtender.model.backup import Manifest
from vodtender.model.base_backup import Base
from vodtender.pipeline.backup_shelf import Entry, LocalShelf, S3Shelf
from vodtender.pipeline.base_shelf import BaseShelf

LATEST = "latest"


@dataclass(frozen=True, slots=True)
class Listed:
    """One backup, here and in S3; None: not there."""

    name: str
    local: Entry | None
    s3: Entry | None

    @property
    def manifest(self) -> Manifest | None:
        """From wherever there is one."""
        for entry in (self.local, self.s3):
            if entry is not None and entry.manifest is not None:
                return entry.manifest
        return None


@dataclass(frozen=True, slots=True)
class Shelves:
    """Where the backups of these settings lie."""

    local: LocalShelf
    s3: S3Shelf | None


def shelves(settings: Settings) -> Shelves:
    """Opens them; nothing is asked yet. Raises SettingsError."""
    local = LocalShelf(settings.backup_directory)
    if settings.backup_s3_url is None:
        return Shelves(local, None)
    from vodtender.clients.s3 import open_store

    return Shelves(local, S3Shelf(open_store(settings), settings.backup_s3_url))


def listed(settings: Settings) -> list[Listed]:
    """All backups, the newest first. Raises what S3 answers, SettingsError."""
    found = shelves(settings)
    local = {entry.name: entry for entry in found.local.entries()}
    s3 = {entry.name: entry for entry in (found.s3.entries() if found.s3 else [])}
    names = sorted({*local, *s3}, reverse=True)
    return [Listed(name, local.get(name), s3.get(name)) for name in names]


@dataclass(frozen=True, slots=True)
class Moments:
    """The base backups, the newest first, and which moments can be had by them; None: none. A
    server that runs has what came after `until`. `wal_bytes` is what the archived log takes."""

    bases: list[Base]
    since: datetime | None
    until: datetime | None
    wal_bytes: int


def recoverable(settings: Settings) -> Moments:
    """Which moments can be had, as far as can be seen in BACKUP_DIR. Raises SettingsError."""
    shelf = BaseShelf(settings.backup_directory)
    reach = shelf.reach()
    since, until = (None, None) if reach is None else (reach.since, reach.until)
    return Moments(shelf.entries(), since, until, shelf.wal_bytes())


def named(entries: list[Entry], name: str) -> Entry | None:
    """The one of that name; `latest` is the newest good one."""
    if name == LATEST:
        good = [
            one
            for one in entries
            if one.problem is None and one.manifest is not None and not one.manifest.before_restore
        ]
        return max(good, key=lambda one: one.manifest.made_at, default=None)  # type: ignore[union-attr]
    return next((one for one in entries if one.name == name), None)


def no_such(name: str) -> NotFound:
    """For a name that is nowhere."""
    what = "There is no good backup yet." if name == LATEST else f"There is no backup {name}."
    return NotFound(what, hint="vodtender backup list", code="no_backup")
