"""Putting a backup in the database's place.

It becomes a database of its own first, whole and counted; then the two change names in one
transaction. So at every moment the one or the other is there, whole, and what was there stays,
under another name, until somebody drops it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from vodtender.config.settings import Settings
from vodtender.errors import Locked, Refused, VodtenderError
from vodtender.procedures.backup import safety_copy
from vodtender.procedures.backup_source import Source, at_hand
from vodtender.procedures.opening import has_embedded
from vodtender.procedures.progress import Tell
from vodtender.procedures.scratch import Filled, Server, filled, look_into, open_server
from vodtender.store import audit, backups, databases, restored, workers
from vodtender.store.database import Connection, Database, connect, translated
from vodtender.store.restored import Vods

_LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Present:
    """The database as it is before a restore. `rows` is None where it cannot be read, of which
    `problem` says why; empty where there is none. `daemons` are those that are alive."""

    name: str
    exists: bool
    rows: dict[str, int] | None
    problem: str
    daemons: list[str]

    @property
    def is_empty(self) -> bool:
        """Whether nobody would miss it."""
        return self.rows is not None and restored.is_empty(self.rows)


@dataclass(frozen=True, slots=True)
class Loss:
    """What there was and the backup does not have. `vods` is None where the old database could
    not be read; `rows` by table (before, now), where they differ."""

    vods: Vods | None
    rows: dict[str, tuple[int, int]]


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
        DatabaseUnavailable: the server cannot be reached.
    """
    began = time.monotonic()
    with _opened(settings, wanted, asked.tell) as (server, source):
        contents = look_into(source, server, asked.tell)
        present = _fit_to_be_replaced(server, settings, asked)
        if asked.dry_run:
            rows = {} if source.manifest is None else dict(source.manifest.rows)
            return Restored(source, server.name, rows, None, None, None, "", None)
        if not present.is_empty:
            asked.confirm(present, source)
        safety, no_safety = _saved(present, server, settings, asked)
        with filled(source, contents, server, asked.tell) as fresh:
            _made_fit(fresh, source, asked)
            loss = _compared_and_carried(present, server, fresh)
            _still_fit(server, settings, present)
            aside = _swapped(present, server)
    seconds = round(time.monotonic() - began, 3)
    return Restored(source, server.name, fresh.rows, loss, aside, safety, no_safety, seconds)


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
    while True:
        present = look(server, settings)
        if not present.daemons or not asked.wait or asked.dry_run:
            break
        asked.note(f"waiting for {', '.join(present.daemons)} to end")
        time.sleep(_LOOK_SECONDS)
    if present.daemons:
        raise _daemon_alive(present)
    if present.exists and not present.is_empty and not asked.replace:
        what = f"cannot be read ({present.problem})" if present.rows is None else "is not empty"
        raise Refused(
            f"The database {present.name} {what}, so nothing is restored into it.",
            hint="to put the backup in its place: add --replace; it is kept under another name",
            code="not_empty",
        )
    return present


def look(server: Server, settings: Settings) -> Present:
    """The database as it is now."""
    with translated():
        if not databases.exists(server.admin, server.name):
            return Present(server.name, False, {}, "", [])
        try:
            with connect(server.dsn, autocommit=True) as connection, translated():
                restored.be_patient(connection)
                rows = backups.row_counts(connection)
                within = settings.lease_seconds
                alive = workers.count(connection, heard_within_seconds=within)
                daemons = (
                    [one.worker_id for one in workers.find(connection, heard_within_seconds=within)]
                    if alive
                    else []
                )
            return Present(server.name, True, rows, "", daemons)
        except VodtenderError as error:
            problem = error.message
        except Exception as error:  # whatever damage makes of its catalog
            problem = f"{type(error).__name__}: {error}"
        # Who lives cannot be read there; who is connected can be seen from outside.
        there = databases.sessions(server.admin, server.name)
        return Present(server.name, True, None, problem, [f"vodtender on {one}" for one in there])


def _still_fit(server: Server, settings: Settings, before: Present) -> None:
    """A daemon may have come meanwhile, and rows into what was empty."""
    now = look(server, settings)
    if now.daemons:
        raise _daemon_alive(now)
    if before.is_empty and not now.is_empty:
        raise Refused(
            f"Something was written to the database {now.name} meanwhile; it was not replaced.",
            hint="vodtender restore latest --replace",
            code="not_empty",
        )


def _daemon_alive(present: Present) -> Refused:
    return Refused(
        f"At work on the database {present.name}: {', '.join(present.daemons)}. Nothing was"
        " changed.",
        hint="end it and wait: vodtender drain --all --wait; or restore … --wait\n"
        "a daemon that was killed counts as alive for LEASE_SECONDS",
        code="daemon_alive",
    )


# --- what was there -----------------------------------------------------------------------


def _saved(
    present: Present, server: Server, settings: Settings, asked: Asked
) -> tuple[str | None, str]:
    """The name of a dump of the present database, or why there is none: then it is only kept."""
    if present.is_empty:
        return None, ""
    database = Database(lambda: server.dsn)
    try:
        made = safety_copy(database, settings, tell=asked.tell)
    except Locked:
        raise
    except Exception as error:  # a damaged database fails in whatever way it likes
        problem = error.message if isinstance(error, VodtenderError) else str(error).strip()
        asked.note(f"the present database cannot be dumped: {problem}")
        asked.note("it is kept as it is, under another name")
        return None, problem
    finally:
        database.close()
    return made.name, ""


def _compared_and_carried(present: Present, server: Server, fresh: Filled) -> Loss | None:
    if present.is_empty or present.rows is None:
        return None if present.is_empty else Loss(None, {})
    names = dict.fromkeys([*present.rows, *fresh.rows])
    counts = {name: (present.rows.get(name, 0), fresh.rows.get(name, 0)) for name in names}
    rows = {name: both for name, both in counts.items() if both[0] != both[1]}
    vods = None
    with (
        suppress(VodtenderError),
        connect(server.dsn, autocommit=True) as old,
        connect(fresh.dsn, autocommit=True) as new,
    ):
        vods = restored.vods_between(old, new)
        restored.carry_over(old, new)
    return Loss(vods, rows)


# --- the change ---------------------------------------------------------------------------


def _made_fit(fresh: Filled, source: Source, asked: Asked) -> None:
    """In the new database before anybody sees it, so that it is there at once or not at all."""
    with _transaction(fresh) as connection:
        restored.freshen(connection)
        audit.record(
            connection,
            actor=asked.actor,
            action="restore",
            target="database",
            after={"backup": source.where, "made_at": source.made_at},
            reason=asked.reason,
        )


@contextmanager
def _transaction(fresh: Filled) -> Iterator[Connection]:
    database = Database(lambda: fresh.dsn)
    try:
        with database.transaction(timeout_seconds=3600) as connection:
            yield connection
    finally:
        database.close()


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
