"""What is going on: one document, for the screen, for programs and for `/status`.

Reading it costs the same however large the archive is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from vodtender import __version__
from vodtender.config.redaction import redact
from vodtender.config.settings import Settings
from vodtender.errors import DatabaseUnavailable
from vodtender.model.breaker import STATES, Breaker
from vodtender.model.timestamp import rfc3339
from vodtender.model.vod import TO_DOWNLOAD, TO_UPLOAD
from vodtender.pipeline.oauth_services import uploads_wanted
from vodtender.procedures import (
    archive_standing,
    backup_standing,
    chat,
    machine_standing,
    wal_standing,
    youtube_standing,
)
from vodtender.procedures.advice import what_next
from vodtender.store import (
    archive,
    backups,
    breaker,
    overview,
    pause,
    tokens,
    uploads,
    wal,
    workers,
)
from vodtender.store.channels import Channel, all_channels
from vodtender.store.database import Connection, Database, clock
from vodtender.store.overview import ErrorLine
from vodtender.store.pause import Pause

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
        now = clock(connection)
        counts = overview.counts(connection)
        breakers = breaker.all_breakers(connection)
        moving = overview.transfers(connection)
        known = workers.find(connection, heard_within_seconds=_REMEMBERED_SECONDS)
        daemons = [machine_standing.worker(one, settings.lease_seconds) for one in known]
        stored = tokens.find(connection)
        found = {
            "at": rfc3339(now),
            "version": __version__,
            **_queue(_summed(counts)),
            **_pause(pause.get(connection)),
            **_worst(breakers.values()),
            "channels": _channels(
                _watched(settings, daemons), all_channels(connection), breakers, counts
            ),
            "downloads": archive_standing.transfers(moving, "download"),
            "uploads": archive_standing.transfers(moving, "upload"),
            "uploads_enabled": uploads_wanted(settings, stored),
            "errors": [_error(one) for one in overview.errors(connection, _ERRORS)],
            "vanishing": _vanishing(connection),
            "quota": youtube_standing.quota(connection, settings, stored, now),
            "accounts": youtube_standing.accounts(settings, stored, uploads.holds(connection)),
            "workers": daemons,
            "disk": machine_standing.disk(settings, known),
            "database": machine_standing.database(settings, connection.info.server_version),
            "chat": _chat(chat.status_in(connection, settings)),
            "backup": {
                **backup_standing.document(backups.standing(connection), settings, now),
                "wal": wal_standing.document(settings, wal.standing(connection)),
            },
            "archive": archive_standing.document(archive.totals(connection), moving, settings),
        }
    return {**found, "next": what_next(found)}


def unavailable(error: DatabaseUnavailable, settings: Settings) -> dict[str, Any]:
    """The same keys while the database is away. What is not known is 0, null or empty."""
    nothing = {
        "at": rfc3339(datetime.now(UTC)),
        "version": __version__,
        **_queue({}),
        **_pause(None),
        **_worst([]),
        **{name: [] for name in ("channels", "downloads", "uploads", "errors", "accounts")},
        "uploads_enabled": settings.uploads_enabled,
        "vanishing": {"within_seconds": _SOON_SECONDS, "count": 0, "vods": []},
        "quota": youtube_standing.fullest([], settings, datetime.now(UTC)),
        "workers": [],
        "disk": machine_standing.disk(settings, []),
        "database": machine_standing.database(settings, None, error.message),
        "chat": {
            "enabled": chat.mode_of(settings) != "off",
            "mode": chat.mode_of(settings),
            "recording": [],
            "waiting_for_vod": 0,
        },
        "backup": {
            **backup_standing.document(None, settings, datetime.now(UTC)),
            "wal": wal_standing.document(settings, None),
        },
        "archive": archive_standing.document(None, [], settings),
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
        "paused_since": None if found is None else rfc3339(found.since),
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
        "open_until": None if one.open_until is None else rfc3339(one.open_until),
    }


def _watched(settings: Settings, daemons: Iterable[Mapping[str, Any]]) -> list[str]:
    """The channels that these settings name, and those that a living daemon looks at."""
    looked_at = [name for one in daemons if one["alive"] for name in one["channels"]]
    return list(dict.fromkeys([*settings.channels, *looked_at]))


def _channels(
    watched: Sequence[str],
    known: Sequence[Channel],
    breakers: Mapping[str, Breaker],
    counts: Mapping[str, Mapping[str, int]],
) -> list[dict[str, Any]]:
    by_name = {channel.channel: channel for channel in known}
    names = dict.fromkeys([*watched, *by_name, *breakers])
    return [
        {
            "channel": name,
            "watched": name in watched,
            "circuit_breaker": _breaker(breakers.get(name) or Breaker(name)),
            "listed_at": rfc3339(by_name[name].listed_at) if name in by_name else None,
            "problem": _redacted(by_name[name].problem) if name in by_name else None,
            "states": dict(counts.get(name, {})),
        }
        for name in names
    ]


# --- VODs -------------------------------------------------------------------------------


def _error(one: ErrorLine) -> dict[str, Any]:
    return {
        "vod_id": one.vod_id,
        "channel": one.channel,
        "title": one.title,
        "state": one.state,
        "error": redact(one.error),
        "code": one.code,
        "updated_at": rfc3339(one.updated_at),
        "next_try_at": rfc3339(one.next_try_at),
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
                "vanishes_at": rfc3339(one.vanishes_at),
            }
            for one in soonest
        ],
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
                "connected_since": rfc3339(one.connected_since),
                "messages": one.messages,
                "messages_per_minute": one.messages_per_minute,
                "last_message_at": rfc3339(one.last_message_at),
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
