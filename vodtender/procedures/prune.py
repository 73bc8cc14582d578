"""Removing local files by hand: the same rules as the daemon's, never the only copy."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from vodtender.config.settings import Settings
from vodtender.model.retention import judge_by_age
from vodtender.pipeline import prune as pipeline
from vodtender.pipeline.directory import open_directory
from vodtender.pipeline.prune import Judge, Pruned
from vodtender.store.database import Database


@dataclass(frozen=True, slots=True)
class Pruning:
    """The VODs' files with what becomes of each, and the files that are no VOD's."""

    directory: Path
    files: list[Pruned]
    others: list[Path]


def plan(database: Database, settings: Settings, *, older_than: timedelta | None) -> Pruning:
    """What would be done; nothing is. Raises SettingsError."""
    directory = open_directory(settings.data_dir)
    found = pipeline.prune(
        database, directory, _judge(settings, older_than), actor="", dry_run=True
    )
    return Pruning(directory.root, found, pipeline.others(database, directory))


def prune(
    database: Database,
    settings: Settings,
    *,
    older_than: timedelta | None,
    actor: str,
    reason: str | None,
) -> Pruning:
    """Removes what may go: by the settings or, with `older_than`, whatever has been here for
    longer.

    Raises:
        Locked: somebody else prunes this directory now.
        SettingsError: DATA_DIR cannot be used.
    """
    directory = open_directory(settings.data_dir)
    with pipeline.lease(database, directory, _holder()):
        found = pipeline.prune(
            database,
            directory,
            _judge(settings, older_than),
            actor=actor,
            reason=reason,
            dry_run=False,
        )
    return Pruning(directory.root, found, pipeline.others(database, directory))


def _judge(settings: Settings, older_than: timedelta | None) -> Judge:
    if older_than is None:
        return pipeline.by_settings(settings)
    return lambda vod, _rank, now, archived: judge_by_age(vod, older_than, now, archived=archived)


def _holder() -> str:
    return f"{socket.gethostname()}-{os.getpid()}-prune"
