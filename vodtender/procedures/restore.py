"""Putting a backup in the database's place.

It becomes a database of its own first, whole and counted; then the two change names in one
transaction. So at every moment the one or the other is there, whole, and what was there stays,
under another name, until somebody drops it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from vodtender.clients.postgres.place import DATABASE
from vodtender.config.settings import Settings
from vodtender.errors import Locked, Refused, VodtenderError
from vodtender.pipeline.backup_shelf import NOT_TO_BE_USED
from vodtender.procedures.backup import safety_copy
from vodtender.procedures.backup_source import Source, at_hand
from vodtender.procedures.interruption import told_if_interrupted
from vodtender.procedures.opening import has_embedded
from vodtender.procedures.progress import Tell
from vodtender.procedures.replaced import (
    Loss,
    Present,
    compare_and_carry,
    make_fit,
    require_unchanged,
    without_daemons,
)
from vodtender.procedures.rescue import Rescued, rescue
from vodtender.procedures.scratch import Server, filled, look_into, open_server
from vodtender.store import databases
from vodtender.store.database import Database, translated
from vodtender.store.restored import NO_RIGHTS, Rights

_STAYS = "it is kept as it is, under another name"


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore has done, or (`seconds` None) would do. `aside` is what the old database is
    called now; `safety` the name of its dump, or why there is none."""

    source: Source
    database: str
    rows: dict[str, int]
    loss: Loss | None
    aside: str | None
    safety: str | None
    no_safety: str
    seconds: float | None
    rights: Rights = NO_RIGHTS
    rescued: Rescued | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """How an operator wants it. `confirm` is asked before anything is replaced, and raises
    Refused; `note` hears what is waited for and what went otherwise than wanted."""

    replace: bool
    wait: bool
    dry_run: bool
    actor: str
    reason: str | None
    confirm: Callable[[Present, Source], object]
    note: Callable[[str], object]
    tell: Tell


def restore(settings: Settings, wanted: str, asked: Asked) -> Restored:
    """Restores the backup of a name, `latest`, a file or an address in S3.

    Raises:
        NotFound, DamagedBackupError, Refused, and what S3 answers: the backup is not to be had
            or no good one; nothing was touched.
        Refused: the database is not empty (code `not_empty`), a daemon is alive (`daemon_alive`),
            it was not confirmed, or a privilege is missing (`no_privilege`); nothing was changed.
        Locked: another restore, drill or backup is under way.
        Stopped: it was interrupted (code `interrupted`).
        DatabaseUnavailable: the server cannot be reached.
    """
    began = time.monotonic()
    if asked.dry_run and settings.dsn is None and not has_embedded(settings):
        return _rehearsed(settings, wanted, asked)
    with (
        told_if_interrupted() as replacement,
        _opened(settings, wanted, asked.tell) as (server, source),
    ):
        _warn(source, asked)
        contents = look_into(source, server, asked.tell)
        present = _fit_to_be_replaced(server, settings, asked)
        if asked.dry_run:
            return _would_be(source, server.name)
        if not present.is_empty:
            asked.confirm(present, source)
        safety, no_safety, rescued = _saved(present, server, settings, asked)
        with filled(source, contents, server, asked.tell) as fresh:
            after = {"backup": source.where, "made_at": source.made_at}
            make_fit(fresh, after, actor=asked.actor, reason=asked.reason)
            loss = compare_and_carry(present, server, fresh)
            require_unchanged(server, settings, present)
            replacement.begun = True
            aside = _swapped(present, server)
    seconds = round(time.monotonic() - began, 3)
    return Restored(
        *(source, server.name, fresh.rows, loss, aside, safety, no_safety, seconds),
        rights=fresh.rights,
        rescued=rescued,
    )


def _warn(source: Source, asked: Asked) -> None:
    for warning in source.warnings:
        asked.note(f"warning: {warning}")


