"""Renews access tokens: before they end, once for all processes, and never losing one.

A service may replace the refresh token at each renewal, and the old one is void from then on.
So the row is locked before the service is asked, what it answers is stored before it is used,
and what the database did not take then is kept in memory until it does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from vodtender import log
from vodtender.config.settings import Settings
from vodtender.errors import AuthExpired, CredentialsMissing, DatabaseUnavailable, VodtenderError
from vodtender.model.tokens import Tokens
from vodtender.pipeline.oauth_services import service_of
from vodtender.pipeline.token_box import OpenTokens, TokenBox
from vodtender.store import tokens as store
from vodtender.store.database import Connection, Database
from vodtender.store.tokens import StoredTokens

AHEAD = timedelta(minutes=10)
"""How long before its end a token is renewed though nobody needs it yet."""
_IN_USE = timedelta(minutes=5)
_LOCK_SECONDS = 120.0
_log = log.get("accounts")
_Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class _Unsaved:
    """Renewed tokens that the database did not take, and the row that they are to replace."""

    replaced: StoredTokens
    row: StoredTokens


class Renewal:
    """Hands out access tokens that are good for some minutes. Safe for several threads."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        box: TokenBox,
        clock: Callable[[], datetime],
    ) -> None:
        self._settings = settings
        self._database = database
        self._box = box
        self._clock = clock
        self._unsaved: dict[_Key, _Unsaved] = {}
        self._told: dict[_Key, str] = {}

    def tokens(
        self,
        provider: str,
        account: str,
        *,
        refused: str | None = None,
        ahead: timedelta = _IN_USE,
        despite_problem: bool = False,
    ) -> Tokens:
        """The account's tokens, renewed if they end within `ahead` or if the access token is
        the one that was `refused`. With `despite_problem` the service is asked even when it
        has refused for good before.

        Raises:
            CredentialsMissing: nobody has logged in, or the row cannot be decrypted.
            AuthExpired: the service refuses; noted in the row if that is for good.
            Transient, RateLimited: the service cannot be asked now.
        """
        key = (provider, account)
        if key not in self._unsaved:
            with self._database.transaction() as connection:
                opened = self._open(connection, key, despite_problem)
            if _is_good(opened.tokens, refused, self._clock() + ahead):
                return opened.tokens
        answer = self._renew(key, refused, ahead, despite_problem)
        if isinstance(answer, AuthExpired):
            raise answer
        return answer

    def renew_due(self) -> int:
        """Renews whatever ends within `AHEAD`, of every service. To be called every few
        minutes. Returns how many accounts have new tokens now; what failed is in the log.

        Raises DatabaseUnavailable.
        """
        soon = self._clock() + AHEAD
        with self._database.transaction() as connection:
            rows = store.find(connection)
        due = [row for row in rows if _is_due(row, soon)]
        return sum(self._renew_one(row) for row in due)

    def _renew_one(self, row: StoredTokens) -> bool:
        key = (row.provider, row.account)
        speaker = _log.bind(service=row.provider, account=row.account)
        try:
            self.tokens(*key, ahead=AHEAD)
        except DatabaseUnavailable:
            raise
        except VodtenderError as error:
            if self._told.get(key) != error.message:
                say = speaker.warning if error.code in _PASSING else speaker.error
                say("the token could not be renewed", exc=error)
            self._told[key] = error.message
            return False
        self._told.pop(key, None)
        speaker.info("token renewed")
        return True

    def _renew(
        self, key: _Key, refused: str | None, ahead: timedelta, despite_problem: bool
    ) -> Tokens | AuthExpired:
        """The new tokens, or the refusal, which is noted in the same transaction."""
        unsaved: _Unsaved | None = None
        try:
            with self._database.transaction(timeout_seconds=_LOCK_SECONDS) as connection:
                opened = self._open(connection, key, despite_problem, lock=True)
                now = self._clock()
                if _is_good(opened.tokens, refused, now + ahead):
                    renewed = opened.tokens
                else:
                    try:
                        renewed = self._ask(opened, now)
                    except AuthExpired as error:
                        if error.code == "auth_expired":
                            store.set_problem(connection, *key, error.message)
                        return error
                    unsaved = _Unsaved(opened.stored, self._sealed(opened, renewed))
                    store.put(connection, unsaved.row)
        except DatabaseUnavailable:
            if unsaved is not None:
                self._unsaved[key] = unsaved
            raise
        self._unsaved.pop(key, None)
        return renewed

    def _open(
        self, connection: Connection, key: _Key, despite_problem: bool, *, lock: bool = False
    ) -> OpenTokens:
        service = service_of(key[0])
        stored = store.get(connection, *key, lock=lock)
        if stored is None:
            raise missing_account(*key)
        left = self._unsaved.get(key)
        if lock and left is not None and left.replaced.access_token == stored.access_token:
            store.put(connection, left.row)
            stored = left.row
        if stored.problem is not None and not despite_problem:
            raise AuthExpired(
                f"{service.name} account {key[1]!r}: {stored.problem}",
                hint=service.login_hint(key[1]),
            )
        return self._box.open(stored)

    def _ask(self, opened: OpenTokens, now: datetime) -> Tokens:
        service, account = service_of(opened.stored.provider), opened.stored.account
        client = opened.client or service.client(self._settings)
        refresh_token = opened.tokens.refresh_token
        if client is None or refresh_token is None:
            names = f"{service.prefix}_CLIENT_ID and {service.prefix}_CLIENT_SECRET"
            what = f"{names} are not set" if client is None else "there is no refresh token"
            raise AuthExpired(
                f"the {service.name} token of account {account!r} cannot be renewed: {what}",
                hint=service.login_hint(account),
                code="cannot_renew",
            )
        try:
            return service.refresh(client, refresh_token, now)
        except AuthExpired as error:
            if error.code == "auth_expired":
                error.hint = service.login_hint(account)
            raise

    def _sealed(self, opened: OpenTokens, renewed: Tokens) -> StoredTokens:
        stored = opened.stored
        return self._box.seal(
            stored.provider,
            stored.account,
            replace(renewed, scopes=renewed.scopes or opened.tokens.scopes),
            opened.client,
            owner_id=stored.owner_id,
            owner_name=stored.owner_name,
        )


_PASSING = frozenset({"unreachable", "server_error", "garbled", "rate_limited", "transient"})


def missing_account(provider: str, account: str) -> CredentialsMissing:
    """Nobody has logged in yet."""
    service = service_of(provider)
    return CredentialsMissing(
        f"nobody has logged in to {service.name} as {account!r}", hint=service.login_hint(account)
    )


def _is_good(tokens: Tokens, refused: str | None, until: datetime) -> bool:
    return tokens.access_token != (refused or "") and not tokens.expires_within(timedelta(0), until)


def _is_due(row: StoredTokens, soon: datetime) -> bool:
    return (
        row.problem is None
        and row.refresh_token is not None
        and row.expires_at is not None
        and row.expires_at <= soon
    )
