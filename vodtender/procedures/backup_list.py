"""Which backups there are, here and in S3, and which one a name means."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from vodtender.config.settings import Settings
from vodtender.errors import NotFound
from vodtender.model.backup import Manifest, full_name, is_name, richer, time_in
from vodtender.model.base_backup import Base, is_base_name
from vodtender.model.log_reach import stretches
from vodtender.pipeline.backup_shelf import Entry, LocalShelf, S3Shelf, missing
from vodtender.pipeline.base_shelf import BaseShelf
from vodtender.procedures import moments

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

    @property
    def made_at(self) -> datetime | None:
        """By its manifest, else by its name, if that tells."""
        return time_in(self.name) if self.manifest is None else self.manifest.made_at


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
    """The base backups, the newest first, and which moments can be had by them: `stretches`,
    from the earliest on, from and to (None: now), and `told` for people. `gaps` say why the log
    breaks off in between, `broken` why that of the newest base backup leads to no later one.
    `wal_bytes` is what the archived log takes."""

    bases: list[Base]
    stretches: list[tuple[datetime, datetime | None]]
    told: str
    gaps: list[str]
    broken: str
    wal_bytes: int


def recoverable(settings: Settings) -> Moments:
    """Which moments can be had. Raises SettingsError."""
    shelf = BaseShelf(settings.backup_directory)
    found = moments.spans(settings)
    gaps = list(dict.fromkeys(moments.why_broken(one) for one in found if one.is_broken))
    broken = moments.told_end(found[0]) if found and found[0].is_broken else ""
    return Moments(
        shelf.entries(),
        stretches(found),
        moments.told_stretches(found),
        gaps,
        broken,
        shelf.wal_bytes(),
    )


def named(entries: list[Entry], name: str) -> Entry | None:
    """The one of that name; `latest` is the newest good one."""
    if name == LATEST:
        good = [
            one
            for one in entries
            if one.problem is None and one.manifest is not None and not one.manifest.before_restore
        ]
        return max(good, key=lambda one: one.manifest.made_at, default=None)  # type: ignore[union-attr]
    return next((one for one in entries if one.name == full_name(name)), None)


def passed_over(entries: Iterable[Entry], taken: Entry | None) -> tuple[str, ...]:
    """What is to be said of those that are newer than the one that was taken as the latest."""
    how = "" if taken is None else "newer, but "
    newer = {
        entry.name: f"{entry.name} is {how}{state(entry)}: {entry.problem}"
        for entry in entries
        if is_name(entry.name)
        and entry.problem is not None
        and (taken is None or entry.name > taken.name)
    }
    return tuple(newer.values())


def poorer(taken: Manifest | None, entries: Iterable[Entry]) -> tuple[str, ...]:
    """What is to be said where an older good backup holds far more."""
    if taken is None:
        return ()
    good = [one.manifest for one in entries if one.manifest is not None and one.problem is None]
    other = richer(taken, good)
    if other is None:
        return ()
    rows, were = (sum(one.rows.values()) for one in (taken, other))
    return (f"{taken.name} has only {rows} rows; {other.name}, which is older, has {were}",)


def state(entry: Entry) -> str:
    """`good` means that it has its manifest and its size, and that nobody who read it found it
    damaged."""
    if entry.problem is None:
        return "good"
    return "damaged" if entry.manifest is not None else "unknown"


def no_such(name: str, found: Shelves, entries: Iterable[Entry] = ()) -> NotFound:
    """For a name that is nowhere, and a latest where no backup is good."""
    directory = found.local.directory
    there = passed_over(entries, None)
    hint = "vodtender backup list"
    if is_base_name(name):
        what = f"{name} is a base backup, and no dump."
        hint = "it is read and compared by: vodtender restore --at latest --dry-run"
    elif name != LATEST:
        what = f"There is no backup {name}."
    elif there:
        what = "\n".join(["There is no good backup.", *there])
        hint = "try one of them all the same: vodtender restore NAME"
    elif BaseShelf(directory).entries():
        what = f"There is no dump in {directory} yet, but base backups, with the log after them."
        hint = "vodtender restore --at latest; --dry-run reads and compares them"
    else:
        what = f"There is no good backup yet in {directory}."
    if gone := missing(directory):
        what += f" {gone}"
        hint = f"is its disk mounted? set BACKUP_DIR to where the backups are; {hint}"
    return NotFound(what, hint=hint, code="no_backup")
