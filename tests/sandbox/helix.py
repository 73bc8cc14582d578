"""Twitch's public API (Helix).

Source: https://dev.twitch.tv/docs/api/reference
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.sandbox.twitch import cursor_of
from tests.sandbox.twitch_oauth import HelixToken, TwitchOAuth, helix_error
from tests.sandbox.vods import Channel, Vod
from tests.sandbox.wire import Host, Request, Response


@dataclass(eq=False)
class Helix(TwitchOAuth):
    """api.twitch.tv, and the tokens it accepts."""

    limit: int = 800
    remaining: int | None = None
    """Points left in the bucket; None: it never empties."""
    reset_seconds: float = 60.0
    missing: set[str] = field(default_factory=set)
    """VOD ids that Helix does not know, whatever GQL says."""

    def hosts(self) -> dict[str, Host]:
        return {"api.twitch.tv": self.api, **super().hosts()}

    def api(self, request: Request) -> Response:
        with self._lock:
            token = self.tokens.get(request.bearer or "")
        if token is None:
            return helix_error(401, "Invalid OAuth token")
        if request.headers.get("client-id") != token.client_id:
            return helix_error(401, "Client ID and OAuth token do not match")
        headers = self._rate_headers()
        if headers["Ratelimit-Remaining"] == "-1":
            headers["Ratelimit-Remaining"] = "0"
            refused = helix_error(429, "Rate limit exceeded")
            refused.headers = {**refused.headers, **headers}
            return refused
        routes: dict[str, Callable[[Request, HelixToken], Response]] = {
            "/helix/videos": self._videos,
            "/helix/users": self._users,
            "/helix/streams": self._streams,
        }
        route = routes.get(request.path)
        response = route(request, token) if route else helix_error(404, "")
        response.headers = {**response.headers, **headers}
        return response

    def _rate_headers(self) -> dict[str, str]:
        with self._lock:
            left = self.limit - 1
            if self.remaining is not None:
                self.remaining = left = max(-1, self.remaining - 1)
        return {
            "Ratelimit-Limit": str(self.limit),
            "Ratelimit-Remaining": str(left),
            "Ratelimit-Reset": str(int(time.time() + self.reset_seconds)),
        }

    def refill(self, points: int | None = None) -> None:
        """The bucket is full again (None: and never empties)."""
        with self._lock:
            self.remaining = points

    def _videos(self, request: Request, _token: HelixToken) -> Response:
        ids, users = request.query.get("id", []), request.query.get("user_id", [])
        if bool(ids) == bool(users):
            return helix_error(400, "Must provide one of the following: user_id, game_id, id")
        if ids:
            known = [self.catalog.vods.get(vod_id) for vod_id in ids]
            found = [v for v in known if v and not v.deleted and v.id not in self.missing]
            if not found:
                return helix_error(404, "The ID in the id query parameter was not found.")
            return Response.of_json({"data": [_video(v) for v in found], "pagination": {}})
        channel = next((c for c in self.catalog.channels.values() if c.id == users[0]), None)
        if channel is None or not channel.exists:
            return Response.of_json({"data": [], "pagination": {}})
        vods = [
            v
            for v in self.catalog.of_channel(channel, request.argument("type", "all"))
            if v.id not in self.missing
        ]
        return _page(request, vods)

    def _users(self, request: Request, token: HelixToken) -> Response:
        logins, ids = request.query.get("login", []), request.query.get("id", [])
        if not logins and not ids:
            if token.user is None:
                return helix_error(400, "The id or login query parameter is required")
            ids = [token.user.id]
        wanted = {login.lower() for login in logins}
        found = [
            c
            for c in list(self.catalog.channels.values())
            if c.exists and (c.login in wanted or c.id in ids)
        ]
        return Response.of_json({"data": [_user(c) for c in found]})

    def _streams(self, request: Request, _token: HelixToken) -> Response:
        logins = {login.lower() for login in request.query.get("user_login", [])}
        ids = request.query.get("user_id", [])
        found = [
            c
            for c in list(self.catalog.channels.values())
            if c.live and (c.login in logins or c.id in ids)
        ]
        body = {"data": [self._stream(c) for c in found], "pagination": {}}
        return Response.of_json(body)

    def _stream(self, channel: Channel) -> dict[str, Any]:
        since = channel.live_since or self.catalog.now
        return {
            "id": channel.stream_id or "1",
            "user_id": channel.id,
            "user_login": channel.login,
            "user_name": channel.display_name,
            "game_id": "509658",
            "game_name": "Just Chatting",
            "type": "live",
            "title": "Live",
            "viewer_count": 5,
            "started_at": _time(since.timestamp()),
            "language": "en",
            "is_mature": False,
        }


def _page(request: Request, vods: list[Vod]) -> Response:
    size = max(1, min(100, int(request.argument("first", "20"))))
    after = request.argument("after")
    start = next((n + 1 for n, v in enumerate(vods) if cursor_of(v) == after), 0)
    if after and not start:
        return helix_error(400, "The pagination cursor is not valid")
    page = vods[start : start + size]
    pagination = {"cursor": cursor_of(page[-1])} if start + size < len(vods) else {}
    return Response.of_json({"data": [_video(v) for v in page], "pagination": pagination})


def _video(vod: Vod) -> dict[str, Any]:
    return {
        "id": vod.id,
        "stream_id": vod.stream_id,
        "user_id": vod.channel.id,
        "user_login": vod.channel.login,
        "user_name": vod.channel.display_name,
        "title": vod.title,
        "description": vod.description or "",
        "created_at": _time(vod.published_at.timestamp()),
        "published_at": _time(vod.published_at.timestamp()),
        "url": vod.url,
        "thumbnail_url": vod.thumbnail_url,
        "viewable": "public",
        "view_count": vod.view_count,
        "language": "en",
        "type": vod.broadcast_type,
        "duration": duration_text(vod.length_seconds),
        "muted_segments": _muted_segments(vod),
    }


def _muted_segments(vod: Vod) -> list[dict[str, int]] | None:
    stretches: list[dict[str, int]] = []
    at = 0.0
    for segment in vod.segments if vod.muted_notice else []:
        if segment.muted:
            stretches.append({"duration": round(segment.form.seconds), "offset": round(at)})
        at += segment.form.seconds
    return stretches or None


def duration_text(seconds: int) -> str:
    """Helix's form: `3h8m33s`, without the leading parts that are zero."""
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{seconds}s"
    return f"{minutes}m{seconds}s" if minutes else f"{seconds}s"


def _user(channel: Channel) -> dict[str, Any]:
    return {
        "id": channel.id,
        "login": channel.login,
        "display_name": channel.display_name,
        "type": "",
        "broadcaster_type": "affiliate",
        "description": "",
        "created_at": "2016-12-14T20:32:28Z",
    }


def _time(epoch_seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch_seconds))
