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
from vodtender.pipeline.oauth_services import SERVICES
from vodtender.pipeline.token_box import OpenTokens, TokenBox
from vodtender.store import tokens as store
from vodtender.store.database import Connection, Database
from vodtender.store.tokens import StoredTokens

AHEAD = timedelta(minutes=10)
"""How long before its end a token is renewed though nobody needs it yet."""
_IN_USE = timedelta(minutes=5)
_LOCK_SECONDS = 120.0
_PASSING = frozenset({"unreachable", "server_error", "garbled", "rate_limited", "transient"})
_log = log.get("accounts")
_Key = tuple[str, str]

Written = Callable[[Connection, StoredTokens, StoredTokens], None]
"""Called in the transaction that stores renewed tokens, with the row before and after."""


@dataclass(frozen=True, slots=True)
class _Wish:
    """Which tokens are good: those that last for `ahead` and are not `refused`.

    With `despite_problem` the service is asked even when it has refused for good before.
    """

    ahead: timedelta
    refused: str | None = None
    despite_problem: bool = False
    written: Written | None = None

    def is_met_by(self, tokens: Tokens, now: datetime) -> bool:
        return tokens.access_token != self.refused and not tokens.expires_within(self.ahead, now)


@dataclass(frozen=True, slots=True)
class _Renewed:
    """Tokens that the service has given, and the row that they replace."""

    replaced: StoredTokens
    row: StoredTokens
    tokens: Tokens


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
        self._unsaved: dict[_Key, _Renewed] = {}
        self._told: dict[_Key, str] = {}

    def tokens(self, provider: str, account: str, *, refused: str | None = None) -> Tokens:
        """The account's tokens, renewed if they end soon or if the access token is the one
        that was `refused`.

        Raises:
            CredentialsMissing: nobody has logged in, or the row cannot be decrypted.
            AuthExpired: the service refuses; noted in the row if that is for good.
            Transient, RateLimited: the service cannot be asked now.
            DatabaseUnavailable: call again, since what the service has given is kept.
        """
        key, wish = (provider, account), _Wish(_IN_USE, refused)
        if key not in self._unsaved:
            with self._database.transaction() as connection:
                stored = _row(connection, key)
            tokens = self._box.open(_checked(stored, wish)).tokens
            if wish.is_met_by(tokens, self._clock()):
                return tokens
        return self._renew(key, wish)[0]

    def renew_now(self, provider: str, account: str, written: Written) -> None:
        """Asks the service for new tokens, whatever is known of those that are stored. Does
        nothing if somebody else has just done so. Raises as `tokens` does."""
        key = (provider, account)
        unsaved = self._unsaved.get(key)
        with self._database.transaction() as connection:
            stored = unsaved.replaced if unsaved else _row(connection, key)
        refused = self._box.open(stored).tokens.access_token
        self._renew(key, _Wish(timedelta(0), refused, despite_problem=True, written=written))

    def renew_due(self) -> int:
        """Renews whatever ends within `AHEAD`, of every service. To be called every few
        minutes. Returns how many accounts got new tokens; what failed is in the log.

        Raises DatabaseUnavailable.
        """
        soon = self._clock() + AHEAD
        with self._database.transaction() as connection:
            rows = store.find(connection)
        return sum(self._renew_one(row) for row in rows if self._is_due(row, soon))

    def _is_due(self, row: StoredTokens, soon: datetime) -> bool:
        if (row.provider, row.account) in self._unsaved:
            return True
        ends_soon = row.expires_at is not None and row.expires_at <= soon
        return ends_soon and row.problem is None and row.refresh_token is not None

    def _renew_one(self, row: StoredTokens) -> bool:
        key = (row.provider, row.account)
        speaker = _log.bind(service=row.provider, account=row.account)
        try:
            _, is_new = self._renew(key, _Wish(AHEAD))
        except DatabaseUnavailable:
            raise
        except VodtenderError as error:
            if self._told.get(key) != error.message:
                say = speaker.warning if error.code in _PASSING else speaker.error
                say("the token could not be renewed", exc=error)
            self._told[key] = error.message
            return False
        self._told.pop(key, None)
        if is_new:
            speaker.info("token renewed")
        return is_new

    def _renew(self, key: _Key, wish: _Wish) -> tuple[Tokens, bool]:
        """Tokens that meet the wish, and whether they are new."""
        refusal: AuthExpired | None = None
        renewed: _Renewed | None = None
        with self._database.transaction(timeout_seconds=_LOCK_SECONDS) as connection:
            stored = _row(connection, key, lock=True)
            try:
                tokens, renewed = self._wished(key, stored, wish)
            except AuthExpired as error:
                # Noted in this transaction, whose lock keeps others from asking the same.
                if error.code == "auth_expired" and stored.problem is None:
                    store.set_problem(connection, *key, error.message)
                refusal = error
            if renewed is not None:
                store.put(connection, renewed.row)
                if wish.written is not None:
                    wish.written(connection, renewed.replaced, renewed.row)
        if refusal is not None:
            raise refusal
        if renewed is not None and self._unsaved.get(key) is renewed:
            del self._unsaved[key]
        return tokens, renewed is not None

    def _wished(
        self, key: _Key, stored: StoredTokens, wish: _Wish
    ) -> tuple[Tokens, _Renewed | None]:
        """Tokens that meet the wish; and, where they are not those of the row, what to store."""
        left = self._unsaved.get(key)
        if left is not None and left.replaced.access_token != stored.access_token:
            del self._unsaved[key]  # stored after all, or a login came between
            left = None
        if left is not None and wish.is_met_by(left.tokens, self._clock()):
            return left.tokens, left
        opened = self._box.open(left.row if left is not None else _checked(stored, wish))
        now = self._clock()
        if left is None and wish.is_met_by(opened.tokens, now):
            return opened.tokens, None
        tokens = self._ask(opened, now)
        renewed = _Renewed(stored, self._sealed(opened, tokens), tokens)
        # Kept before the database is told: from here on nobody else has it.
        self._unsaved[key] = renewed
        return tokens, renewed

    def _ask(self, opened: OpenTokens, now: datetime) -> Tokens:
        service, account = SERVICES[opened.stored.provider], opened.stored.account
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
            return service.grants.refresh(client, refresh_token, now)
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


def _row(connection: Connection, key: _Key, *, lock: bool = False) -> StoredTokens:
    stored = store.get(connection, *key, lock=lock)
    if stored is None:
        service = SERVICES[key[0]]
        raise CredentialsMissing(
            f"nobody has logged in to {service.name} as {key[1]!r}",
            hint=service.login_hint(key[1]),
        )
    return stored


def _checked(stored: StoredTokens, wish: _Wish) -> StoredTokens:
    """The row, unless the service has refused it for good and is not to be asked again."""
    if stored.problem is None or wish.despite_problem:
        return stored
    service = SERVICES[stored.provider]
    raise AuthExpired(
        f"{service.name} account {stored.account!r}: {stored.problem}",
        hint=service.login_hint(stored.account),
    )
