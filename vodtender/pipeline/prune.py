"""Frees the disk: files that YouTube has processed, and what nobody works on any more.

Only files that the database knows as ours in this very directory, and work directories, are
ever touched.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from vodtender import log, metrics
from vodtender.clients.ytdlp.workdir import discard
from vodtender.config.settings import Settings
from vodtender.errors import Locked
from vodtender.model.outcome import FileGone
from vodtender.model.retention import RetentionPolicy, Verdict, judge
from vodtender.model.vod import Stage, Vod
from vodtender.pipeline.directory import DataDirectory, age_seconds
from vodtender.store import files
from vodtender.store.claims import clock
from vodtender.store.database import Database

_log = log.get("prune")

Judge = Callable[[Vod, int, datetime], Verdict]


@dataclass(frozen=True, slots=True)
class Pruned:
    """One file that went, or would go in a dry run, or stays."""

    vod_id: str
    path: Path
    size_bytes: int
    removed: bool
    why: str


def by_settings(settings: Settings) -> Judge:
    """What the settings say of each file."""
    policy = RetentionPolicy(
        autoclean=settings.backfill_autoclean,
        keep_newer_than_days=settings.retain_keep_newer_than_days,
        keep_days=settings.retention_keep_days,
        keep_count=settings.retention_keep_count,
    )
    return lambda vod, rank, now: judge(vod, rank, policy, now)


def prune(
    database: Database, directory: DataDirectory, verdict_on: Judge, *, dry_run: bool
) -> list[Pruned]:
    """Looks at every file in the directory that belongs to a VOD, and removes those that may
    go. A file that somebody has deleted or moved is noticed and noted."""
    with database.transaction() as connection:
        known = files.in_directory(connection, directory.id)
    pruned = []
    for vod, rank in _ranked(known):
        path = directory.file_of(vod)
        if not path.exists():
            if not dry_run:
                _note_gone(database, vod, path)
            continue
        pruned.append(_prune_one(database, path, vod, rank, verdict_on, dry_run=dry_run))
    return pruned


def clean_up(directory: DataDirectory, max_age_seconds: float) -> list[Path]:
    """Removes work directories in which nothing has moved for so long and nobody works."""
    removed = []
    for path in directory.works():
        if age_seconds(path) < max_age_seconds:
            continue
        try:
            discard(path)
        except (Locked, OSError) as error:
            _log.debug("work directory stays", path=path, why=str(error))
            continue
        _log.info("partial download removed", path=path)
        removed.append(path)
    directory.forget_strangers(max_age_seconds)
    return removed


def _prune_one(
    database: Database, path: Path, vod: Vod, rank: int, verdict_on: Judge, *, dry_run: bool
) -> Pruned:
    with database.transaction() as connection:
        now = clock(connection)
        if dry_run:
            verdict = verdict_on(vod, rank, now)
        else:
            # Judged again under a lock: an operator may just have asked for it anew.
            current = files.lock(connection, vod.id)
            if current is None:
                return Pruned(vod.twitch_vod_id, path, 0, False, "it is not ours any more")
            verdict = verdict_on(current, rank, now)
        size = path.stat().st_size
        if verdict.goes and not dry_run:
            path.unlink(missing_ok=True)
            files.removed(connection, vod.id)
            metrics.files_removed.inc()
            _log.info("file removed", vod=vod.twitch_vod_id, path=path, size_bytes=size)
    return Pruned(vod.twitch_vod_id, path, size, verdict.goes, verdict.why)


def _note_gone(database: Database, vod: Vod, path: Path) -> None:
    """On YouTube: done anyway. Else it has to come down again."""
    if vod.stage in (Stage.PUBLISHED, Stage.VERIFYING):
        with database.transaction() as connection:
            files.removed(connection, vod.id)
        _log.info("file was removed by hand", vod=vod.twitch_vod_id, path=path)
        return
    gone = FileGone(f"its file {path.name} was deleted or moved")
    with database.transaction() as connection:
        if files.fetch_again(connection, vod.id, f"{gone.why}; it is fetched again"):
            _log.warning("file is gone, fetching again", vod=vod.twitch_vod_id, path=path)


def _ranked(known: Sequence[Vod]) -> list[tuple[Vod, int]]:
    """With each its place among the files of its channel, newest stream first."""
    ranks: dict[str, int] = {}
    ranked = []
    for vod in sorted(known, key=lambda v: v.date or v.created_at, reverse=True):
        ranks[vod.channel] = ranks.get(vod.channel, -1) + 1
        ranked.append((vod, ranks[vod.channel]))
    return ranked
