"""Google's OAuth for YouTube: log in, renew, look at, give back.

Reference: https://developers.google.com/identity/protocols/oauth2/native-app and
https://developers.google.com/identity/protocols/oauth2/limited-input-device
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from urllib.parse import urlencode

from vodtender.clients import http
from vodtender.clients.oauth_grants import Challenge, DeviceLogin, OAuthServer, expiry
from vodtender.errors import AuthExpired
from vodtender.model.tokens import ClientCredentials, Identity, Tokens, scopes_from

AUTHORIZATION_URL = "https://accounts.google.com/o/oauth2/v2/auth"
TOKEN_URL = "https://oauth2.googleapis.com/token"  # noqa: S105
DEVICE_URL = "https://oauth2.googleapis.com/device/code"
INFO_URL = "https://oauth2.googleapis.com/tokeninfo"
REVOKE_URL = "https://oauth2.googleapis.com/revoke"

_GOOGLE = OAuthServer(
    "Google",
    "vodtender auth login youtube",
    "it was withdrawn or has expired (after a week, while the consent screen is in testing)",
)
_DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"


def authorization_url(
    client_id: str, redirect_uri: str, scopes: Sequence[str], challenge: Challenge
) -> str:
    """The page on which the person gives permission. Consent is asked for each time, since
    Google otherwise gives a refresh token only at the first."""
    query = {
        "client_id": client_id,
        "redirect_uri": redirect_uri,
        "response_type": "code",
        "scope": " ".join(scopes),
        "state": challenge.state,
        "code_challenge": challenge.s256,
        "code_challenge_method": "S256",
        "access_type": "offline",
        "prompt": "consent",
    }
    return f"{AUTHORIZATION_URL}?{urlencode(query)}"


def exchange_code(
    client: ClientCredentials, code: str, redirect_uri: str, challenge: Challenge, now: datetime
) -> Tokens:
    """The tokens for the code that came with the redirect."""
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": redirect_uri,
        "code_verifier": challenge.verifier,
    }
    return _grant(client, form, "ending the login at Google", now)


def begin_device_login(
    client: ClientCredentials, scopes: Sequence[str], now: datetime
) -> DeviceLogin:
    """Starts a login by code. Google gives the scopes `youtube` and `youtube.readonly` this way
    and no other of YouTube's, and only to clients of one type."""
    what = "starting a login by code at Google"
    form = {"client_id": client.client_id, "scope": " ".join(scopes)}
    try:
        document = _GOOGLE.post(http.session(), DEVICE_URL, form, what=what, now=now)
    except AuthExpired as error:
        if error.code == "client_refused":
            error.hint = (
                'the OAuth client must be of type "TVs and Limited Input devices"; with another, '
                "leave out --device"
            )
        raise
    return _GOOGLE.device_login(document, what=what, now=now)


def poll_device_login(
    client: ClientCredentials, login: DeviceLogin, _scopes: Sequence[str], now: datetime
) -> Tokens | None:
    """The tokens once the person has consented, None before."""
    form = {"grant_type": _DEVICE_GRANT, "device_code": login.device_code}
    try:
        return _grant(client, form, "waiting for the code at Google", now)
    except AuthExpired as error:
        if error.code == "authorization_pending" and now < login.expires_at:
            return None
        raise


def refresh(client: ClientCredentials, refresh_token: str, now: datetime) -> Tokens:
    """A new access token; the refresh token mostly stays."""
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
    return _grant(client, form, "renewing the YouTube token", now)


def inspect(access_token: str, now: datetime) -> Identity:
    """What an access token may do, until when, and for which channel.

    The channel is None where the token may not ask for it or there is none.
    """
    what = "asking Google about the token"
    document = _GOOGLE.post(
        http.session(),
        INFO_URL,
        {"access_token": access_token},
        what=what,
        now=now,
        headers={"Authorization": f"Bearer {access_token}"},
    )
    channel_id, title = _channel(access_token, now)
    return Identity(
        account_id=channel_id,
        account_name=title,
        scopes=scopes_from(document.get("scope")),
        expires_at=expiry(document.get("expires_in"), now),
    )


def revoke(_client: ClientCredentials, tokens: Tokens, now: datetime) -> None:
    """Ends the permission, with every token that Google ever gave this application for the
    same channel."""
    what = "giving the permission back to Google"
    form = {"token": tokens.refresh_token or tokens.access_token}
    try:
        _GOOGLE.post(http.session(), REVOKE_URL, form, what=what, now=now)
    except AuthExpired as error:
        if error.code != "auth_expired":
            raise


def _grant(client: ClientCredentials, form: dict[str, str], what: str, now: datetime) -> Tokens:
    whole = {"client_id": client.client_id, "client_secret": client.client_secret, **form}
    document = _GOOGLE.post(http.session(), TOKEN_URL, whole, what=what, now=now)
    return _GOOGLE.tokens(document, what=what, now=now, refresh_token=form.get("refresh_token"))


def _channel(access_token: str, now: datetime) -> tuple[str | None, str | None]:
    from vodtender.clients.youtube.api import YouTube

    try:
        channel = YouTube(lambda _: access_token, clock=lambda: now).channel()
    except AuthExpired as error:
        if error.code in ("scope_missing", "no_channel"):
            return None, None
        raise
    return channel.channel_id, channel.title
