"""The logins that there are: renewing them now, giving them back."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from vodtender.config.settings import Settings
from vodtender.errors import NotFound, VodtenderError
from vodtender.pipeline.oauth_services import SERVICES, TWITCH, YOUTUBE, Service
from vodtender.pipeline.renewal import Renewal
from vodtender.pipeline.token_box import TokenBox
from vodtender.procedures.change import Change
from vodtender.procedures.login import patiently, shown, target
from vodtender.procedures.permission import Clock, Person
from vodtender.store import audit, tokens, vods
from vodtender.store.database import Connection, Database
from vodtender.store.tokens import StoredTokens

_GIVE_BACK_AT = {
    YOUTUBE: "https://myaccount.google.com/connections",
    TWITCH: "https://www.twitch.tv/settings/connections",
}


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What was renewed; and by target why the others were not."""

    changes: list[Change] = field(default_factory=list)
    failures: dict[str, VodtenderError] = field(default_factory=dict)


def refresh(
    database: Database,
    settings: Settings,
    person: Person,
    clock: Clock,
    *,
    provider: str | None,
    account: str | None,
    actor: str,
    reason: str | None,
    dry_run: bool,
) -> Refreshed:
    """Renews the tokens of all accounts that fit, whatever is known of them.

    Raises:
        NotFound: none fits.
    """
    with database.transaction() as connection:
        rows = [
            row
            for row in tokens.find(connection)
            if provider in (None, row.provider) and account in (None, row.account)
        ]
    if not rows:
        raise _nobody(provider, account)
    done = Refreshed()
    renewal = Renewal(settings, database, TokenBox(settings), clock)
    for row in rows:
        name = target(SERVICES[row.provider], row.account)
        if dry_run:
            later = {**shown(row), "problem": None, "expires_at": "later"}
            done.changes.append(Change(name, shown(row), later))
            continue
        try:
            change = _refresh_one(database, renewal, person, row, actor=actor, reason=reason)
        except VodtenderError as error:
            done.failures[name] = error
        else:
            done.changes.append(change)
    return done


def _refresh_one(
    database: Database,
    renewal: Renewal,
    person: Person,
    row: StoredTokens,
    *,
    actor: str,
    reason: str | None,
) -> Change:
    name = target(SERVICES[row.provider], row.account)

    def written(connection: Connection, before: StoredTokens, after: StoredTokens) -> None:
        tokens.release_waiting(connection)
        audit.record(
            connection,
            actor=actor,
            action="auth refresh",
            target=name,
            before=shown(before),
            after=shown(after),
            reason=reason,
        )
        vods.notify(connection)

    patiently(lambda: renewal.renew_now(row.provider, row.account, written), person)
    with database.transaction() as connection:
        after = tokens.get(connection, row.provider, row.account)
    return Change(name, shown(row), shown(after))


def _nobody(provider: str | None, account: str | None) -> NotFound:
    service = SERVICES[provider or YOUTUBE]
    where = "" if provider is None else f" to {service.name}"
    name = "" if account is None else f" as {account!r}"
    return NotFound(
        f"nobody has logged in{where}{name}", hint=service.login_hint(account or "default")
    )


# --- giving back ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LoggedOut:
    """`untold`: why the service could not be told that the permission is given back."""

    change: Change
    untold: VodtenderError | None = None


def logout(
    database: Database,
    settings: Settings,
    service: Service,
    account: str,
    *,
    now: datetime,
    actor: str,
    reason: str | None,
    dry_run: bool,
) -> LoggedOut:
    """Gives the permission back and forgets it. What the service cannot be told is forgotten
    here all the same."""
    with database.transaction() as connection:
        rows = tokens.find(connection)
    row = next((r for r in rows if (r.provider, r.account) == (service.provider, account)), None)
    change = Change(target(service, account), shown(row), shown(None))
    if row is None:
        return LoggedOut(Change(change.target, {}, {}, note="nobody is logged in"))
    sharing = next((other for other in rows if other is not row and _share(row, other)), None)
    note = ""
    if sharing is not None:
        note = (
            f"the permission itself is not given back, since account {sharing.account} of the "
            "same owner lives on it"
        )
    change = Change(change.target, change.before, change.after, note)
    if dry_run:
        return LoggedOut(change)
    untold = None if sharing is not None else _give_back(settings, service, row, now)
    with database.transaction(actor=actor) as connection:
        if tokens.remove(connection, service.provider, account):
            audit.record(
                connection,
                actor=actor,
                action="auth logout",
                target=change.target,
                before=change.before,
                after=change.after,
                reason=reason,
            )
            vods.notify(connection)
    return LoggedOut(change, untold)


def _share(one: StoredTokens, other: StoredTokens) -> bool:
    """Google ends all tokens that an application has for a channel when one is given back."""
    same = (one.provider, one.owner_id, one.client_id)
    return one.provider == YOUTUBE and same == (other.provider, other.owner_id, other.client_id)


def _give_back(
    settings: Settings, service: Service, row: StoredTokens, now: datetime
) -> VodtenderError | None:
    try:
        opened = TokenBox(settings).open(row)
        client = opened.client or service.needed_client(settings)
        service.grants.revoke(client, opened.tokens, now)
    except VodtenderError as error:
        error.hint = f"give it back by hand: {_GIVE_BACK_AT[service.provider]}"
        return error
    return None
