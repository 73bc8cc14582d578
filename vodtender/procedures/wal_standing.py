"""How it stands with base backups and the archived log, for the status."""

from __future__ import annotations

import shutil
from typing import Any

from vodtender.clients.postgres import wal_archive
from vodtender.config.settings import Settings
from vodtender.errors import VodtenderError
from vodtender.model.timestamp import rfc3339
from vodtender.pipeline.directory import POSTGRES_NAME
from vodtender.procedures.backup_list import recoverable
from vodtender.store.wal import Archiving

_LITTLE_SPACE_BYTES = 1 << 30


def document(settings: Settings, found: Archiving | None) -> dict[str, Any] | None:
    """None where no log is archived. `waiting_bytes` lie in the cluster; a log that cannot be
    archived piles up there, until the disk of the database is full. `found` is None while the
    database is away."""
    if not settings.backup_wal or settings.dsn is not None:
        return None
    problem = None
    try:
        moments = recoverable(settings)
    except VodtenderError as error:
        moments, problem = None, error.message
    free = _free_bytes(settings)
    since = wal_archive.archived_since(settings.data_dir / POSTGRES_NAME)
    if found is not None and found.failing is not None:
        problem = (
            f"the log cannot be archived in {settings.backup_directory.absolute()}: it piles up in"
            " DATA_DIR until the disk is full"
        )
    elif moments is not None and not moments.bases:
        problem = "there is no base backup, so no moment can be had: vodtender backup base"
    elif moments is not None and since is not None and moments.bases[0].made_at < since:
        problem = (
            f"the log was not archived until {since:%Y-%m-%d %H:%M} UTC, so no moment after that"
            " can be had before the next base backup: vodtender backup base"
        )
    elif free is not None and free < _LITTLE_SPACE_BYTES:
        problem = f"the disk of BACKUP_DIR is nearly full: {free >> 20} MiB are free"
    return {
        "base_at": rfc3339(moments.bases[0].made_at if moments and moments.bases else None),
        "recoverable_from": rfc3339(None if moments is None else moments.since),
        "recoverable_until": rfc3339(None if moments is None else moments.until),
        "archived_bytes": 0 if moments is None else moments.wal_bytes,
        "waiting_bytes": wal_archive.waiting_bytes(settings.data_dir / POSTGRES_NAME),
        "free_bytes": free,
        "failing_since": rfc3339(None if found is None else found.failed_at),
        "problem": problem,
    }


def _free_bytes(settings: Settings) -> int | None:
    try:
        return shutil.disk_usage(settings.backup_directory).free
    except OSError:
        return None
