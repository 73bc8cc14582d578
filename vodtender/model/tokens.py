"""OAuth tokens and client credentials as values, and reading them from an imported file."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
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
    """What an imported file held: tokens, the application's credentials, or both."""

    tokens: Tokens | None
    client: ClientCredentials | None


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose an access token is, as the service itself says."""

    account_id: str | None
    account_name: str | None
    scopes: tuple[str, ...]
    expires_at: datetime | None


def parse_import(text: str) -> Imported:
    """Reads the JSON that `auth import` is given.

    Accepted: an object with `refresh_token` and/or `access_token` (or `token`), optionally
    `client_id`, `client_secret`, `scopes` or `scope`, `expiry` or `expires_at`; that is also
    Google's `token.json` and `authorized_user` file. Google's `client_secret_….json`
    (`installed` or `web`) gives client credentials only.

    Raises:
        UsageError: it is none of these. The message never quotes the text.
    """
    document = _json_object(text)
    if document.get("type") == "service_account":
        raise UsageError(
            "this is a service account's key; YouTube does not accept service accounts",
            hint="use an OAuth client of type Desktop: vodtender auth login youtube",
        )
    for shape in ("installed", "web"):
        if isinstance(document.get(shape), dict):
            document = document[shape]
            break
    tokens, client = _tokens(document), _client(document)
    if tokens is None and client is None:
        raise UsageError(
            "the JSON holds neither a refresh_token, an access token nor a client_id",
            hint='it should look like {"refresh_token": "…", "client_id": "…", '
            '"client_secret": "…"}',
        )
    return Imported(tokens, client)


def _json_object(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError):
        raise UsageError(
            "what was given to import is not JSON",
            hint='it should look like {"refresh_token": "…"}',
        ) from None
    if not isinstance(document, dict):
        raise UsageError("the JSON to import must be one object with a refresh_token")
    return document


def _tokens(document: dict[str, Any]) -> Tokens | None:
    refresh_token = _text(document, "refresh_token")
    access_token = _text(document, "access_token") or _text(document, "token")
    if not refresh_token and not access_token:
        return None
    return Tokens(
        access_token=access_token,
        refresh_token=refresh_token or None,
        expires_at=_moment(_text(document, "expires_at") or _text(document, "expiry")),
        scopes=scopes_from(document.get("scopes", document.get("scope"))),
    )


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


def _moment(text: str) -> datetime | None:
    """RFC 3339; Google's library writes `expiry` in UTC, sometimes without saying so."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
