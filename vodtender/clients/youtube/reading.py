"""Reading YouTube's answers, which may hold anything, into our own values."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from vodtender.errors import AuthExpired
from vodtender.model.youtube_answers import Channel, VideoStatus

VIDEO_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def channel_of(answer: dict[str, Any], login: str) -> Channel:
    for item in items_of(answer):
        related = as_object(as_object(item.get("contentDetails")).get("relatedPlaylists"))
        channel_id = text_of(item, "id")
        if channel_id:
            title = text_of(as_object(item.get("snippet")), "title") or ""
            # The playlist of a channel's uploads has the channel's id with UU in the place of UC.
            uploads = text_of(related, "uploads") or f"UU{channel_id.removeprefix('UC')}"
            return Channel(channel_id, title, uploads)
    raise AuthExpired(
        "the Google account has no YouTube channel",
        hint=f"create the channel on youtube.com, or log in with another account: {login}",
        code="no_channel",
    )


def status_of(video_id: str, item: dict[str, Any]) -> VideoStatus:
    status = as_object(item.get("status"))
    return VideoStatus(
        video_id=video_id,
        upload_status=text_of(status, "uploadStatus"),
        failure_reason=text_of(status, "failureReason"),
        rejection_reason=text_of(status, "rejectionReason"),
        privacy=text_of(status, "privacyStatus"),
        duration_seconds=duration_of(text_of(as_object(item.get("contentDetails")), "duration")),
    )


def video_of(item: dict[str, Any]) -> str | None:
    """The id of the video that an item of a playlist stands for."""
    resource = as_object(item.get("snippet")).get("resourceId")
    found = text_of(resource, "videoId") or text_of(item.get("contentDetails"), "videoId")
    return found if found and VIDEO_ID.fullmatch(found) else None


def items_of(answer: dict[str, Any]) -> list[dict[str, Any]]:
    items = answer.get("items")
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def as_object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def text_of(value: object, key: str) -> str | None:
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, str) else None


_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?", re.ASCII)


def duration_of(text: str | None) -> float | None:
    """ISO 8601, as far as YouTube uses it; `P0D` stands for "not known yet"."""
    match = _DURATION.fullmatch(text or "")
    if match is None:
        return None
    days, hours, minutes, seconds = (int(group or 0) for group in match.groups())
    total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    return float(total) if total else None


def moment_of(text: str | None) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
