"""How it stands with YouTube's limits and the accounts, for the status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from vodtender.config.redaction import redact
from vodtender.config.settings import Settings
from vodtender.model.quota import next_reset, pacific_day, project_of
from vodtender.model.timestamp import rfc3339
from vodtender.pipeline.oauth_services import YOUTUBE, absent_accounts
from vodtender.store import uploads
from vodtender.store.database import Connection
from vodtender.store.tokens import StoredTokens
from vodtender.store.uploads import AccountHold


def quota(
    connection: Connection, settings: Settings, stored: Sequence[StoredTokens], now: datetime
) -> dict[str, Any]:
    projects: dict[str, list[str]] = {}
    for row in stored:
        if row.provider == YOUTUBE:
            project = project_of(row.client_id or settings.yt_client_id)
            projects.setdefault(project, []).append(row.account)
    day = pacific_day(now)
    listed = []
    for project, accounts in projects.items():
        spent = uploads.spent(connection, project, day)
        used = {"used": spent.units, "uploads": spent.uploads}
        used["backfill_uploads"] = spent.backfill_uploads
        listed.append({"project": project, "accounts": accounts, **_limited(used, settings, now)})
    return fullest(listed, settings, now)


def _limited(used: Mapping[str, int], settings: Settings, now: datetime) -> dict[str, Any]:
    """Units of the API's quota, and uploads begun, of this Pacific day."""
    return {
        "used": used.get("used", 0),
        "limit": settings.yt_quota_units_per_day,
        "uploads": used.get("uploads", 0),
        "uploads_limit": settings.upload_daily_limit,
        "backfill_uploads": used.get("backfill_uploads", 0),
        "backfill_uploads_limit": settings.backfill_upload_daily_limit,
        "resets_at": rfc3339(next_reset(now)),
    }


def fullest(projects: list[dict[str, Any]], settings: Settings, now: datetime) -> dict[str, Any]:
    """All projects, and before them the figures of the one that has the least left."""
    most = max(projects, key=lambda one: (one["used"], one["uploads"]), default={})
    return {**_limited(most, settings, now), "projects": projects}


def accounts(
    settings: Settings, stored: Sequence[StoredTokens], holds: Sequence[AccountHold]
) -> list[dict[str, Any]]:
    """Those that are logged in, and those that uploads want and that are not."""
    held = {hold.account: hold for hold in holds}
    listed = [
        _account(row.provider, row.account, row.owner_name, row.problem, held.get(row.account))
        if row.provider == YOUTUBE
        else _account(row.provider, row.account, row.owner_name, row.problem, None)
        for row in stored
    ]
    return listed + [
        _account(YOUTUBE, name, None, "nobody has logged in", held.get(name))
        for name in absent_accounts(settings, stored)
    ]


def _account(
    provider: str, account: str, owner: str | None, problem: str | None, hold: AccountHold | None
) -> dict[str, Any]:
    return {
        "provider": provider,
        "account": account,
        "owner": owner,
        "problem": None if problem is None else redact(problem),
        "held_until": None if hold is None else rfc3339(hold.held_until),
        "hold_reason": None if hold is None else redact(hold.reason),
        "hold_code": None if hold is None else hold.code,
    }
