"""Reading what Helix sends: nothing in it is relied upon but what is used.

Reference: https://dev.twitch.tv/docs/api/reference/#get-videos
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from vodtender.model.discovery import KINDS, Kind, ListedVod, LiveStream, live_by_thumbnail

_ID = re.compile(r"[1-9][0-9]{0,18}")
_DURATION = re.compile(r"(?:([0-9]{1,4})d)?(?:([0-9]{1,5})h)?(?:([0-9]{1,6})m)?(?:([0-9]{1,8})s)?")
_TWITCH_BEGAN = datetime(2005, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Page:
    """Some of a channel's VODs, newest first. `cursor` None: there are no more."""

    videos: tuple[ListedVod, ...]
    cursor: str | None
    unreadable: int = 0
    """Entries that were left out because they hold no VOD id."""


def as_object(content: bytes) -> dict[str, Any] | None:
    """The JSON object in a body; None if it holds anything else."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def entries(document: Mapping[str, Any]) -> list[Any] | None:
    """The `data` that every answer of Helix carries; None if it does not."""
    data = document.get("data")
    return data if isinstance(data, list) else None


def page(document: Mapping[str, Any], kind: Kind, channel: str, after: str | None) -> Page:
    """A page of a listing, of the asked kind only.

    A cursor that leads nowhere new is no cursor: Helix has sent some
    with the last page (twitchdev/issues 688) and some that begin again (93).
    """
    data = entries(document) or []
    readable = [v for v in (video(entry, kind, channel) for entry in data) if v]
    pagination = document.get("pagination")
    cursor = _text(pagination.get("cursor")) if isinstance(pagination, dict) else None
    if not data or cursor == after:
        cursor = None
    videos = tuple(v for v in readable if v.kind == kind)
    return Page(videos, cursor, len(data) - len(readable))


def video(entry: object, kind: Kind = "archive", channel: str = "") -> ListedVod | None:
    """One video; None without an id. `kind` and `channel` stand in for what is missing."""
    if not isinstance(entry, dict):
        return None
    vod_id = vod_id_of(entry)
    if vod_id is None:
        return None
    kind = next((known for known in KINDS if known == entry.get("type")), kind)
    return ListedVod(
        vod_id=vod_id,
        channel=(_text(entry.get("user_login")) or channel).lower(),
        kind=kind,
        title=_text(entry.get("title")) or "",
        url=f"https://www.twitch.tv/videos/{vod_id}",
        description=_text(entry.get("description")),
        started_at=moment(entry.get("created_at")) or moment(entry.get("published_at")),
        duration_seconds=duration_seconds(entry.get("duration")),
        stream_id=identifier(entry.get("stream_id")),
        live=live_by_thumbnail(kind, _text(entry.get("thumbnail_url"))),
    )


def vod_id_of(entry: Mapping[str, Any]) -> str | None:
    found = identifier(entry.get("id"))
    return found if found and _ID.fullmatch(found) else None


def stream(entry: Mapping[str, Any]) -> LiveStream:
    return LiveStream(identifier(entry.get("id")) or "", moment(entry.get("started_at")))


def duration_seconds(value: object) -> int | None:
    """Seconds of `3h8m33s`, or None for anything else."""
    found = _DURATION.fullmatch(value) if isinstance(value, str) and value else None
    if not found:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def moment(value: object) -> datetime | None:
    """RFC 3339, in UTC. Go's zero time (year 1) and the like are no moment."""
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value)
        found = found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
    return found if found > _TWITCH_BEGAN else None


def identifier(value: object) -> str | None:
    """An id as text; Helix sends texts, but a number would be one too."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if 0 < value < 10**19 else None
    return _text(value)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
