"""Twitch's public API (Helix) and its OAuth server.

Source: https://dev.twitch.tv/docs/api/reference and …/docs/authentication
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from tests.sandbox.twitch import cursor_of
from tests.sandbox.vods import Catalog, Channel, Vod
from tests.sandbox.wire import Host, Request, Response

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"


@dataclass(frozen=True, slots=True)
class HelixToken:
    """`user` None: an app access token."""

    value: str
    client_id: str
    user: Channel | None = None
    scopes: tuple[str, ...] = ()


@dataclass(eq=False)
class _DeviceLogin:
    scopes: tuple[str, ...]
    user_code: str
    user: Channel | None = None


@dataclass(eq=False)
class Helix:
    """api.twitch.tv and id.twitch.tv."""

    catalog: Catalog
    client_id: str = "sandboxtwitchclientid000000000"
    client_secret: str = "sandboxtwitchclientsecret00000"
    token_seconds: int = 5_184_000
    rotate_refresh_tokens: bool = True
    limit: int = 800
    remaining: int | None = None
    """Points left in the bucket; None: it never empties."""
    reset_seconds: float = 60.0
    tokens: dict[str, HelixToken] = field(default_factory=dict)
    refresh_tokens: dict[str, HelixToken] = field(default_factory=dict)
    person: Channel | None = None
    """Who sits at the browser; None: the first channel."""
    missing: set[str] = field(default_factory=set)
    """VOD ids that Helix does not know, whatever GQL says."""
    _codes: dict[str, tuple[str, HelixToken]] = field(default_factory=dict, repr=False)
    _devices: dict[str, _DeviceLogin] = field(default_factory=dict, repr=False)
    _count: int = 0
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    def hosts(self) -> dict[str, Host]:
        return {"api.twitch.tv": self.api, "id.twitch.tv": self.oauth}

    # --- for tests ------------------------------------------------------------------

    def issue(self, user: Channel | None = None, scopes: tuple[str, ...] = ()) -> str:
        """A new access token: of a user, or of the app."""
        with self._lock:
            value = f"sandboxtwitchtoken{self._next():012d}"
            self.tokens[value] = HelixToken(value, self.client_id, user, scopes)
            return value

    def issue_refresh_token(self, user: Channel, scopes: tuple[str, ...] = ()) -> str:
        with self._lock:
            value = f"sandboxtwitchrefresh{self._next():012d}"
            self.refresh_tokens[value] = HelixToken(value, self.client_id, user, scopes)
            return value

    def expire_tokens(self) -> None:
        with self._lock:
            self.tokens.clear()

    def revoke_all(self) -> None:
        """Access and refresh tokens are dead."""
        with self._lock:
            self.tokens.clear()
            self.refresh_tokens.clear()

    def approve_device(self, user_code: str | None = None) -> None:
        with self._lock:
            logins = list(self._devices.values())
            found = [d for d in logins if user_code in (None, d.user_code)]
            found[-1].user = self._person()

    # --- api.twitch.tv --------------------------------------------------------------

    def api(self, request: Request) -> Response:
        with self._lock:
            token = self.tokens.get(request.bearer or "")
        if token is None:
            return _error(401, "Invalid OAuth token")
        if request.headers.get("client-id") != token.client_id:
            return _error(401, "Client ID and OAuth token do not match")
        headers = self._rate_headers()
        if headers["Ratelimit-Remaining"] == "-1":
            headers["Ratelimit-Remaining"] = "0"
            refused = _error(429, "Rate limit exceeded")
            refused.headers = {**refused.headers, **headers}
            return refused
        routes: dict[str, Callable[[Request, HelixToken], Response]] = {
            "/helix/videos": self._videos,
            "/helix/users": self._users,
            "/helix/streams": self._streams,
        }
        route = routes.get(request.path)
        response = route(request, token) if route else _error(404, "")
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
            return _error(400, "Must provide one of the following: user_id, game_id, id")
        if ids:
            known = [self.catalog.vods.get(vod_id) for vod_id in ids]
            found = [v for v in known if v and not v.deleted and v.id not in self.missing]
            if not found:
                return _error(404, "The ID in the id query parameter was not found.")
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
                return _error(400, "The id or login query parameter is required")
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

    # --- id.twitch.tv ---------------------------------------------------------------

    def oauth(self, request: Request) -> Response:
        routes: dict[str, Callable[[Request], Response]] = {
            "/oauth2/token": self._token,
            "/oauth2/validate": self._validate,
            "/oauth2/revoke": self._revoke,
            "/oauth2/device": self._device,
            "/oauth2/authorize": self._authorize,
        }
        route = routes.get(request.path)
        return route(request) if route else _oauth_error(404, "not found")

    def _token(self, request: Request) -> Response:
        form = request.form
        if form.get("client_id") != self.client_id:
            return _oauth_error(400, "invalid client")
        grants: dict[str, Callable[[dict[str, str]], Response]] = {
            "client_credentials": self._by_secret,
            "authorization_code": self._by_code,
            "refresh_token": self._by_refresh_token,
            DEVICE_GRANT: self._by_device,
        }
        grant = form.get("grant_type", "")
        needs_secret = grant in {"client_credentials", "authorization_code"}
        if (needs_secret or "client_secret" in form) and (
            form.get("client_secret") != self.client_secret
        ):
            return _oauth_error(403, "invalid client secret")
        if grant not in grants:
            return _oauth_error(400, "invalid grant type")
        with self._lock:
            return grants[grant](form)

    def _by_secret(self, _form: dict[str, str]) -> Response:
        body = {"access_token": self.issue(), "expires_in": self.token_seconds}
        return Response.of_json({**body, "token_type": "bearer"})

    def _by_code(self, form: dict[str, str]) -> Response:
        redirect_uri, held = self._codes.pop(form.get("code", ""), ("", None))
        if held is None or held.user is None:
            return _oauth_error(400, "Invalid authorization code")
        if redirect_uri != form.get("redirect_uri"):
            return _oauth_error(400, "Parameter redirect_uri does not match registered URI")
        return self._granted(held.user, held.scopes)

    def _by_refresh_token(self, form: dict[str, str]) -> Response:
        given = form.get("refresh_token", "")
        held = self.refresh_tokens.get(given)
        if held is None or held.user is None:
            return _error(400, "Invalid refresh token")
        if self.rotate_refresh_tokens:
            del self.refresh_tokens[given]
            return self._granted(held.user, held.scopes)
        return self._granted(held.user, held.scopes, given)

    def _by_device(self, form: dict[str, str]) -> Response:
        login = self._devices.get(form.get("device_code", ""))
        if login is None:
            return _oauth_error(400, "invalid device code")
        if login.user is None:
            return _oauth_error(400, "authorization_pending")
        del self._devices[form["device_code"]]
        return self._granted(login.user, login.scopes)

    def _granted(
        self, user: Channel, scopes: tuple[str, ...], refresh_token: str | None = None
    ) -> Response:
        body = {
            "access_token": self.issue(user, scopes),
            "refresh_token": refresh_token or self.issue_refresh_token(user, scopes),
            "expires_in": self.token_seconds,
            "scope": list(scopes),
            "token_type": "bearer",
        }
        return Response.of_json(body)

    def _validate(self, request: Request) -> Response:
        with self._lock:
            held = self.tokens.get(request.bearer or "")
        if held is None:
            return _oauth_error(401, "invalid access token")
        body: dict[str, Any] = {
            "client_id": held.client_id,
            "scopes": list(held.scopes),
            "expires_in": self.token_seconds,
        }
        if held.user is not None:
            body |= {"login": held.user.login, "user_id": held.user.id}
        return Response.of_json(body)

    def _revoke(self, request: Request) -> Response:
        with self._lock:
            if self.tokens.pop(request.form.get("token", ""), None) is None:
                return _oauth_error(400, "Invalid token")
        return Response(200)

    def _device(self, request: Request) -> Response:
        if request.form.get("client_id") != self.client_id:
            return _oauth_error(400, "invalid client")
        with self._lock:
            number = self._next()
            code = f"sandboxdevice{number}"
            form = request.form
            scopes = tuple(form.get("scopes", form.get("scope", "")).split())
            self._devices[code] = _DeviceLogin(scopes, f"TWCH{number:04d}")
            user_code = self._devices[code].user_code
        body = {
            "device_code": code,
            "expires_in": 1800,
            "interval": 1,
            "user_code": user_code,
            "verification_uri": f"https://www.twitch.tv/activate?device-code={user_code}",
        }
        return Response.of_json(body)

    def _authorize(self, request: Request) -> Response:
        """The consent page: the person agrees at once."""
        redirect_uri = request.argument("redirect_uri")
        if request.argument("client_id") != self.client_id:
            return _oauth_error(400, "invalid client")
        with self._lock:
            code = f"sandboxcode{self._next():019d}"
            scopes = tuple(request.argument("scope").split())
            held = HelixToken(code, self.client_id, self._person(), scopes)
            self._codes[code] = (redirect_uri, held)
        answer = {"code": code, "scope": " ".join(scopes), "state": request.argument("state")}
        return Response.redirect(f"{redirect_uri}?{urlencode(answer)}")

    # --- inside ---------------------------------------------------------------------

    def _next(self) -> int:
        self._count += 1
        return self._count

    def _person(self) -> Channel:
        return self.person or next(iter(self.catalog.channels.values()))


def _page(request: Request, vods: list[Vod]) -> Response:
    size = max(1, min(100, int(request.argument("first", "20"))))
    after = request.argument("after")
    start = next((n + 1 for n, v in enumerate(vods) if cursor_of(v) == after), 0)
    if after and not start:
        return _error(400, "The pagination cursor is not valid")
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


def _error(status: int, message: str) -> Response:
    names = {400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 429: "Too Many Requests"}
    body = {"error": names[status], "status": status, "message": message}
    return Response.of_json(body, status)


def _oauth_error(status: int, message: str) -> Response:
    return Response.of_json({"status": status, "message": message}, status)
