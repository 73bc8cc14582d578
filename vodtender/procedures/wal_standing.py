"""How it stands with base backups and the archived log, for the status."""

from __future__ import annotations

import shutil
from typing import Any

from vodtender.clients.postgres import wal_archive
from vodtender.config.settings import Settings
from vodtender.errors import VodtenderError
from vodtender.model.timestamp import rfc3339
from vodtender.pipeline.directory import POSTGRES_NAME
from vodtender.procedures.backup_list import Moments, recoverable
from vodtender.store.wal import Archiving

_LITTLE_SPACE_BYTES = 1 << 30


def document(settings: Settings, found: Archiving | None) -> dict[str, Any] | None:
    """None where no log is archived. `waiting_bytes` lie in the cluster; a log that cannot be
    archived piles up there, until the disk of the database is full. `found` is None while the
    database is away."""
    directory = settings.data_dir / POSTGRES_NAME
    if settings.dsn is not None or not (settings.backup_wal or wal_archive.is_told(directory)):
        return None
    moments, problem = None, None
    try:
        moments = recoverable(settings)
    except VodtenderError as error:
        problem = error.message
    free = _free_bytes(settings)
    return {
        "base_at": rfc3339(moments.bases[0].made_at if moments and moments.bases else None),
        "recoverable": []
        if moments is None
        else [
            {"from": rfc3339(since), "until": rfc3339(until)} for since, until in moments.stretches
        ],
        "archived_bytes": 0 if moments is None else moments.wal_bytes,
        "waiting_bytes": wal_archive.waiting_bytes(directory),
        "free_bytes": free,
        "failing_since": rfc3339(None if found is None else found.failed_at),
        "problem": problem or _problem(settings, found, moments, free),
    }


def _problem(
    settings: Settings, found: Archiving | None, moments: Moments | None, free: int | None
) -> str | None:
    where = settings.backup_directory.absolute()
    if not settings.backup_wal:
        return (
            f"the log is still archived in {where}, though BACKUP_WAL is not set: that ends when"
            " vodtender run begins"
        )
    is_told = wal_archive.is_told(settings.data_dir / POSTGRES_NAME)
    if is_told and found is not None and found.failing is not None:
        return (
            f"the log cannot be archived in {where}: it piles up in DATA_DIR until the disk is full"
        )
    needed = None
    if not is_told:
        needed = "the log is not archived yet, though BACKUP_WAL is set"
    elif moments is not None and not moments.bases:
        needed = "there is no base backup, so no moment can be had"
    elif moments is not None and moments.broken:
        needed = f"{moments.broken}; for what comes"
    if needed is not None:
        return f"{needed}: vodtender backup base"
    if free is not None and free < _LITTLE_SPACE_BYTES:
        return f"the disk of BACKUP_DIR is nearly full: {free >> 20} MiB are free"
    return None


def _free_bytes(settings: Settings) -> int | None:
    try:
        return shutil.disk_usage(settings.backup_directory).free
    except OSError:
        return None
