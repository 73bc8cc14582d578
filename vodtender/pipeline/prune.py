"""Frees the disk: files that YouTube has processed, and what nobody works on any more.

Only files that the database knows as ours in this very directory, work directories, and finished
files that are second names of what lies in those, are ever touched.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from vodtender import log, metrics
from vodtender.clients.ytdlp.workdir import discard
from vodtender.config.settings import Settings
from vodtender.errors import DatabaseUnavailable, Locked
from vodtender.model.retention import RetentionPolicy, Verdict, judge
from vodtender.model.vod import Stage, Vod
from vodtender.pipeline.directory import DataDirectory, age_seconds
from vodtender.store import archive, audit, files, leases
from vodtender.store.database import Connection, Database, clock

_LEASE_SECONDS = 600.0
_log = log.get("prune")

Judge = Callable[[Vod, int, datetime, bool], Verdict]
"""Told the VOD, its place in its channel, the time, and whether the archive has a good copy."""


class Fate(StrEnum):
    """What becomes of a file. In a dry run `REMOVED` means that it would be."""

    REMOVED = "removed"
    STAYS = "stays"
    FAILED = "failed"
    """It may go, and could not be removed."""
    GONE = "gone"
    """Somebody else has deleted or moved it."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """One VOD's file and what has become of it."""

    vod_id: str
    path: Path
    size_bytes: int
    fate: Fate
    why: str


def by_settings(settings: Settings) -> Judge:
    """What the settings say of each file."""
    policy = RetentionPolicy(
        autoclean=settings.backfill_autoclean,
        keep_newer_than_days=settings.retain_keep_newer_than_days,
        keep_days=settings.retention_keep_days,
        keep_count=settings.retention_keep_count,
        archives=settings.archive_enabled,
        archive_wait_days=settings.archive_wait_days,
    )
    return lambda vod, rank, now, archived: judge(vod, rank, policy, now, archived=archived)


@contextmanager
def lease(database: Database, directory: DataDirectory, holder: str) -> Iterator[None]:
    """One at a time prunes a directory.

    Raises:
        Locked: another does it now.
    """
    name = f"prune {directory.id}"
    with database.transaction() as connection:
        claim = leases.take(connection, name, holder, _LEASE_SECONDS)
    if claim is None:
        raise Locked(
            f"Somebody else is pruning {directory.root} just now.",
            hint="try again in a minute; after a crash it takes up to ten",
        )
    try:
        yield
    finally:
        with suppress(DatabaseUnavailable), database.transaction() as connection:
            leases.release(connection, name, holder, claim)


def prune(
    database: Database,
    directory: DataDirectory,
    verdict_on: Judge,
    *,
    actor: str,
    reason: str | None = None,
    dry_run: bool,
) -> list[Pruned]:
    """Looks at every file in the directory that belongs to a VOD, and removes those that may
    go. A file that somebody has deleted or moved is noticed and noted.

    Raises:
        SettingsError: the directory is not there any more.
    """
    return _Sweep(database, directory, verdict_on, actor, reason, dry_run).run()


def others(database: Database, directory: DataDirectory) -> list[Path]:
    """The files in the directory that belong to no VOD of this database, so that nothing here
    ever touches them."""
    with database.transaction() as connection:
        known = files.in_directory(connection, directory.id)
    names = {directory.file_of(vod).name for vod in known}
    return [path for path in directory.files() if path.name not in names]


def clean_up(database: Database, directory: DataDirectory, max_age_seconds: float) -> list[Path]:
    """Removes work directories in which nothing has moved for so long and nobody works."""
    old = [path for path in directory.works() if age_seconds(path) >= max_age_seconds]
    removed = discard_idle(database, directory, old)
    directory.forget_strangers(max_age_seconds)
    return removed


def discard_idle(database: Database, directory: DataDirectory, works: Sequence[Path]) -> list[Path]:
    """Removes those work directories whose VODs nobody works on, and the finished file of one
    that was killed before the database knew of it; returns which. A download holds a lock in
    its own, an upload in parts does not."""
    with database.transaction() as connection:
        in_work = files.in_work(connection, [path.name for path in works])
    removed = []
    for path in works:
        if path.name in in_work:
            continue
        try:
            _take_back(database, directory, path)
            discard(path)
        except (Locked, OSError) as error:
            _log.debug("work directory stays", path=path, why=str(error))
            continue
        _log.info("partial download removed", path=path)
        removed.append(path)
    return removed


def _take_back(database: Database, directory: DataDirectory, work: Path) -> None:
    """Removes what was placed from a work directory and is not known to be anybody's file."""
    placed = directory.placed_from(work)
    if not placed:
        return
    with database.transaction() as connection:
        if not files.lock_without(connection, work.name):
            return
        for path in placed:
            path.unlink()
            _log.info("a file that was never recorded is removed", path=path)


