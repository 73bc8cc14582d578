"""The YouTube accounts: whose they are, their tokens, and what they may still upload today."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from vodtender import log
from vodtender.clients.token_cipher import TokenCipher
from vodtender.config.settings import Settings
from vodtender.errors import AuthExpired, CredentialsMissing, DatabaseUnavailable
from vodtender.model.quota import pacific_day
from vodtender.model.tokens import ClientCredentials, Tokens
from vodtender.store import tokens as store
from vodtender.store import uploads
from vodtender.store.database import Connection, Database
from vodtender.store.tokens import StoredTokens

if TYPE_CHECKING:
    from vodtender.clients.youtube.api import YouTube

PROVIDER = "youtube"
_RENEW_BEFORE = timedelta(minutes=5)
_log = log.get("accounts")


@dataclass(frozen=True, slots=True)
class OpenTokens:
    """One account's tokens, readable."""

    stored: StoredTokens
    tokens: Tokens
    client: ClientCredentials | None


class TokenBox:
    """Seals tokens on their way into the database and opens them on their way out."""

    def __init__(self, key: bytes | None) -> None:
        self.cipher = TokenCipher(key)

    def open(self, stored: StoredTokens) -> OpenTokens:
        """Raises CredentialsMissing when the key is missing or wrong."""
        where = f"{stored.provider}/{stored.account}"
        client = None
        if stored.client_id:
            secret = stored.client_secret
            client = ClientCredentials(
                stored.client_id,
                self.cipher.open(secret, f"{where}/client_secret") if secret else "",
            )
        refresh = stored.refresh_token
        tokens = Tokens(
            access_token=self.cipher.open(stored.access_token, f"{where}/access_token"),
            refresh_token=self.cipher.open(refresh, f"{where}/refresh_token") if refresh else None,
            expires_at=stored.expires_at,
            scopes=tuple(stored.scopes.split()),
        )
        for secret in (tokens.access_token, tokens.refresh_token):
            if secret:
                log.hide(secret)
        return OpenTokens(stored, tokens, client)

    def seal(
        self, provider: str, account: str, tokens: Tokens, client: ClientCredentials | None
    ) -> StoredTokens:
        """The row to store. `client` is given when it is not the one of the settings."""
        where = f"{provider}/{account}"
        return StoredTokens(
            provider=provider,
            account=account,
            access_token=self.cipher.seal(tokens.access_token, f"{where}/access_token"),
            refresh_token=self.cipher.seal(tokens.refresh_token, f"{where}/refresh_token")
            if tokens.refresh_token
            else None,
            client_secret=self.cipher.seal(client.client_secret, f"{where}/client_secret")
            if client
            else None,
            client_id=client.client_id if client else None,
            expires_at=tokens.expires_at,
            scopes=" ".join(tokens.scopes),
            owner_id=None,
            owner_name=None,
            problem=None,
        )

    def seal_text(self, text: str, context: str) -> str:
        """For an upload session's URI."""
        return self.cipher.seal(text, context)

    def open_text(self, sealed: str, context: str) -> str:
        """See `seal_text`."""
        return self.cipher.open(sealed, context)


