"""How many uploads a day: our own limits and Google's quota, per Pacific day and project."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from vodtender.model.quota import next_reset

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Limits:
    """The settings. `uploads` counts all uploads of a day, `backfill_uploads` those of old VODs;
    0 is none."""

    uploads: int
    backfill_uploads: int
    units: int
    upload_cost_units: int
    spread: bool


class Spent(Protocol):
    """What was used of the day."""

    @property
    def units(self) -> int: ...
    @property
    def uploads(self) -> int: ...
    @property
    def backfill_uploads(self) -> int: ...
    @property
    def last_upload_at(self) -> datetime | None: ...


@dataclass(frozen=True, slots=True)
class Wait:
    """Until when, and why."""

    reason: str
    until: datetime


def is_backfill(began_at: datetime, newer_than_days: int, now: datetime) -> bool:
    """Whether a VOD is from the back catalog, and not one of the streams of these days."""
    return (now - began_at) / _DAY > newer_than_days


def why_wait(limits: Limits, spent: Spent, *, backfill: bool, now: datetime) -> Wait | None:
    """Whether one more upload has to wait; None: it may begin.

    An attempt counts whatever came of it, as it does with Google.
    """
    reset = next_reset(now)
    if spent.uploads >= limits.uploads:
        used = f"{spent.uploads} of {limits.uploads} uploads (UPLOAD_DAILY_LIMIT)"
        return Wait(_until_reset(used, reset), reset)
    if backfill and spent.backfill_uploads >= limits.backfill_uploads:
        used = (
            f"{spent.backfill_uploads} of {limits.backfill_uploads} uploads of older VODs "
            "(BACKFILL_UPLOAD_DAILY_LIMIT)"
        )
        return Wait(_until_reset(used, reset), reset)
    if spent.units + limits.upload_cost_units > limits.units:
        used = (
            f"{spent.units} of {limits.units} units, and an upload costs "
            f"{limits.upload_cost_units} (YT_QUOTA_UNITS_PER_DAY)"
        )
        return Wait(_until_reset(used, reset), reset)
    if limits.spread and spent.last_upload_at is not None:
        next_at = min(spent.last_upload_at + _DAY / max(limits.uploads, 1), reset)
        if now < next_at:
            reason = (
                f"the day's quota is spread (UPLOAD_SPREAD); next upload at {next_at:%H:%M} UTC"
            )
            return Wait(reason, next_at)
    return None


def _until_reset(used: str, reset: datetime) -> str:
    return f"today's upload quota is used up: {used}; it starts anew {reset:%Y-%m-%d %H:%M} UTC"
