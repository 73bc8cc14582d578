"""The two services that people log in to, seen the same way.

The clients differ in what they want to be told (a PKCE verifier here, scopes or the client id
there); those who log in, renew or log out need not know.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from vodtender.config.settings import DEFAULT_ACCOUNT, Settings
from vodtender.errors import CredentialsMissing
from vodtender.model.scopes import missing_twitch, missing_youtube
from vodtender.model.tokens import ClientCredentials, Identity, Tokens

if TYPE_CHECKING:
    from vodtender.clients.oauth_grants import Challenge, DeviceLogin

YOUTUBE = "youtube"
TWITCH = "twitch"


class _Account(Protocol):
    @property
    def provider(self) -> str: ...
    @property
    def client_id(self) -> str | None: ...


def uploads_wanted(settings: Settings, accounts: Iterable[_Account]) -> bool:
    """Whether VODs go to YouTube: as set, else if one of the stored accounts can be used."""
    if settings.upload_wish is not None:
        return settings.upload_wish
    return any(
        account.provider == YOUTUBE and (account.client_id or settings.yt_client_id)
        for account in accounts
    )


class Service(ABC):
    """One service's logins. Failures are answers (`AuthExpired`, `Transient`, …)."""

    provider: str
    name: str
    prefix: str
    """How the names of its settings begin."""

    @abstractmethod
    def client(self, settings: Settings) -> ClientCredentials | None:
        """The application's credentials from the settings."""

    @abstractmethod
    def scopes(self, settings: Settings) -> tuple[str, ...]:
        """What a login asks for."""

    @abstractmethod
    def redirect_uri(self, settings: Settings) -> str | None:
        """Where a login in the browser ends; None: it cannot without a setting."""

    @abstractmethod
    def missing_scopes(self, granted: Sequence[str], settings: Settings) -> tuple[str, ...]:
        """What is needed beyond what was granted."""

    @abstractmethod
    def authorization_url(
        self, client_id: str, redirect_uri: str, scopes: Sequence[str], challenge: Challenge
    ) -> str:
        """The page where the person consents."""

    @abstractmethod
    def exchange_code(
        self,
        client: ClientCredentials,
        code: str,
        redirect_uri: str,
        challenge: Challenge,
        now: datetime,
    ) -> Tokens:
        """The tokens for the code that the redirect brought."""

    @abstractmethod
    def begin_device_login(
        self, client: ClientCredentials, scopes: Sequence[str], now: datetime
    ) -> DeviceLogin:
        """A login by code."""

    @abstractmethod
    def poll_device_login(
        self, client: ClientCredentials, login: DeviceLogin, scopes: Sequence[str], now: datetime
    ) -> Tokens | None:
        """The tokens once the person has consented."""

    @abstractmethod
    def refresh(self, client: ClientCredentials, refresh_token: str, now: datetime) -> Tokens:
        """A new access token, and the refresh token to use from now on."""

    @abstractmethod
    def inspect(self, access_token: str, now: datetime) -> Identity:
        """Whose it is and what it may do."""

    @abstractmethod
    def revoke(self, client: ClientCredentials | None, tokens: Tokens, now: datetime) -> None:
        """Gives the permission back."""

    def needed_client(self, settings: Settings) -> ClientCredentials:
        """Raises CredentialsMissing when the settings have none."""
        client = self.client(settings)
        if client is None:
            names = f"{self.prefix}_CLIENT_ID and {self.prefix}_CLIENT_SECRET"
            raise CredentialsMissing(
                f"{names} are not set, so {self.name} does not know who asks",
                hint=f"register an application with {self.name} and set both, or import a login "
                f"that brings its own: vodtender auth import {self.provider} FILE",
                code="no_client",
            )
        return client

    def login_hint(self, account: str) -> str:
        """The command that logs an account in."""
        named = "" if account == DEFAULT_ACCOUNT else f" --account {account}"
        return f"vodtender auth login {self.provider}{named}"