def _would_be(source: Source, name: str) -> Restored:
    rows = {} if source.manifest is None else dict(source.manifest.rows)
    return Restored(source, name, rows, None, None, None, "", None)


def _rehearsed(settings: Settings, wanted: str, asked: Asked) -> Restored:
    """Where there is no embedded server yet, which only a restore makes."""
    with at_hand(settings, wanted, asked.tell) as source:
        _warn(source, asked)
        look_into(source, None, asked.tell)
        return _would_be(source, DATABASE)


@contextmanager
def _opened(settings: Settings, wanted: str, tell: Tell) -> Iterator[tuple[Server, Source]]:
    """The server is asked before a backup is fetched for it; but where there is none, it is made
    only for a backup that is to be had."""
    with ExitStack() as stack:
        if settings.dsn is None and not has_embedded(settings):
            source = stack.enter_context(at_hand(settings, wanted, tell))
            yield stack.enter_context(open_server(settings, create=True)), source
        else:
            server = stack.enter_context(open_server(settings))
            yield server, stack.enter_context(at_hand(settings, wanted, tell))


# --- may it be replaced? ------------------------------------------------------------------


def _fit_to_be_replaced(server: Server, settings: Settings, asked: Asked) -> Present:
    wait = asked.wait and not asked.dry_run
    present = without_daemons(server, settings, wait=wait, note=asked.note)
    if present.exists and not present.is_empty and not asked.replace:
        what = f"cannot be read ({present.problem})" if present.rows is None else "is not empty"
        raise Refused(
            f"The database {present.name} {what}, so nothing is restored into it.",
            hint="to put the backup in its place: add --replace; it is kept under another name",
            code="not_empty",
        )
    return present


# --- what was there -----------------------------------------------------------------------


def _saved(
    present: Present, server: Server, settings: Settings, asked: Asked
) -> tuple[str | None, str, Rescued | None]:
    """The name of a dump of the present database, or why there is none: then what can be had of
    it is taken table by table. It is kept in any case."""
    if present.is_empty:
        return None, "", None
    database = Database(lambda: server.dsn)
    try:
        made = safety_copy(database, settings, tell=asked.tell)
    except Locked:
        raise
    except Exception as error:  # a damaged database fails in whatever way it likes
        problem = error.message if isinstance(error, VodtenderError) else str(error).strip()
        if isinstance(error, VodtenderError) and error.code in NOT_TO_BE_USED:
            asked.note(f"the present database is not dumped: {problem}")
            asked.note(_STAYS)
            return None, problem, None
        asked.note(f"the present database cannot be dumped: {problem}")
        asked.note("what can be read of it is taken table by table")
        return None, problem, _rescued(server, settings, asked)
    finally:
        database.close()
    return made.name, "", None


def _rescued(server: Server, settings: Settings, asked: Asked) -> Rescued | None:
    found = None
    try:
        found = rescue(server, settings, asked.tell)
    except Locked:
        raise
    except VodtenderError as error:
        asked.note(error.message)
        asked.note(_STAYS)
        return None
    if found is None:
        asked.note(f"nothing of it can be read; {_STAYS}")
        return None
    asked.note(f"{len(found.saved)} parts of it are in {found.directory}")
    for name, why in found.lost.items():
        asked.note(f"not to be had: {name} ({why.splitlines()[0]})")
    return found


# --- the change ---------------------------------------------------------------------------


def _swapped(present: Present, server: Server) -> str | None:
    """What the old database is called now; None where it was empty, and is gone."""
    with translated():
        admin = server.admin
        if not present.exists:
            databases.swap(admin, server.name, server.scratch, None)
            return None
        databases.copy_settings(admin, server.name, server.scratch)
        aside = databases.aside_name(admin, server.name, datetime.now(UTC))
        databases.swap(admin, server.name, server.scratch, aside)
        if not present.is_empty:
            return aside
        databases.drop(admin, aside)
        return None
