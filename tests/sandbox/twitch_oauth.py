"""Twitch's OAuth server.

Source: https://dev.twitch.tv/docs/authentication
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from tests.sandbox.vods import Catalog, Channel
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
class TwitchOAuth:
    """id.twitch.tv."""

    catalog: Catalog
    client_id: str = "sandboxtwitchclientid000000000"
    client_secret: str = "sandboxtwitchclientsecret00000"
    token_seconds: int = 5_184_000
    rotate_refresh_tokens: bool = True
    tokens: dict[str, HelixToken] = field(default_factory=dict)
    refresh_tokens: dict[str, HelixToken] = field(default_factory=dict)
    person: Channel | None = None
    """Who sits at the browser; None: the first channel."""
    _codes: dict[str, tuple[str, HelixToken]] = field(default_factory=dict, repr=False)
    _devices: dict[str, _DeviceLogin] = field(default_factory=dict, repr=False)
    _count: int = 0
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    def hosts(self) -> dict[str, Host]:
        return {"id.twitch.tv": self.oauth}

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
            return helix_error(400, "Invalid refresh token")
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


def helix_error(status: int, message: str) -> Response:
    names = {400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 429: "Too Many Requests"}
    body = {"error": names[status], "status": status, "message": message}
    return Response.of_json(body, status)


def _oauth_error(status: int, message: str) -> Response:
    return Response.of_json({"status": status, "message": message}, status)