class YouTubeService(Service):
    """Google's logins, for YouTube."""

    provider = YOUTUBE
    name = "YouTube"
    prefix = "YT"

    def client(self, settings: Settings) -> ClientCredentials | None:
        if not settings.yt_client_id:
            return None
        return ClientCredentials(settings.yt_client_id, settings.yt_client_secret or "")

    def scopes(self, settings: Settings) -> tuple[str, ...]:
        return settings.yt_scopes

    def redirect_uri(self, settings: Settings) -> str | None:
        from vodtender.clients.oauth_redirect import DEFAULT_REDIRECT_URI

        return settings.yt_redirect_uri or DEFAULT_REDIRECT_URI

    def missing_scopes(self, granted: Sequence[str], settings: Settings) -> tuple[str, ...]:
        return missing_youtube(granted, playlist=settings.yt_playlist_id is not None)

    def authorization_url(
        self, client_id: str, redirect_uri: str, scopes: Sequence[str], challenge: Challenge
    ) -> str:
        from vodtender.clients.youtube import oauth

        return oauth.authorization_url(client_id, redirect_uri, scopes, challenge)

    def exchange_code(
        self,
        client: ClientCredentials,
        code: str,
        redirect_uri: str,
        challenge: Challenge,
        now: datetime,
    ) -> Tokens:
        from vodtender.clients.youtube import oauth

        return oauth.exchange_code(client, code, redirect_uri, challenge.verifier, now=now)

    def begin_device_login(
        self, client: ClientCredentials, scopes: Sequence[str], now: datetime
    ) -> DeviceLogin:
        from vodtender.clients.youtube import oauth

        return oauth.begin_device_login(client, scopes, now=now)

    def poll_device_login(
        self, client: ClientCredentials, login: DeviceLogin, scopes: Sequence[str], now: datetime
    ) -> Tokens | None:
        from vodtender.clients.youtube import oauth

        return oauth.poll_device_login(client, login, now=now)

    def refresh(self, client: ClientCredentials, refresh_token: str, now: datetime) -> Tokens:
        from vodtender.clients.youtube import oauth

        return oauth.refresh(client.client_id, client.client_secret, refresh_token, now=now)

    def inspect(self, access_token: str, now: datetime) -> Identity:
        from vodtender.clients.youtube import oauth

        return oauth.inspect(access_token, now=now)

    def revoke(self, client: ClientCredentials | None, tokens: Tokens, now: datetime) -> None:
        from vodtender.clients.youtube import oauth

        oauth.revoke(tokens.refresh_token or tokens.access_token, now=now)


class TwitchService(Service):
    """Twitch's logins."""

    provider = TWITCH
    name = "Twitch"
    prefix = "TWITCH"

    def client(self, settings: Settings) -> ClientCredentials | None:
        if not settings.twitch_client_id:
            return None
        return ClientCredentials(settings.twitch_client_id, settings.twitch_client_secret or "")

    def scopes(self, settings: Settings) -> tuple[str, ...]:
        return settings.twitch_scopes

    def redirect_uri(self, settings: Settings) -> str | None:
        # Twitch compares it with the registered one to the letter: nothing can be guessed.
        return settings.twitch_redirect_uri

    def missing_scopes(self, granted: Sequence[str], settings: Settings) -> tuple[str, ...]:
        return missing_twitch(granted, settings.twitch_scopes)

    def authorization_url(
        self, client_id: str, redirect_uri: str, scopes: Sequence[str], challenge: Challenge
    ) -> str:
        from vodtender.clients.twitch import oauth

        return oauth.authorization_url(client_id, redirect_uri, scopes, challenge)

    def exchange_code(
        self,
        client: ClientCredentials,
        code: str,
        redirect_uri: str,
        challenge: Challenge,
        now: datetime,
    ) -> Tokens:
        from vodtender.clients.twitch import oauth

        return oauth.exchange_code(client, code, redirect_uri, now=now)

    def begin_device_login(
        self, client: ClientCredentials, scopes: Sequence[str], now: datetime
    ) -> DeviceLogin:
        from vodtender.clients.twitch import oauth

        return oauth.begin_device_login(client, scopes, now=now)

    def poll_device_login(
        self, client: ClientCredentials, login: DeviceLogin, scopes: Sequence[str], now: datetime
    ) -> Tokens | None:
        from vodtender.clients.twitch import oauth

        return oauth.poll_device_login(client, login, scopes, now=now)

    def refresh(self, client: ClientCredentials, refresh_token: str, now: datetime) -> Tokens:
        from vodtender.clients.twitch import oauth

        return oauth.refresh(client.client_id, client.client_secret, refresh_token, now=now)

    def inspect(self, access_token: str, now: datetime) -> Identity:
        from vodtender.clients.twitch import oauth

        return oauth.inspect(access_token, now=now)

    def revoke(self, client: ClientCredentials | None, tokens: Tokens, now: datetime) -> None:
        from vodtender.clients.twitch import oauth

        if client is None:
            raise CredentialsMissing(
                "TWITCH_CLIENT_ID is not set, so Twitch cannot be told", code="no_client"
            )
        oauth.revoke(client.client_id, tokens.access_token, now=now)


def service_of(provider: str) -> Service:
    """The service of a row of `oauth_tokens`."""
    return YouTubeService() if provider == YOUTUBE else TwitchService()
