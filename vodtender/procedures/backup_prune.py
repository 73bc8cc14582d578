"""Letting old backups go, and moving a month's one into the archive class."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from vodtender.config.settings import Settings
from vodtender.errors import Locked, PartlyDone, VodtenderError
from vodtender.model.backup import Fate, Judged, Retention, judge
from vodtender.pipeline.backup_shelf import Entry, translated
from vodtender.procedures.backup_list import Shelves, shelves
from vodtender.store import audit
from vodtender.store.database import Database

_UNFINISHED_FOR = timedelta(days=7)
"""A cut-off upload that nothing has gone on with for so long is never gone on with."""


@dataclass(frozen=True, slots=True)
class Fallen:
    """What retention makes of one backup in one place (`local` or `s3`)."""

    place: str
    name: str
    fate: Fate
    why: str
    size_bytes: int


def plan_prune(settings: Settings) -> list[Fallen]:
    """What retention makes of each backup now; nothing is done."""
    return _judged(settings, shelves(settings))


def prune(
    database: Database, settings: Settings, *, actor: str, reason: str | None
) -> list[Fallen]:
    """Removes what retention lets go, and moves what it archives.

    Raises Locked; PartlyDone when some of it could not be done.
    """
    found = shelves(settings)
    with found.local.locked():
        removed, failed = remove_old(database, settings, found, actor=actor, reason=reason)
    if failed:
        raise PartlyDone("\n".join(["Not removed:", *failed]), code="partly_pruned")
    return removed


def _judged(settings: Settings, found: Shelves) -> list[Fallen]:
    now = datetime.now(UTC)
    in_s3 = _good(found.s3.entries()) if found.s3 is not None else {}
    here = _good(found.local.entries())
    fallen = []
    for one in judge((e.manifest for e in here.values() if e.manifest), _rules(settings), now):
        fate, why = one.fate, one.why
        if fate is Fate.ARCHIVED and found.s3 is None:
            fate = Fate.STAYS
        elif fate is Fate.ARCHIVED:
            fate, why = _month_here(one, one.name in in_s3)
        fallen.append(Fallen("local", one.name, fate, why, here[one.name].size_bytes))
    for one in judge((e.manifest for e in in_s3.values() if e.manifest), _rules(settings), now):
        entry, fate = in_s3[one.name], one.fate
        if fate is Fate.ARCHIVED and entry.storage_class == settings.backup_archive_storage_class:
            fate = Fate.STAYS
        fallen.append(Fallen("s3", one.name, fate, one.why, entry.size_bytes))
    return fallen


def _month_here(one: Judged, is_in_s3: bool) -> tuple[Fate, str]:
    """The local file of a month's backup: S3 keeps that, so this one may go."""
    if is_in_s3:
        return Fate.GOES, f"{one.why}, which S3 keeps"
    return Fate.STAYS, f"{one.why}, and has no copy in S3"


def _good(entries: list[Entry]) -> dict[str, Entry]:
    return {one.name: one for one in entries if one.manifest is not None and one.problem is None}


def _rules(settings: Settings) -> Retention:
    return Retention(
        timedelta(days=settings.backup_retention_days),
        settings.backup_min_keep,
        timedelta(days=settings.backup_archive_days),
    )


def remove_old(
    database: Database, settings: Settings, found: Shelves, *, actor: str, reason: str | None
) -> tuple[list[Fallen], list[str]]:
    """What went, and what did not, with why. Each that went is in the audit."""
    removed, failed = [], []
    try:
        judged = _judged(settings, found)
    except VodtenderError as error:
        return [], [error.message]
    if found.s3 is not None:
        with suppress(VodtenderError):  # not every key may; the bucket's own rules end them, too
            found.s3.abort_unfinished(datetime.now(UTC) - _UNFINISHED_FOR)
    for one in judged:
        if one.fate is Fate.STAYS:
            continue
        try:
            with translated(found.local.directory):
                _apply(one, settings, found)
        except VodtenderError as error:
            failed.append(f"{one.name} ({one.place}): {error.message}")
            continue
        with database.transaction(actor=actor) as connection:
            audit.record(
                connection,
                actor=actor,
                action="backup prune",
                target=one.name,
                before={"place": one.place, "size_bytes": one.size_bytes},
                after={"fate": str(one.fate), "why": one.why},
                reason=reason,
            )
        removed.append(one)
    return removed, failed


def _apply(one: Fallen, settings: Settings, found: Shelves) -> None:
    if one.place == "local":
        if found.local.is_being_read:
            raise Locked("a restore or a verify is reading here", code="backup_read")
        found.local.remove(one.name)
    elif found.s3 is not None and one.fate is Fate.ARCHIVED:
        found.s3.archive(one.name, settings.backup_archive_storage_class)
    elif found.s3 is not None:
        found.s3.remove(one.name)
