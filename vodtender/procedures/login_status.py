"""How all logins stand, for `auth status`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from vodtender.config.settings import Settings
from vodtender.errors import CredentialsMissing
from vodtender.model.quota import project_of
from vodtender.pipeline.oauth_services import SERVICES, YOUTUBE, Service, absent_accounts
from vodtender.pipeline.token_box import TokenBox
from vodtender.procedures.cookies import CookiesState, cookies_state
from vodtender.store import tokens
from vodtender.store.database import Database
from vodtender.store.tokens import StoredTokens

NOT_ENCRYPTED = (
    "ENCRYPTION_KEY is not set: whoever can read the database or a backup of it can use the logins"
)


@dataclass(frozen=True, slots=True)
class LoginState:
    """One account. `channels` are those whose VODs go to it, `project` is whose quota it uses
    (YouTube), `problem` why it cannot be used and `hint` what to type then."""

    service: str
    account: str
    owner: str | None
    owner_id: str | None
    channels: tuple[str, ...]
    project: str | None
    scopes: tuple[str, ...]
    missing_scopes: tuple[str, ...]
    expires_at: datetime | None
    renewed_at: datetime | None
    encrypted: bool
    problem: str | None
    hint: str


@dataclass(frozen=True, slots=True)
class Overview:
    """All logins, the cookies, and what a person should know."""

    encryption: bool
    accounts: tuple[LoginState, ...]
    cookies: CookiesState | None
    warnings: tuple[str, ...]

    @property
    def needs_person(self) -> bool:
        """Whether something does not work until somebody logs in."""
        broken = any(one.problem is not None for one in self.accounts)
        return broken or (self.cookies is not None and self.cookies.problem is not None)


def overview(database: Database, settings: Settings, now: datetime) -> Overview:
    """How all logins stand, from what is stored; no service is asked."""
    box = TokenBox(settings)
    with database.transaction() as connection:
        rows = tokens.find(connection)
    accounts = [_state(row, settings, box) for row in rows]
    accounts += [_absent(name, settings) for name in absent_accounts(settings, rows)]
    cookies = cookies_state(settings, now)
    return Overview(
        box.encrypts,
        tuple(accounts),
        cookies,
        (*_warnings(rows, settings, box), *(cookies.warnings if cookies else ())),
    )


def warnings(database: Database, settings: Settings) -> list[str]:
    """What a person should know of the stored logins."""
    with database.transaction() as connection:
        rows = tokens.find(connection)
    return _warnings(rows, settings, TokenBox(settings))


def _warnings(rows: Sequence[StoredTokens], settings: Settings, box: TokenBox) -> list[str]:
    found: list[str] = []
    if not box.encrypts and any(box.is_plain(row) for row in rows):
        found.append(NOT_ENCRYPTED)
    elif box.encrypts and not all(box.is_current(row) for row in rows):
        found.append(
            "some logins are not stored under the present ENCRYPTION_KEY: vodtender auth rekey"
        )
    used = {settings.youtube_account(channel) for channel in settings.channels}
    found += [
        f"no channel uses the YouTube account {row.account}: set YT_CHANNEL_ACCOUNTS="
        f"CHANNEL={row.account}"
        for row in rows
        if row.provider == YOUTUBE and settings.channels and row.account not in used
    ]
    return found


def _state(row: StoredTokens, settings: Settings, box: TokenBox) -> LoginState:
    service = SERVICES[row.provider]
    scopes = tuple(row.scopes.split())
    missing = service.missing_scopes(scopes, settings)
    problem, hint = _problem(row, settings, service, box, missing)
    return LoginState(
        service=row.provider,
        account=row.account,
        owner=row.owner_name,
        owner_id=row.owner_id,
        channels=_channels(settings, service, row.account),
        project=project_of(row.client_id or settings.yt_client_id)
        if service.provider == YOUTUBE
        else None,
        scopes=scopes,
        missing_scopes=missing,
        expires_at=row.expires_at,
        renewed_at=row.updated_at,
        encrypted=not box.is_plain(row),
        problem=problem,
        hint=hint,
    )


def _problem(
    row: StoredTokens,
    settings: Settings,
    service: Service,
    box: TokenBox,
    missing: tuple[str, ...],
) -> tuple[str | None, str]:
    hint = service.login_hint(row.account)
    if row.problem is not None:
        return row.problem, hint
    try:
        opened = box.open(row)
    except CredentialsMissing as error:
        return error.message, error.hint
    if (opened.client or service.client(settings)) is None:
        names = f"{service.prefix}_CLIENT_ID and {service.prefix}_CLIENT_SECRET"
        return f"{names} are not set, so it cannot be renewed", f"set {names}"
    if missing:
        return f"it lacks the permission {' '.join(missing)}", hint
    return None, ""


def _absent(account: str, settings: Settings) -> LoginState:
    service = SERVICES[YOUTUBE]
    return LoginState(
        service=YOUTUBE,
        account=account,
        owner=None,
        owner_id=None,
        channels=_channels(settings, service, account),
        project=None,
        scopes=(),
        missing_scopes=(),
        expires_at=None,
        renewed_at=None,
        encrypted=False,
        problem="nobody has logged in",
        hint=service.login_hint(account),
    )


def _channels(settings: Settings, service: Service, account: str) -> tuple[str, ...]:
    if service.provider != YOUTUBE:
        return ()
    return tuple(name for name in settings.channels if settings.youtube_account(name) == account)
