"""Twitch's app access token: what the Helix API wants from a program without a user.

Reference: https://dev.twitch.tv/docs/authentication/getting-tokens-oauth/#client-credentials-grant-flow
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

import requests
from urllib3.exceptions import HTTPError

from vodtender.clients import http
from vodtender.clients.oauth_grants import OAuthServer
from vodtender.clients.twitch.oauth import TOKEN_URL
from vodtender.errors import AuthExpired, Transient

CREDENTIALS_CODE = "twitch_credentials"
CREDENTIALS_HINT = (
    "check TWITCH_CLIENT_ID and TWITCH_CLIENT_SECRET at https://dev.twitch.tv/console/apps, "
    "or unset both to find VODs without an account"
)

_UNTOLD_LIFE = timedelta(hours=1)
_RENEW_BEFORE_END = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class AppToken:
    """A token, and when to get the next one: a little before Twitch ends it."""

    value: str = field(repr=False)
    renew_at: datetime


class TokenCache(Protocol):
    """Where app tokens are kept, per client id, across processes if need be."""

    def get(self, client_id: str) -> AppToken | None: ...

    def put(self, client_id: str, token: AppToken) -> None: ...


class MemoryTokenCache:
    """Keeps them for the life of the process."""

    def __init__(self) -> None:
        self._tokens: dict[str, AppToken] = {}

    def get(self, client_id: str) -> AppToken | None:
        return self._tokens.get(client_id)

    def put(self, client_id: str, token: AppToken) -> None:
        self._tokens[client_id] = token


class AppTokens:
    """Hands out a token that should be good, asking for a new one as rarely as possible.

    A new app token does not end the older ones, so processes need not agree on one.
    """

    def __init__(
        self, client_id: str, client_secret: str, session: requests.Session, cache: TokenCache
    ) -> None:
        self.client_id = client_id
        self._client_secret = client_secret
        self._session = session
        self._cache = cache
        self._lock = threading.Lock()

    def current(self, now: datetime, *, refused: str | None = None) -> str:
        """A token; not the one that Twitch has just `refused`.

        Raises:
            AuthExpired: Twitch does not accept the client id and secret.
            RateLimited, Transient: as the names say.
        """
        with self._lock:
            held = self._cache.get(self.client_id)
            if held is None or now >= held.renew_at or held.value == refused:
                held = self._request(now)
                self._cache.put(self.client_id, held)
            return held.value

    def _request(self, now: datetime) -> AppToken:
        what = "asking Twitch for an app access token"
        server = OAuthServer("Twitch", CREDENTIALS_HINT)
        form = {
            "client_id": self.client_id,
            "client_secret": self._client_secret,
            "grant_type": "client_credentials",
        }
        try:
            document = server.post(self._session, TOKEN_URL, form, what=what, now=now)
        except AuthExpired as error:
            raise credentials_refused(what) from error
        except (OSError, ValueError, HTTPError) as error:
            raise http.answer_for(error, what=what) from error
        granted = server.tokens(document, what=what, now=now, refresh_token=None)
        if not re.fullmatch(r"[!-~]+", granted.access_token):
            raise Transient(f"{what}: the answer holds no usable token", code="garbled")
        life = granted.expires_at - now if granted.expires_at else _UNTOLD_LIFE
        return AppToken(granted.access_token, now + max(life - _RENEW_BEFORE_END, life * 0.8))


def credentials_refused(what: str) -> AuthExpired:
    return AuthExpired(
        f"{what}: Twitch does not accept the client id and secret, so Helix cannot be asked",
        hint=CREDENTIALS_HINT,
        code=CREDENTIALS_CODE,
    )
