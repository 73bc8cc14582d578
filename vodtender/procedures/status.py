"""What is going on: one document, for the screen, for programs and for `/status`.

Reading it costs the same however large the archive is.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from vodtender import __version__
from vodtender.config.redaction import redact
from vodtender.config.settings import Settings
from vodtender.errors import DatabaseUnavailable
from vodtender.model.breaker import STATES, Breaker
from vodtender.model.disk import reserve_bytes
from vodtender.model.quota import next_reset, pacific_day, project_of
from vodtender.model.vod import TO_DOWNLOAD, TO_UPLOAD
from vodtender.pipeline.oauth_services import YOUTUBE, absent_accounts, uploads_wanted
from vodtender.procedures import backup_standing, chat
from vodtender.procedures.advice import what_next
from vodtender.store import (
    backups,
    breaker,
    catalog,
    claims,
    overview,
    pause,
    tokens,
    uploads,
    workers,
)
from vodtender.store.database import Connection, Database
from vodtender.store.overview import ErrorLine, Transfer
from vodtender.store.pause import Pause
from vodtender.store.tokens import StoredTokens
from vodtender.store.uploads import Hold
from vodtender.store.workers import Worker

_ERRORS = 10
_VANISHING = 10
_SOON_SECONDS = 86400
_REMEMBERED_SECONDS = 86400.0
"""So long a worker that was not heard of is still shown."""


def document(
    database: Database, settings: Settings, *, timeout_seconds: float = 10
) -> dict[str, Any]:
    """The whole status, as JSON has it. Raises DatabaseUnavailable."""
    with database.transaction(timeout_seconds=timeout_seconds) as connection:
        now = claims.clock(connection)
        counts = overview.counts(connection)
        breakers = breaker.all_breakers(connection)
        moving = overview.transfers(connection)
        known = workers.find(connection, heard_within_seconds=_REMEMBERED_SECONDS)
        stored = tokens.find(connection)
        found = {
            "at": _moment(now),
            "version": __version__,
            **_queue(_summed(counts)),
            **_pause(pause.get(connection)),
            **_worst(breakers.values()),
            "channels": _channels(settings, catalog.channels(connection), breakers, counts),
            "downloads": [_transfer(one) for one in moving if one.direction == "download"],
            "uploads": [_transfer(one) for one in moving if one.direction == "upload"],
            "uploads_enabled": uploads_wanted(settings, stored),
            "errors": [_error(one) for one in overview.errors(connection, _ERRORS)],
            "vanishing": _vanishing(connection),
            "quota": _quota(connection, settings, stored, now),
            "accounts": _accounts(settings, stored, uploads.holds(connection)),
            "workers": [_worker(one, settings.lease_seconds) for one in known],
            "disk": _disk(settings, known),
            "database": _database(settings, connection.info.server_version),
            "chat": _chat(chat.status_in(connection, settings)),
            "backup": backup_standing.document(backups.standing(connection), settings, now),
        }
    return {**found, "next": what_next(found)}


def unavailable(error: DatabaseUnavailable, settings: Settings) -> dict[str, Any]:
    """The same keys while the database is away. What is not known is 0, null or empty."""
    nothing = {
        "at": _moment(datetime.now(UTC)),
        "version": __version__,
        **_queue({}),
        **_pause(None),
        **_worst([]),
        **{name: [] for name in ("channels", "downloads", "uploads", "errors", "accounts")},
        "uploads_enabled": settings.uploads_enabled,
        "vanishing": {"within_seconds": _SOON_SECONDS, "count": 0, "vods": []},
        "quota": _fullest([], settings, datetime.now(UTC)),
        "workers": [],
        "disk": _disk(settings, []),
        "database": {**_database(settings, None), "ok": False, "error": error.message},
        "chat": {
            "enabled": chat.mode_of(settings) != "off",
            "mode": chat.mode_of(settings),
            "recording": [],
            "waiting_for_vod": 0,
        },
        "backup": backup_standing.document(None, settings, datetime.now(UTC)),
    }
    return {**nothing, "next": [{"why": error.message, "command": error.hint}]}


# --- the queue --------------------------------------------------------------------------


def _summed(counts: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for states in counts.values():
        for state, number in states.items():
            total[state] = total.get(state, 0) + number
    return total


def _queue(states: Mapping[str, int]) -> dict[str, Any]:
    return {
        "queue_depth": sum(states.get(state, 0) for state in TO_DOWNLOAD),
        "upload_queue_depth": sum(states.get(state, 0) for state in TO_UPLOAD),
        "states": dict(states),
    }


def _pause(found: Pause | None) -> dict[str, Any]:
    return {
        "paused": found is not None,
        "pause_reason": None if found is None else redact(found.reason),
        "paused_since": None if found is None else _moment(found.since),
    }


def _worst(breakers: Iterable[Breaker]) -> dict[str, Any]:
    worst = max(
        breakers, key=lambda one: (STATES.index(one.state), one.failures), default=Breaker("")
    )
    return {"circuit_state": worst.state, "circuit_breaker": _breaker(worst)}


def _breaker(one: Breaker) -> dict[str, Any]:
    return {
        "state": one.state,
        "failures": one.failures,
        "open_until": None if one.open_until is None else _moment(one.open_until),
    }


def _channels(
    settings: Settings,
    known: Sequence[catalog.Channel],
    breakers: Mapping[str, Breaker],
    counts: Mapping[str, Mapping[str, int]],
) -> list[dict[str, Any]]:
    by_name = {channel.channel: channel for channel in known}
    names = dict.fromkeys([*settings.channels, *by_name, *breakers])
    return [
        {
            "channel": name,
            "watched": name in settings.channels,
            "circuit_breaker": _breaker(breakers.get(name) or Breaker(name)),
            "listed_at": _moment(by_name[name].listed_at) if name in by_name else None,
            "problem": _redacted(by_name[name].problem) if name in by_name else None,
            "states": dict(counts.get(name, {})),
        }
        for name in names
    ]


# --- VODs -------------------------------------------------------------------------------


def _transfer(one: Transfer) -> dict[str, Any]:
    return {
        "vod_id": one.vod_id,
        "channel": one.channel,
        "title": one.title,
        "phase": one.phase,
        "done_bytes": one.bytes_done,
        "total_bytes": one.bytes_total,
        "bytes_per_second": one.bytes_per_second,
        "left_seconds": one.seconds_left,
        "started_at": _moment(one.started_at),
        "updated_at": _moment(one.updated_at),
        "worker_id": one.worker_id,
    }


def _error(one: ErrorLine) -> dict[str, Any]:
    return {
        "vod_id": one.vod_id,
        "channel": one.channel,
        "title": one.title,
        "state": one.state,
        "error": redact(one.error),
        "code": one.code,
        "updated_at": _moment(one.updated_at),
        "next_try_at": _moment(one.next_try_at),
    }


def _vanishing(connection: Connection) -> dict[str, Any]:
    soonest, count = overview.vanishing(connection, _SOON_SECONDS, _VANISHING)
    return {
        "within_seconds": _SOON_SECONDS,
        "count": count,
        "vods": [
            {
                "vod_id": one.vod_id,
                "channel": one.channel,
                "title": one.title,
                "state": one.state,
                "vanishes_at": _moment(one.vanishes_at),
            }
            for one in soonest
        ],
    }


# --- YouTube ----------------------------------------------------------------------------


def _quota(
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
    return _fullest(listed, settings, now)


def _limited(used: Mapping[str, int], settings: Settings, now: datetime) -> dict[str, Any]:
    """Units of the API's quota, and uploads begun, of this Pacific day."""
    return {
        "used": used.get("used", 0),
        "limit": settings.yt_quota_units_per_day,
        "uploads": used.get("uploads", 0),
        "uploads_limit": settings.upload_daily_limit,
        "backfill_uploads": used.get("backfill_uploads", 0),
        "backfill_uploads_limit": settings.backfill_upload_daily_limit,
        "resets_at": _moment(next_reset(now)),
    }


