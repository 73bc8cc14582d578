"""What an operator types or pastes to name a VOD or a video."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, parse_qs, urlsplit

from vodtender.errors import UsageError

WATCH_URL = "https://www.youtube.com/watch?v={}"

_VOD = re.compile(r"[vV]?([1-9][0-9]{0,18})")
_VOD_PATH = re.compile(r"/(?:videos|[^/]+/v(?:ideo)?)/v?([1-9][0-9]{0,18})/?")
_TWITCH = frozenset({"twitch.tv", "www.twitch.tv", "m.twitch.tv", "go.twitch.tv"})
_CLIP_HOSTS = frozenset({"clips.twitch.tv", "m.clips.twitch.tv"})

_VIDEO = re.compile(r"[A-Za-z0-9_-]{11}")
_VIDEO_PATH = re.compile(r"/(?:live|shorts|embed|v)/([^/]+)/?")
_YOUTUBE = frozenset({"youtube.com", "www.youtube.com", "m.youtube.com", "music.youtube.com"})
_STUDIO_PATH = re.compile(r"/video/([^/]+)(?:/.*)?")


def parse_vod_reference(text: str) -> str:
    """The bare VOD id in what somebody typed or pasted: an id, or the address of a VOD.

    Raises:
        UsageError: it names no VOD.
    """
    text = text.strip()
    bare = _VOD.fullmatch(text)
    found = bare[1] if bare else _vod_in_address(text)
    if found is None:
        clip = "; it is a clip, and only whole VODs are carried" if _is_clip(text) else ""
        raise UsageError(
            f"{text[:80]!a} names no Twitch VOD{clip}",
            hint="give its number or its address: https://www.twitch.tv/videos/NUMBER",
            code="vod_reference",
        )
    return found


def parse_video_reference(text: str) -> str:
    """The id of a YouTube video in what somebody typed or pasted: an id, or an address.

    Raises:
        UsageError: it names no video.
    """
    text = text.strip()
    found = text if _VIDEO.fullmatch(text) else _video_in_address(text)
    if found is None or not _VIDEO.fullmatch(found):
        raise UsageError(
            f"{text[:80]!a} names no YouTube video",
            hint="give its id (11 characters) or its address: https://www.youtube.com/watch?v=ID",
            code="video_reference",
        )
    return found


def _vod_in_address(text: str) -> str | None:
    address = _split(text)
    if address is None:
        return None
    host = address.hostname or ""
    if host == "player.twitch.tv":
        return _vod_in_query(address, "video")
    if host not in _TWITCH:
        # `alice/v/123` and `videos/123`, as copied from the middle of an address.
        path = _VOD_PATH.fullmatch(f"/{text}") if "://" not in text and "." not in host else None
        return path[1] if path else None
    found = _VOD_PATH.fullmatch(address.path)
    if found:
        return found[1]
    return _vod_in_query(address, "vodID") if address.path.endswith("/schedule") else None


def _vod_in_query(address: SplitResult, name: str) -> str | None:
    found = _VOD.fullmatch(parse_qs(address.query).get(name, [""])[0])
    return found[1] if found else None


def _is_clip(text: str) -> bool:
    address = _split(text)
    if address is None:
        return False
    host = address.hostname or ""
    return host in _CLIP_HOSTS or (host in _TWITCH and "/clip/" in address.path)


def _video_in_address(text: str) -> str | None:
    address = _split(text)
    if address is None:
        return None
    host = address.hostname or ""
    if host == "youtu.be":
        return address.path.strip("/")
    if host == "studio.youtube.com":
        found = _STUDIO_PATH.fullmatch(address.path)
        return found[1] if found else None
    if host not in _YOUTUBE:
        return None
    if address.path.rstrip("/") == "/watch":
        return parse_qs(address.query).get("v", [None])[0]
    found = _VIDEO_PATH.fullmatch(address.path)
    return found[1] if found else None


def _split(text: str) -> SplitResult | None:
    """The text as an http address, with or without the scheme; None if it is none."""
    try:
        address = urlsplit(text if "://" in text else f"https://{text}")
        _ = address.hostname
    except ValueError:
        return None
    return address if address.scheme in ("http", "https") else None
