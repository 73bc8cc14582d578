"""The two services that people log in to, seen the same way."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from vodtender.config.settings import DEFAULT_ACCOUNT, Settings
from vodtender.errors import CredentialsMissing
from vodtender.model.scopes import missing_twitch, missing_youtube
from vodtender.model.tokens import ClientCredentials

if TYPE_CHECKING:
    from vodtender.clients.oauth_grants import Grants

YOUTUBE = "youtube"
TWITCH = "twitch"


@dataclass(frozen=True, slots=True)
class Service:
    """One service: what it is called, what the settings say of it, and how to ask it."""

    provider: str
    name: str
    prefix: str
    """How the names of its settings begin."""

    @property
    def grants(self) -> Grants:
        """Its OAuth client, loaded when it is first asked."""
        if self.provider == YOUTUBE:
            from vodtender.clients.youtube import oauth as google

            return google
        from vodtender.clients.twitch import oauth as twitch

        return twitch

    def client(self, settings: Settings) -> ClientCredentials | None:
        """The application's credentials from the settings."""
        pair = (settings.twitch_client_id, settings.twitch_client_secret)
        if self.provider == YOUTUBE:
            pair = (settings.yt_client_id, settings.yt_client_secret)
        return ClientCredentials(pair[0], pair[1] or "") if pair[0] else None

    def scopes(self, settings: Settings) -> tuple[str, ...]:
        """What a login asks for."""
        return settings.yt_scopes if self.provider == YOUTUBE else settings.twitch_scopes

    def missing_scopes(self, granted: Sequence[str], settings: Settings) -> tuple[str, ...]:
        """What is needed beyond what was granted."""
        if self.provider == YOUTUBE:
            return missing_youtube(granted, playlist=settings.yt_playlist_id is not None)
        return missing_twitch(granted, settings.twitch_scopes)

    def redirect_uri(self, settings: Settings) -> str | None:
        """Where a login in the browser ends. None: it cannot, since Twitch compares it with
        the registered one to the letter, and none is set."""
        if self.provider == YOUTUBE:
            return settings.yt_redirect_uri or "http://127.0.0.1:0/"
        return settings.twitch_redirect_uri

    def needed_client(self, settings: Settings) -> ClientCredentials:
        """Raises CredentialsMissing when the settings have none."""
        client = self.client(settings)
        if client is None:
            raise CredentialsMissing(
                f"{self.prefix}_CLIENT_ID and {self.prefix}_CLIENT_SECRET are not set, so "
                f"{self.name} does not know who asks",
                hint=f"register an application with {self.name} and set both, or give a file "
                f"that holds them: vodtender auth login {self.provider} --client FILE",
                code="no_client",
            )
        return client

    def login_hint(self, account: str) -> str:
        """The command that logs an account in."""
        named = "" if account == DEFAULT_ACCOUNT else f" --account {account}"
        return f"vodtender auth login {self.provider}{named}"


SERVICES = {
    YOUTUBE: Service(YOUTUBE, "YouTube", "YT"),
    TWITCH: Service(TWITCH, "Twitch", "TWITCH"),
}
"""By the name that rows of `oauth_tokens` have."""


class _Account(Protocol):
    @property
    def provider(self) -> str: ...
    @property
    def account(self) -> str: ...
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


def absent_accounts(settings: Settings, accounts: Sequence[_Account]) -> tuple[str, ...]:
    """The YouTube accounts that uploads go to and that nobody has logged in."""
    if not settings.uploads_enabled and not uploads_wanted(settings, accounts):
        return ()
    there = {one.account for one in accounts if one.provider == YOUTUBE}
    wanted = dict.fromkeys(settings.youtube_account(channel) for channel in settings.channels)
    return tuple(name for name in wanted if name not in there)
