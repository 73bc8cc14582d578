"""OAuth tokens and client credentials as values, and reading them from an imported file."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from vodtender.errors import UsageError


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a service gave us for one account. Its representation shows no secret."""

    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False, default=None)
    expires_at: datetime | None = None
    scopes: tuple[str, ...] = ()

    def expires_within(self, margin: timedelta, now: datetime) -> bool:
        """Whether it is time to renew. Without an expiry the token counts as valid."""
        if not self.access_token:
            return True
        return self.expires_at is not None and self.expires_at - margin <= now


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """Who asks: the application registered with the service."""

    client_id: str
    client_secret: str = field(repr=False, default="")


@dataclass(frozen=True, slots=True)
class Imported:
    """What an imported file held; with the application's credentials where it brings them."""

    refresh_token: str = field(repr=False)
    client: ClientCredentials | None


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose an access token is, as the service itself says."""

    account_id: str | None
    account_name: str | None
    scopes: tuple[str, ...]
    expires_at: datetime | None


def parse_login(text: str) -> Imported:
    """Reads the JSON that `auth import` is given: an object with `refresh_token` and perhaps
    `client_id` and `client_secret`, such as Google's `authorized_user` file.

    Raises:
        UsageError: it is none. The message never quotes the text.
    """
    document = _json_object(text)
    refresh_token, client = _text(document, "refresh_token"), _client(document)
    if refresh_token:
        return Imported(refresh_token, client)
    if _text(document, "access_token") or _text(document, "token"):
        raise UsageError(
            "the JSON holds an access token, which ends within hours, and no refresh_token",
            hint="export it with its refresh_token, or log in here: vodtender auth login",
        )
    if client is not None:
        raise UsageError(
            "the JSON holds an OAuth client and no login",
            hint="log in with it: vodtender auth login youtube --client FILE",
        )
    raise UsageError("the JSON holds no refresh_token", hint=_LOOKS)


def parse_client(text: str) -> ClientCredentials:
    """Reads an OAuth client: Google's `client_secret_….json`, or an object with `client_id`
    and `client_secret`. Raises UsageError."""
    client = _client(_json_object(text))
    if client is None or not client.client_secret:
        raise UsageError(
            "the JSON does not hold a client_id with its client_secret",
            hint="download it from the Google Cloud console, under Credentials",
        )
    return client


_LOOKS = 'it should look like {"refresh_token": "…", "client_id": "…", "client_secret": "…"}'


def _json_object(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError):
        raise UsageError("what was given is not JSON", hint=_LOOKS) from None
    if not isinstance(document, dict):
        raise UsageError("the JSON must be one object", hint=_LOOKS)
    if document.get("type") == "service_account":
        raise UsageError(
            "this is a service account's key; YouTube does not accept service accounts",
            hint="use an OAuth client of type Desktop: vodtender auth login youtube",
        )
    inside = [document[shape] for shape in ("installed", "web") if shape in document]
    return inside[0] if inside and isinstance(inside[0], dict) else document


def _client(document: dict[str, Any]) -> ClientCredentials | None:
    client_id = _text(document, "client_id")
    if not client_id:
        return None
    return ClientCredentials(client_id, _text(document, "client_secret"))


def scopes_from(value: object) -> tuple[str, ...]:
    """Scopes as services send them: a text separated by spaces, or a list (Twitch)."""
    if isinstance(value, str):
        return tuple(value.split())
    if isinstance(value, list):
        return tuple(scope for scope in value if isinstance(scope, str))
    return ()


def _text(document: dict[str, Any], key: str) -> str:
    value = document.get(key)
    return value.strip() if isinstance(value, str) else ""
