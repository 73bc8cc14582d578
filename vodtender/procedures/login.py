"""Taking a permission that a service has given: whose it is, whether it is enough, keeping it.

Nothing is stored before that is known. What was given is not lost when the database is away
for a moment.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

from vodtender.config.settings import Settings
from vodtender.errors import CredentialsMissing, DatabaseUnavailable
from vodtender.model.tokens import ClientCredentials, Identity, Tokens
from vodtender.pipeline.oauth_services import YOUTUBE, Service
from vodtender.pipeline.token_box import TokenBox, hide
from vodtender.procedures.change import Change
from vodtender.procedures.permission import Person
from vodtender.store import audit, tokens, vods
from vodtender.store.database import Database
from vodtender.store.tokens import StoredTokens

_DATABASE_TRIES = 60
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Login:
    """A permission that a service has given, that is enough, and that is not stored yet."""

    service: Service
    account: str
    client: ClientCredentials
    tokens: Tokens
    owner: Identity

    def replaces(self, before: StoredTokens | None) -> str | None:
        """Whose login it would replace, if it is somebody else's."""
        if before is None or before.owner_id in (None, self.owner.account_id):
            return None
        return _called(before.owner_name, before.owner_id)

    @property
    def becomes(self) -> str:
        """Whose it is then."""
        return _called(self.owner.account_name, self.owner.account_id)


def _called(name: str | None, account_id: str | None) -> str:
    """With the id, since two channels may have one name."""
    return f"{name} ({account_id})" if name and account_id else name or account_id or "nobody"


@dataclass(frozen=True, slots=True)
class Kept:
    """What was stored, and how many VODs had waited for a login and go on."""

    change: Change
    released: int


def target(service: Service, account: str) -> str:
    """What an account is called in changes and in the audit."""
    return f"{service.provider} account {account}"


def stored(database: Database, service: Service, account: str) -> StoredTokens | None:
    """The login that there is."""
    with database.transaction() as connection:
        return tokens.get(connection, service.provider, account)


def identified(
    settings: Settings,
    service: Service,
    account: str,
    client: ClientCredentials,
    given: Tokens,
    *,
    now: datetime,
) -> Login:
    """Asks the service whose the permission is.

    Raises:
        CredentialsMissing: it is not enough: `scope_missing`, `no_refresh_token`,
            `no_channel`. Nothing was stored.
    """
    hide(given.access_token, given.refresh_token)
    owner = service.grants.inspect(given.access_token, now)
    scopes = owner.scopes or given.scopes
    login = Login(service, account, client, replace(given, scopes=scopes), owner)
    again = service.login_hint(account)
    missing = service.missing_scopes(scopes, settings)
    if missing:
        hint = f"log in again, and leave every box on {service.name}'s page ticked: {again}"
        if service.provider != YOUTUBE:
            hint += f"; or set {service.prefix}_SCOPES to what it may do"
        raise CredentialsMissing(
            f"the login lacks the permission {' '.join(missing)}; nothing was stored",
            hint=hint,
            code="scope_missing",
        )
    if given.refresh_token is None:
        raise CredentialsMissing(
            f"{service.name} gave no refresh token, so the login would end within hours; "
            "nothing was stored",
            hint=f"try once more: {again}",
            code="no_refresh_token",
        )
    if owner.account_id is None:
        what = "the Google account has no YouTube channel"
        raise CredentialsMissing(
            what if service.provider == YOUTUBE else "the login is nobody's, but an application's",
            hint=f"create the channel on youtube.com, or choose another account: {again}",
            code="no_channel",
        )
    return login


def keep(
    database: Database,
    settings: Settings,
    login: Login,
    person: Person,
    *,
    action: str,
    actor: str,
    reason: str | None,
) -> Kept:
    """Stores the login; what waited for one goes on at once.

    Raises:
        DatabaseUnavailable: not even after a minute.
    """
    service = login.service
    own = None if login.client == service.client(settings) else login.client
    row = TokenBox(settings).seal(
        service.provider,
        login.account,
        login.tokens,
        own,
        owner_id=login.owner.account_id,
        owner_name=login.owner.account_name,
    )

    def store() -> Kept:
        with database.transaction(actor=actor) as connection:
            before = tokens.get(connection, service.provider, login.account, lock=True)
            change = Change(target(service, login.account), shown(before), shown(row))
            tokens.put(connection, row)
            released = tokens.release_waiting(connection)
            audit.record(
                connection,
                actor=actor,
                action=action,
                target=change.target,
                before=change.before,
                after=change.after,
                reason=reason,
            )
            vods.notify(connection)
            return Kept(change, released)

    return patiently(store, person)


def shown(row: StoredTokens | None) -> dict[str, object]:
    """What a change says of a login."""
    return {
        "owner": None if row is None else row.owner_name,
        "owner_id": None if row is None else row.owner_id,
        "scopes": None if row is None else row.scopes,
        "problem": None if row is None else row.problem,
        "expires_at": None if row is None else row.expires_at,
    }


def patiently(action: Callable[[], T], person: Person) -> T:
    """Does it as soon as the database is there: what a service gave it may give only once."""
    for tried in range(_DATABASE_TRIES):
        try:
            return action()
        except DatabaseUnavailable as error:
            if tried == 0:
                person.tell(f"{error.message} What was given is kept until the database is back.")
            person.wait(1.0)
    return action()
