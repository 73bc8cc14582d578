"""What the OAuth servers of Google and Twitch have in common (RFC 6749, 7636 and 8628)."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

import requests

from vodtender.clients import http
from vodtender.clients.retry_after import moment_to_return
from vodtender.errors import AuthExpired, RateLimited, Transient
from vodtender.model.tokens import ClientCredentials, Identity, Tokens, scopes_from

_LONGEST_LIFE_SECONDS = 10 * 366 * 24 * 3600
_WAIT_WHEN_TOO_FAST = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Challenge:
    """What ties a login together: `state` comes back with the redirect, and only who has the
    `verifier` can use the code (PKCE, RFC 7636)."""

    state: str = field(repr=False)
    verifier: str = field(repr=False)

    @classmethod
    def new(cls) -> Challenge:
        return cls(secrets.token_urlsafe(32), secrets.token_urlsafe(64))

    @property
    def s256(self) -> str:
        digest = hashlib.sha256(self.verifier.encode()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


@dataclass(frozen=True, slots=True)
class DeviceLogin:
    """A login under way on another device: the person types `user_code` at that address."""

    device_code: str = field(repr=False)
    user_code: str
    verification_url: str
    interval_seconds: float
    expires_at: datetime


class Grants(Protocol):
    """What the `oauth` module of each service offers. All raise answers."""

    def authorization_url(
        self, client_id: str, redirect_uri: str, scopes: Sequence[str], challenge: Challenge, /
    ) -> str:
        """The page on which the person gives permission."""

    def exchange_code(
        self,
        client: ClientCredentials,
        code: str,
        redirect_uri: str,
        challenge: Challenge,
        now: datetime,
        /,
    ) -> Tokens:
        """The tokens for the code that came with the redirect."""

    def begin_device_login(
        self, client: ClientCredentials, scopes: Sequence[str], now: datetime, /
    ) -> DeviceLogin:
        """Starts a login by code. Raises AuthExpired also with the codes `client_refused`
        and `scope_refused`."""

    def poll_device_login(
        self,
        client: ClientCredentials,
        login: DeviceLogin,
        scopes: Sequence[str],
        now: datetime,
        /,
    ) -> Tokens | None:
        """The tokens once the person has consented, None before. Raises AuthExpired with
        `slow_down` when asked too often, `access_denied` and `expired_token` at the end."""

    def refresh(self, client: ClientCredentials, refresh_token: str, now: datetime, /) -> Tokens:
        """A new access token, with the refresh token to use from now on: store it first,
        since the old one may be void. Raises AuthExpired with `auth_expired` when the
        permission is gone, `client_refused` when the client id or secret is wrong."""

    def inspect(self, access_token: str, now: datetime, /) -> Identity:
        """Whose an access token is and what it may do."""

    def revoke(self, client: ClientCredentials, tokens: Tokens, now: datetime, /) -> None:
        """Gives the permission back. One that is no longer known is no error."""


@dataclass(frozen=True, slots=True)
class OAuthServer:
    """One service's token server: what it is called and how its refusals are told."""

    name: str
    login: str
    """The command that renews the credentials."""
    how_it_ends: str = "it was withdrawn or has expired"
    """What a person may make of a permission that is no longer accepted."""

    def post(
        self,
        session: requests.Session,
        url: str,
        form: Mapping[str, str],
        *,
        what: str,
        now: datetime,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """The JSON that a success answers with (empty for an empty body).

        Raises:
            AuthExpired: `auth_expired` when the token or code is no longer good,
                `client_refused` when the application is not, `scope_refused` when the
                permissions asked for are not to be had, the server's own code
                (`authorization_pending`, `slow_down`, `access_denied`, `expired_token`),
                or `refused` for any other reason.
            RateLimited, Transient: as the names say.
        """
        sent = {"Accept": "application/json", **(headers or {})}
        try:
            answer = session.post(url, data=dict(form), headers=sent, allow_redirects=False)
        except requests.RequestException as error:
            raise http.answer_for(error, what=what) from error
        return self.read(answer, what=what, now=now)

    def read(self, answer: requests.Response, *, what: str, now: datetime) -> dict[str, Any]:
        """See `post`."""
        document = _object(answer.content)
        if answer.status_code == 429:
            until = moment_to_return(answer.headers, now) or now + _WAIT_WHEN_TOO_FAST
            raise RateLimited(f"{what}: {self.name} asks for a pause", until=until)
        if answer.status_code < 300 and (document is not None or not answer.content):
            return document or {}
        if document is None or not 400 <= answer.status_code < 500:
            status = answer.status_code
            raise Transient(
                f"{what}: {self.name} answered {status} unreadably", code="server_error"
            )
        raise self._refusal(answer.status_code, document, what)

    def _refusal(self, status: int, document: dict[str, Any], what: str) -> AuthExpired | Transient:
        """Google sends its code in `error`; Twitch in `message`, where `error` holds the name
        of the status."""
        said = (document.get("error"), document.get("message"))
        words = {word.lower() for word in said if isinstance(word, str)}
        for word in words:
            if word in _LOGIN_STATES:
                return AuthExpired(f"{what}: {_LOGIN_STATES[word]}", hint=self.login, code=word)
        if not document or status not in (400, 401, 403) or _TROUBLE_THERE & words:
            return Transient(f"{what}: {self.name} answered {status}", code="server_error")
        if status == 403 or _CLIENT_REFUSED & words:
            return AuthExpired(
                f"{what}: {self.name} does not accept the client id and secret",
                hint=f"check them where the application is registered, then: {self.login}",
                code="client_refused",
            )
        if status == 401 or _ENDED & words:
            return AuthExpired(
                f"{what}: {self.name} no longer accepts the permission; {self.how_it_ends}",
                hint=f"type: {self.login}",
            )
        if "invalid_scope" in words:
            return AuthExpired(
                f"{what}: {self.name} does not give these permissions this way",
                hint="check the scopes in the settings",
                code="scope_refused",
            )
        why = next((f" ({word})" for word in words if word.replace("_", "").isalpha()), "")
        return AuthExpired(f"{what}: {self.name} refuses{why}", hint=self.login, code="refused")

    def tokens(
        self, document: Mapping[str, Any], *, what: str, now: datetime, refresh_token: str | None
    ) -> Tokens:
        """Tokens from a success. `refresh_token` is kept when the answer brings no new one."""
        access_token = document.get("access_token")
        if not isinstance(access_token, str) or not access_token:
            raise Transient(f"{what}: the answer holds no token", code="garbled")
        renewed = document.get("refresh_token")
        return Tokens(
            access_token=access_token,
            refresh_token=renewed if isinstance(renewed, str) and renewed else refresh_token,
            expires_at=expiry(document.get("expires_in"), now),
            scopes=scopes_from(document.get("scope")),
        )

    def device_login(self, document: Mapping[str, Any], *, what: str, now: datetime) -> DeviceLogin:
        """A started login from the answer (RFC 8628, section 3.2)."""
        address = document.get("verification_uri") or document.get("verification_url")
        found = (document.get("device_code"), document.get("user_code"), address)
        device_code, user_code, url = (v if isinstance(v, str) else "" for v in found)
        if not (device_code and user_code and url):
            raise Transient(f"{what}: the answer holds no code", code="garbled")
        interval = document.get("interval")
        seconds = float(interval) if isinstance(interval, (int, float)) else 5.0
        ends = expiry(document.get("expires_in"), now) or now + timedelta(minutes=15)
        return DeviceLogin(device_code, user_code, url, min(max(seconds, 1.0), 60.0), ends)


_LOGIN_STATES = {
    "authorization_pending": "nobody has entered the code yet",
    "slow_down": "asked too often",
    "access_denied": "the permission was denied",
    "expired_token": "the code was not entered in time",
}
_ENDED = frozenset(
    {
        "invalid_grant",
        "invalid_token",
        "invalid refresh token",
        "invalid access token",
        "invalid token",
        "invalid authorization code",
        "invalid device code",
    }
)
_TROUBLE_THERE = frozenset({"internal_failure", "server_error", "temporarily_unavailable"})
_CLIENT_REFUSED = frozenset(
    {
        "invalid_client",
        "unauthorized_client",
        "redirect_uri_mismatch",
        "deleted_client",
        "invalid client",
        "invalid client secret",
    }
)


def expiry(expires_in: object, now: datetime) -> datetime | None:
    """When something given out now for so many seconds ends (Google also writes texts)."""
    try:
        seconds = float(expires_in) if isinstance(expires_in, (int, float, str)) else 0.0
    except ValueError:
        return None
    if not 0 < seconds < _LONGEST_LIFE_SECONDS:
        return None
    return now + timedelta(seconds=seconds)


def _object(content: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None