class Accounts:
    """YouTube by account name. Safe to use from several threads."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._settings = settings
        self._database = database
        self._clock = clock
        self._lock = threading.Lock()
        self._clients: dict[str, YouTube] = {}
        self.box = TokenBox(settings.encryption_key)

    def name_for(self, channel: str) -> str:
        """The account that a channel's VODs go to."""
        return self._settings.youtube_account(channel)

    def uploads_wanted(self, connection: Connection) -> bool:
        """Whether VODs go to YouTube: as set, else if there is an account to use."""
        settings = self._settings
        for wish in (settings.yt_enabled, settings.youtube_upload_enabled):
            if wish is not None:
                return wish
        return any(
            row.provider == PROVIDER and (row.client_id or settings.yt_client_id)
            for row in store.find(connection)
        )

    def youtube(self, account: str) -> YouTube:
        """The account's client. Its tokens are looked up when they are needed."""
        with self._lock:
            if account not in self._clients:
                from vodtender.clients.youtube.api import YouTube

                self._clients[account] = YouTube(
                    lambda refused: self._access_token(account, refused),
                    clock=self._clock,
                    on_units=lambda units: self._count(account, units),
                    upload_cost_units=self._settings.yt_upload_cost_units,
                )
            return self._clients[account]

    def project(self, connection: Connection, account: str) -> str:
        """The Google project whose quota an account uses: the number before the dash of the
        client id."""
        stored = store.get(connection, PROVIDER, account)
        client_id = (stored.client_id if stored else None) or self._settings.yt_client_id or ""
        number = client_id.partition("-")[0]
        return number if number.isdigit() else client_id or "unknown"

    def _count(self, account: str, units: int) -> None:
        now = self._clock()
        try:
            with self._database.transaction() as connection:
                project = self.project(connection, account)
                uploads.add_units(connection, project, pacific_day(now), units)
        except DatabaseUnavailable as error:
            _log.warning("quota units could not be counted", units=units, why=error.message)

    def _access_token(self, account: str, refused: str | None) -> str:
        """A token that is good for some minutes. Renews it if need be, under a lock on its
        row, so that one process does so and the others read what it stored."""
        now = self._clock()
        with self._database.transaction() as connection:
            opened = self._open(connection, account, lock=False)
            if self._is_good(opened.tokens, refused, now):
                return opened.tokens.access_token
        with self._database.transaction(timeout_seconds=120) as connection:
            opened = self._open(connection, account, lock=True)
            if self._is_good(opened.tokens, refused, now):
                return opened.tokens.access_token
            try:
                renewed = renew_youtube(opened, self._settings, now)
            except AuthExpired as error:
                problem = error
            else:
                put_renewed(connection, self.box, opened, renewed)
                return renewed.access_token
        self._note_problem(account, problem)
        raise problem

    @staticmethod
    def _is_good(tokens: Tokens, refused: str | None, now: datetime) -> bool:
        return tokens.access_token != (refused or "") and not tokens.expires_within(
            _RENEW_BEFORE, now
        )

    def _open(self, connection: Connection, account: str, *, lock: bool) -> OpenTokens:
        stored = store.get(connection, PROVIDER, account, lock=lock)
        if stored is None:
            raise missing_account(account)
        if stored.problem is not None:
            raise AuthExpired(
                f"YouTube account {account!r}: {stored.problem}", hint=_login(account)
            )
        return self.box.open(stored)

    def _note_problem(self, account: str, error: AuthExpired) -> None:
        if error.code != "auth_expired":
            return
        with self._database.transaction() as connection:
            store.set_problem(connection, PROVIDER, account, error.message)


def renew_youtube(opened: OpenTokens, settings: Settings, now: datetime) -> Tokens:
    """A new access token from Google.

    Raises:
        AuthExpired: Google refuses, or there is nothing to renew with.
    """
    from vodtender.clients.youtube import oauth

    client = opened.client or client_of(settings)
    if client is None or not opened.tokens.refresh_token:
        what = "no YT_CLIENT_ID and YT_CLIENT_SECRET" if client is None else "no refresh token"
        raise AuthExpired(
            f"the YouTube token of account {opened.stored.account!r} has expired and there is"
            f" {what} to renew it with",
            hint=_login(opened.stored.account),
            code="cannot_renew",
        )
    return oauth.refresh(
        client.client_id, client.client_secret, opened.tokens.refresh_token, now=now
    )


def put_renewed(connection: Connection, box: TokenBox, opened: OpenTokens, renewed: Tokens) -> None:
    """Stores renewed tokens before they are used: the old refresh token may be void by now."""
    scopes = renewed.scopes or opened.tokens.scopes
    row = box.seal(
        opened.stored.provider,
        opened.stored.account,
        replace(renewed, scopes=scopes),
        opened.client,
    )
    store.put(connection, row)


def client_of(settings: Settings) -> ClientCredentials | None:
    """The application's credentials at Google from the settings."""
    if not settings.yt_client_id:
        return None
    return ClientCredentials(settings.yt_client_id, settings.yt_client_secret or "")


def missing_account(account: str) -> CredentialsMissing:
    """Nobody has logged in yet."""
    return CredentialsMissing(
        f"nobody has logged in to YouTube as {account!r}", hint=_login(account)
    )


def _login(account: str) -> str:
    named = "" if account == "default" else f" --account {account}"
    return f"vodtender auth login youtube{named}"