def _fullest(projects: list[dict[str, Any]], settings: Settings, now: datetime) -> dict[str, Any]:
    """All projects, and before them the figures of the one that has the least left."""
    fullest = max(projects, key=lambda one: (one["used"], one["uploads"]), default={})
    return {**_limited(fullest, settings, now), "projects": projects}


def _accounts(
    settings: Settings, stored: Sequence[StoredTokens], holds: Sequence[Hold]
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
    provider: str, account: str, owner: str | None, problem: str | None, hold: Hold | None
) -> dict[str, Any]:
    return {
        "provider": provider,
        "account": account,
        "owner": owner,
        "problem": _redacted(problem),
        "held_until": None if hold is None else _moment(hold.held_until),
        "hold_reason": None if hold is None else redact(hold.reason),
    }


# --- machines ---------------------------------------------------------------------------


def _worker(one: Worker, lease_seconds: float) -> dict[str, Any]:
    return {
        "worker_id": one.worker_id,
        "host": one.host,
        "pid": one.pid,
        "version": one.version,
        "directory": one.directory,
        "started_at": _moment(one.started_at),
        "heartbeat_at": _moment(one.heartbeat_at),
        "alive": one.seconds_since_heartbeat < lease_seconds,
        "draining": one.draining,
        "downloads_paused": one.downloads_paused,
        "disk_free_bytes": one.disk_free_bytes,
        "disk_total_bytes": one.disk_total_bytes,
    }