@dataclass(frozen=True, slots=True)
class _Sweep:
    database: Database
    directory: DataDirectory
    verdict_on: Judge
    actor: str
    reason: str | None
    dry_run: bool

    def run(self) -> list[Pruned]:
        self.directory.check()
        with self.database.transaction() as connection:
            known = files.in_directory(connection, self.directory.id)
        here, gone = [], []
        for vod in known:
            if os.path.lexists(self.directory.file_of(vod)):
                here.append(vod)
            else:
                gone.append(self._gone(vod))
        return [self._one(vod, rank) for vod, rank in ranked(here)] + gone

    def _one(self, vod: Vod, rank: int) -> Pruned:
        try:
            return self._judged(vod, rank)
        except OSError as error:
            path = self.directory.file_of(vod)
            _log.error("file cannot be removed", vod=vod.twitch_vod_id, path=path, exc=error)
            why = f"it cannot be removed: {error.strerror}"
            return Pruned(vod.twitch_vod_id, path, 0, Fate.FAILED, why)

    def _judged(self, vod: Vod, rank: int) -> Pruned:
        path = self.directory.file_of(vod)
        with self.database.transaction(actor=self.actor) as connection:
            if not self.dry_run:
                # Judged again under a lock: an operator may just have asked for it anew.
                current = files.lock(connection, vod.id)
                if current is None or self.directory.file_of(current) != path:
                    return Pruned(vod.twitch_vod_id, path, 0, Fate.STAYS, "it is changing just now")
                vod = current
            size_bytes, foreign = look(path, vod)
            archived = _is_archived(connection, vod)
            verdict = self.verdict_on(vod, rank, clock(connection), archived)
            if foreign is not None:
                verdict = Verdict(False, foreign)
            if not verdict.goes:
                return Pruned(vod.twitch_vod_id, path, size_bytes, Fate.STAYS, verdict.why)
            if not self.dry_run:
                self._remove(connection, vod, path, size_bytes)
        return Pruned(vod.twitch_vod_id, path, size_bytes, Fate.REMOVED, verdict.why)

    def _remove(self, connection: Connection, vod: Vod, path: Path, size_bytes: int) -> None:
        """The file itself comes last: whatever goes wrong before, it is still there."""
        files.removed(connection, vod.id)
        audit.record(
            connection,
            actor=self.actor,
            action="prune",
            target=vod.twitch_vod_id,
            before={"file": path, "size_bytes": size_bytes},
            after={"file": None},
            reason=self.reason,
        )
        path.unlink(missing_ok=True)
        metrics.files_removed.inc()
        _log.info("file removed", vod=vod.twitch_vod_id, path=path, size_bytes=size_bytes)

    def _gone(self, vod: Vod) -> Pruned:
        """On YouTube: done anyway. Else it has to come down again."""
        self.directory.check()  # where a whole disk is missing, no file has been deleted
        path = self.directory.file_of(vod)
        gone = f"its file {path.name} was deleted or moved"
        with self.database.transaction() as connection:
            archived = _is_archived(connection, vod)
        if archived or vod.stage in (Stage.PUBLISHED, Stage.VERIFYING):
            if not self.dry_run:
                with self.database.transaction(actor=self.actor) as connection:
                    files.removed(connection, vod.id)
                _log.info("file was removed by hand", vod=vod.twitch_vod_id, path=path)
            where = "in the archive" if archived else "on YouTube"
            return Pruned(vod.twitch_vod_id, path, 0, Fate.GONE, f"{gone}; it is {where}")
        if not self.dry_run:
            with self.database.transaction(actor=self.actor) as connection:
                if files.fetch_again(connection, vod.id, f"{gone}; it is fetched again"):
                    _log.warning("file is gone, fetching again", vod=vod.twitch_vod_id, path=path)
        return Pruned(vod.twitch_vod_id, path, 0, Fate.GONE, gone)


def _is_archived(connection: Connection, vod: Vod) -> bool:
    copy = archive.get(connection, vod.twitch_vod_id)
    return copy is not None and copy.is_copy_of(vod)


def look(path: Path, vod: Vod) -> tuple[int, str | None]:
    """The size of what lies there; and why it is not the file that vodtender made, if it is
    not: then it may be the only copy of something else."""
    try:
        found = path.lstat()
    except OSError as error:
        return 0, f"it cannot be looked at: {error.strerror}"
    if stat.S_ISLNK(found.st_mode):
        return 0, "it is a symbolic link that somebody has put there"
    if not stat.S_ISREG(found.st_mode):
        return 0, "it is not a file"
    if found.st_size != vod.file_size_bytes:
        return found.st_size, "its size is not the recorded one: somebody has changed it"
    return found.st_size, None


def ranked(here: Sequence[Vod]) -> list[tuple[Vod, int]]:
    """With each its place among the files of its channel, newest stream first."""
    ranks: dict[str, int] = {}
    ranked = []
    for vod in sorted(here, key=lambda v: v.date or v.created_at, reverse=True):
        ranks[vod.channel] = ranks.get(vod.channel, -1) + 1
        ranked.append((vod, ranks[vod.channel]))
    return ranked
