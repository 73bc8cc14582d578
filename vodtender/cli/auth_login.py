"""What `auth login` and `auth import` do with what they are given."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from vodtender.cli.changes import write_changes
from vodtender.cli.context import Context
from vodtender.cli.output import note

if TYPE_CHECKING:
    from vodtender.cli.consent import Terminal
    from vodtender.model.tokens import ClientCredentials, Tokens
    from vodtender.pipeline.oauth_services import Service
    from vodtender.store.database import Database

_LARGEST_FILE_BYTES = 4 << 20
_WAYS = "give the path of a file, or - and the text on standard input"


@dataclass(frozen=True, slots=True)
class Manner:
    """How a command was asked to make its changes."""

    yes: bool
    reason: str | None
    dry_run: bool
    as_json: bool


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


def log_in(
    context: Context,
    service: Service,
    account: str,
    manner: Manner,
    *,
    device: bool,
    own: ClientCredentials | None,
) -> None:
    """Asks the service for the permission, in a browser or by a code. `own` is the account's
    own application."""
    from vodtender.cli.consent import Terminal
    from vodtender.procedures import login, permission

    settings = context.settings()
    permission.check_scopes(settings, service)
    with context.database(create=True) as database:
        before = login.stored(database, service, account)
        client = own or permission.client_for(settings, service, before)
        if manner.dry_run:
            _rehearse(context, service, account, client, manner)
            return
        person = Terminal(service.name)
        by_code = device or service.redirect_uri(settings) is None
        ask = permission.by_code if by_code else permission.by_browser
        given = ask(settings, service, client, person, now)
        taking = _Taking(context, database, service, account, manner, "auth login")
        taking.take(client, given, person)


def import_login(
    context: Context, service: Service, account: str, manner: Manner, text: str
) -> None:
    """Takes over a login made elsewhere."""
    from vodtender.cli.consent import Terminal
    from vodtender.model.tokens import parse_login
    from vodtender.procedures import permission

    settings = context.settings()
    with context.database(create=True) as database:
        if manner.dry_run:
            # To ask the service could use up what is in the file.
            client = parse_login(text).client or service.needed_client(settings)
            _rehearse(context, service, account, client, manner)
            return
        client, given = permission.by_import(settings, service, text, now)
        taking = _Taking(context, database, service, account, manner, "auth import")
        taking.take(client, given, Terminal(service.name))


@dataclass(frozen=True, slots=True)
class _Taking:
    """Takes what a service has given for an account."""

    context: Context
    database: Database
    service: Service
    account: str
    manner: Manner
    action: str

    def take(self, client: ClientCredentials, given: Tokens, person: Terminal) -> None:
        """Stores it if it is enough, and if nobody else's login is lost or that is meant."""
        from vodtender.cli.confirm import confirm
        from vodtender.procedures import login
        from vodtender.procedures.actor import operator
        from vodtender.procedures.login_status import warnings

        settings, database = self.context.settings(), self.database
        found = login.identified(settings, self.service, self.account, client, given, now=now())
        replaced = found.replaces(login.stored(database, self.service, self.account))
        if replaced is not None:
            confirm(
                f"Account {self.account} is {replaced} so far, and would become "
                f"{found.becomes}. Replace it?",
                yes=self.manner.yes,
            )
        kept = login.keep(
            database,
            settings,
            found,
            person,
            action=self.action,
            actor=operator(),
            reason=self.manner.reason,
        )
        write_changes([kept.change], dry_run=False, as_json=self.manner.as_json)
        _tell(kept.released, warnings(database, settings))


def import_cookies(
    context: Context, manner: Manner, text: str, at: datetime, vod: str | None
) -> None:
    """Installs cookies that were exported at that time, tried on a VOD."""
    from vodtender.procedures import cookies
    from vodtender.procedures.actor import operator

    with context.database(create=True) as database:
        done = cookies.import_cookies(
            database,
            context.settings(),
            text,
            exported_at=at,
            vod_id=vod,
            now=now(),
            actor=operator(),
            reason=manner.reason,
            dry_run=manner.dry_run,
        )
    write_changes([done.change], dry_run=manner.dry_run, as_json=manner.as_json)
    if done.tried:
        note(f"tried on {done.tried}")
    _tell(done.released, done.warnings)


def read(file: str) -> tuple[str, datetime]:
    """A file's text and when it was written; standard input's is written now. No message
    repeats the name, should somebody have put the secret itself there.

    Raises UsageError.
    """
    from vodtender.errors import UsageError

    if file == "-" and sys.stdin is None:
        raise UsageError("Standard input is closed, so there is nothing to read", hint=_WAYS)
    try:
        if file == "-":
            raw, written_at = sys.stdin.buffer.read(_LARGEST_FILE_BYTES + 1), now()
        else:
            with Path(file).open("rb") as opened:
                raw = opened.read(_LARGEST_FILE_BYTES + 1)
            written_at = datetime.fromtimestamp(Path(file).stat().st_mtime, UTC)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "that is no file's name"
        what = "Standard input" if file == "-" else "FILE"
        raise UsageError(f"{what} cannot be read: {why or error}", hint=_WAYS) from None
    if len(raw) > _LARGEST_FILE_BYTES:
        raise UsageError("FILE is too large to be what is wanted")
    try:
        return raw.decode("utf-8"), written_at
    except UnicodeDecodeError:
        raise UsageError("FILE is no text in UTF-8") from None


def _rehearse(
    context: Context, service: Service, account: str, client: ClientCredentials, manner: Manner
) -> None:
    from vodtender.procedures.change import Change
    from vodtender.procedures.login import target

    scopes = " ".join(service.scopes(context.settings()))
    change = Change(
        target(service, account),
        {"asked_for": None, "by_client": None},
        {"asked_for": scopes, "by_client": client.client_id},
    )
    write_changes([change], dry_run=True, as_json=manner.as_json)


def _tell(released: int, warnings: Iterable[str]) -> None:
    if released:
        number = "1 VOD that" if released == 1 else f"{released} VODs that"
        note(f"{number} waited for a login: going on")
    for warning in warnings:
        note(f"warning: {warning}")