def _disk(settings: Settings, known: Sequence[Worker]) -> dict[str, Any]:
    """Of DATA_DIR on this machine; where there is none, as the last worker has reported it."""
    found: dict[str, Any] = {"path": str(settings.data_dir.absolute())}
    try:
        usage = shutil.disk_usage(settings.data_dir)
        found |= {"free_bytes": usage.free, "total_bytes": usage.total}
    except OSError:
        found |= {"free_bytes": None, "total_bytes": None}
        for one in known[:1]:
            found["path"] = one.directory
            found |= {"free_bytes": one.disk_free_bytes, "total_bytes": one.disk_total_bytes}
    total = found["total_bytes"]
    reserve = None if total is None else reserve_bytes(settings.disk_reserve, int(total))
    return {**found, "reserve_bytes": reserve}


def _database(settings: Settings, server_version: int | None) -> dict[str, Any]:
    version = None
    if server_version is not None:
        version = f"{server_version // 10000}.{server_version % 10000}"
    return {
        "ok": True,
        "error": None,
        "embedded": settings.dsn is None,
        "server_version": version,
    }


def _chat(found: chat.ChatStatus) -> dict[str, Any]:
    """Streams whose chat is being recorded, or should be, and how many wait for their VOD."""
    return {
        "enabled": found.mode != "off",
        "mode": found.mode,
        "recording": [
            {
                "channel": one.channel,
                "state": one.state,
                "vod_id": one.vod_id,
                "connected_since": _moment(one.connected_since),
                "messages": one.messages,
                "messages_per_minute": one.messages_per_minute,
                "last_message_at": _moment(one.last_message_at),
                "lag_seconds": one.lag_seconds,
                "gaps": one.gaps,
                "gap_seconds": one.gap_seconds,
                "problem": _redacted(one.problem),
            }
            for one in found.channels
            if one.state != "waiting"
        ],
        "waiting_for_vod": len(found.waiting_for_vod),
    }


def _redacted(text: str | None) -> str | None:
    return None if text is None else redact(text)


def _moment(at: datetime | None) -> str | None:
    """RFC 3339 with Z."""
    return None if at is None else f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
