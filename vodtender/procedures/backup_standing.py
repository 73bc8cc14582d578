"""How it stands with backups, for the status, metrics and whoever judges by BACKUP_RPO."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from vodtender.config.redaction import redact
from vodtender.config.settings import Settings
from vodtender.errors import VodtenderError
from vodtender.model.timestamp import rfc3339
from vodtender.pipeline.backup_shelf import Entry, LocalShelf
from vodtender.store.backups import Standing

_LONGEST = 160

GRACE = timedelta(hours=2)
"""A daily backup is a day and its own duration old just before the next one is done."""


def document(found: Standing | None, settings: Settings, now: datetime) -> dict[str, Any]:
    """As the status has it; `last_at` is the moment that the last good backup shows, and
    `last_damage` what has become wrong with it since, as far as its file here can tell;
    `last_lack` the rows that the database had lost before it. `overdue`: where it has to be (in
    S3 if that is set) it is older than BACKUP_RPO and two hours. `local_only`: the last good one
    should have a copy in S3 and has none."""
    last_at = None if found is None else found.local_at
    entry = _last_here(found, settings)
    s3_at = None if found is None else found.s3_at
    counts = s3_at if settings.backup_s3_url is not None else last_at
    enabled = settings.backup_cron is not None or last_at is not None
    age = None if counts is None else now - counts
    overdue = found is not None and enabled and (age is None or age > settings.backup_rpo + GRACE)
    return {
        "enabled": enabled,
        "schedule": settings.backup_cron,
        "last_at": rfc3339(last_at),
        "last_name": None if found is None else found.local_name,
        "last_damage": None if entry is None else entry.problem,
        "last_lack": (entry.manifest.lack or None) if entry and entry.manifest else None,
        "age_seconds": _seconds(last_at, now),
        "s3_at": rfc3339(s3_at),
        "s3_age_seconds": _seconds(s3_at, now),
        "local_only": settings.backup_s3_url is not None and _is_later(last_at, s3_at),
        "rpo_seconds": settings.backup_rpo.total_seconds(),
        "overdue": overdue,
        "problem": _problem(found),
        "drill": _drill(found, settings, now),
    }


def _drill(found: Standing | None, settings: Settings, now: datetime) -> dict[str, Any]:
    """The last restore that was tried out."""
    at = None if found is None else found.drill_at
    return {
        "at": rfc3339(at),
        "age_seconds": _seconds(at, now),
        "took_seconds": None if found is None else found.drill_seconds,
        "rto_seconds": settings.restore_rto.total_seconds(),
        "problem": None
        if found is None or not found.drill_problem
        else _short(found.drill_problem),
    }


def _last_here(found: Standing | None, settings: Settings) -> Entry | None:
    """The last good one, if it lies on this machine."""
    if found is None or found.local_name is None:
        return None
    with suppress(VodtenderError):
        return LocalShelf(settings.backup_directory).entry(found.local_name)
    return None


def _problem(found: Standing | None) -> str | None:
    """Why the last try was not all that was wanted."""
    return _short(found.last_problem) if found is not None and found.last_problem else None


def _short(problem: str) -> str:
    """One line of what may be all that a program of PostgreSQL has said."""
    first, *more = redact(problem).strip().splitlines() or [""]
    if more or len(first) > _LONGEST:
        return f"{first[:_LONGEST].rstrip(' :.')} …"
    return first


def _is_later(one: datetime | None, other: datetime | None) -> bool:
    return one is not None and (other is None or one > other)


def _seconds(at: datetime | None, now: datetime) -> float | None:
    return None if at is None else max(0.0, round((now - at).total_seconds(), 1))
