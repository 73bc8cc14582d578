"""Twitch's OAuth: log in, renew, look at, give back.

Reference: https://dev.twitch.tv/docs/authentication/getting-tokens-oauth/
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from urllib.parse import urlencode

import requests

from vodtender.clients import http
from vodtender.clients.oauth_grants import Challenge, DeviceLogin, OAuthServer, expiry
from vodtender.errors import AuthExpired
from vodtender.model.tokens import ClientCredentials, Identity, Tokens, scopes_from

AUTHORIZATION_URL = "https://id.twitch.tv/oauth2/authorize"
TOKEN_URL = "https://id.twitch.tv/oauth2/token"  # noqa: S105
DEVICE_URL = "https://id.twitch.tv/oauth2/device"
VALIDATE_URL = "https://id.twitch.tv/oauth2/validate"
REVOKE_URL = "https://id.twitch.tv/oauth2/revoke"

_TWITCH = OAuthServer("Twitch", "vodtender auth login twitch")
_DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"


def authorization_url(
    client_id: str, redirect_uri: str, scopes: Sequence[str], challenge: Challenge
) -> str:
    """The page on which the person gives permission. Twitch knows no PKCE; the state binds."""
    query = {
        "client_id": client_id,
        "redirect_uri": redirect_uri,
        "response_type": "code",
        "scope": " ".join(scopes),
        "state": challenge.state,
    }
    return f"{AUTHORIZATION_URL}?{urlencode(query)}"


def exchange_code(
    client: ClientCredentials, code: str, redirect_uri: str, _challenge: Challenge, now: datetime
) -> Tokens:
    """The tokens for the code that came with the redirect."""
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
    return _grant(client, form, "ending the login at Twitch", now)


def begin_device_login(
    client: ClientCredentials, scopes: Sequence[str], now: datetime
) -> DeviceLogin:
    """Starts a login by code."""
    what = "starting a login by code at Twitch"
    form = {"client_id": client.client_id, "scopes": " ".join(scopes)}
    document = _TWITCH.post(http.session(), DEVICE_URL, form, what=what, now=now)
    return _TWITCH.device_login(document, what=what, now=now)


def poll_device_login(
    client: ClientCredentials, login: DeviceLogin, scopes: Sequence[str], now: datetime
) -> Tokens | None:
    """The tokens once the person has consented, None before."""
    form = {
        "grant_type": _DEVICE_GRANT,
        "device_code": login.device_code,
        "scopes": " ".join(scopes),
    }
    try:
        return _grant(client, form, "waiting for the code at Twitch", now)
    except AuthExpired as error:
        if error.code == "authorization_pending" and now < login.expires_at:
            return None
        raise


def refresh(client: ClientCredentials, refresh_token: str, now: datetime) -> Tokens:
    """A new access token. For clients without a secret the refresh token works only once."""
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
    return _grant(client, form, "renewing the Twitch token", now)


def inspect(access_token: str, now: datetime) -> Identity:
    """What an access token may do, until when, and whose it is (nobody's, for an app token)."""
    what = "asking Twitch about the token"
    headers = {"Authorization": f"OAuth {access_token}"}
    try:
        answer = http.session().get(VALIDATE_URL, headers=headers, allow_redirects=False)
    except requests.RequestException as error:
        raise http.answer_for(error, what=what) from error
    document = _TWITCH.read(answer, what=what, now=now)
    user_id, login = document.get("user_id"), document.get("login")
    return Identity(
        account_id=user_id if isinstance(user_id, str) else None,
        account_name=login if isinstance(login, str) else None,
        scopes=scopes_from(document.get("scopes")),
        expires_at=expiry(document.get("expires_in"), now),
    )


def revoke(client: ClientCredentials, tokens: Tokens, now: datetime) -> None:
    """Makes the access token worthless."""
    what = "giving the permission back to Twitch"
    form = {"client_id": client.client_id, "token": tokens.access_token}
    try:
        _TWITCH.post(http.session(), REVOKE_URL, form, what=what, now=now)
    except AuthExpired as error:
        if error.code != "auth_expired":
            raise


def _grant(client: ClientCredentials, form: dict[str, str], what: str, now: datetime) -> Tokens:
    whole = {"client_id": client.client_id, **form}
    if client.client_secret:  # a public client has none, and sends none
        whole["client_secret"] = client.client_secret
    document = _TWITCH.post(http.session(), TOKEN_URL, whole, what=what, now=now)
    return _TWITCH.tokens(document, what=what, now=now, refresh_token=form.get("refresh_token"))
