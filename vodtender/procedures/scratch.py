"""A backup becomes a database beside the real one: made, filled, counted; gone again unless it
takes the real one's place."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vodtender.clients import restoring
from vodtender.clients.dump import CHANGED, ChangedBackupError, DamagedBackupError
from vodtender.clients.restoring import Contents, Kind
from vodtender.config.settings import Settings
from vodtender.errors import Refused, VodtenderError
from vodtender.model.backup import row_differences
from vodtender.procedures.backup_source import Source
from vodtender.procedures.opening import open_embedded
from vodtender.procedures.progress import Tell
from vodtender.store import backups, databases, loading, migrate, restored
from vodtender.store.database import connect, translated

if TYPE_CHECKING:
    from vodtender.clients.pg_tools import Tools
    from vodtender.store.database import Connection

_OURS = frozenset({"vods", "vod_history", "schema_migrations"})
_MOST_CORES = 8


@dataclass(frozen=True, slots=True)
class Server:
    """The server of the settings. `admin` is connected as somebody who may make databases, to
    another than ours. `name` is that of ours, `dsn` leads to it as our role."""

    name: str
    dsn: str
    admin_dsn: str
    admin: Connection
    tools_are_embedded: bool

    @property
    def scratch(self) -> str:
        return databases.scratch_name(self.name)

    def dsn_of(self, name: str) -> str:
        """As our role to another database of it."""
        return databases.with_name(self.dsn, name)

    def tools(self, program: str) -> Tools:
        """Raises Refused (`pg_tools_missing`)."""
        from vodtender.clients import pg_tools

        if self.tools_are_embedded:
            return pg_tools.embedded()
        return pg_tools.for_server(self.dsn, self.admin.info.server_version, program=program)


@contextmanager
def open_server(settings: Settings, *, create: bool = False) -> Iterator[Server]:
    """Opens it, with the lock that lets one restore or drill at a time through, and removes what
    one that was killed has left. With `create` an embedded one is made where there is none.

    Raises:
        Refused: no role of the settings may make a database (code `no_privilege`).
        Locked: another is under way (code `restore_running`).
        DatabaseUnavailable: no connection.
    """
    with ExitStack() as stack:
        embedded = open_embedded(settings, stack, create=create)
        dsn = embedded.dsn if embedded is not None else settings.direct_dsn or ""
        admin_dsn = embedded.admin_dsn if embedded is not None else settings.db_admin_dsn
        if admin_dsn is None or databases.name_in(admin_dsn) == databases.name_in(dsn):
            admin_dsn = databases.with_name(admin_dsn or dsn, "postgres")
        admin = connect(admin_dsn, autocommit=True)
        stack.callback(admin.close)
        name = databases.name_in(dsn)
        with translated():
            databases.require_rights(admin, databases.role_in(dsn))
            databases.lock(admin, name)
            databases.drop(admin, databases.scratch_name(name))
        yield Server(name, dsn, admin_dsn, admin, embedded is not None)


def look_into(source: Source, server: Server | None, tell: Tell) -> Contents:
    """Everything that can be told of a backup before a database is made for it. None is an
    embedded server that there is not yet.

    Raises:
        DamagedBackupError: its digest is another than in its manifest; it is cut off, empty or
            no dump.
        Refused: it is another program's (code `foreign_backup`); of the Go system
            (`go_backup`); or a newer pg_restore is needed (`pg_tools_missing`).
    """
    if source.manifest is not None:
        found = restoring.digest(
            source.path, lambda done: tell("checking", done, source.size_bytes)
        )
        if found != source.manifest.sha256:
            raise ChangedBackupError(
                f"{source.where} is damaged: {CHANGED}.",
                hint="take another one: vodtender backup list",
            )
    _refuse_newer(source, server)
    contents = restoring.inspect(source.path, _tools(server))
    _refuse_foreign(source, contents)
    return contents


def _tools(server: Server | None) -> Tools:
    from vodtender.clients import pg_tools

    return pg_tools.embedded() if server is None else server.tools("pg_restore")


def _refuse_newer(source: Source, server: Server | None) -> None:
    if source.manifest is not None:
        made_by = source.manifest.server_version // 10000
    else:
        made_by = restoring.made_by(source.path) or 0
    here = _tools(None).major if server is None else server.admin.info.server_version // 10000
    if made_by > here:
        raise Refused(
            f"{source.name} is of PostgreSQL {made_by}, and this server is {here}: only the same"
            " version or a newer one can take it.",
            hint=f"it needs a server of version {made_by} or newer: set DB_DSN to one",
            code="server_too_old",
        )


def _refuse_foreign(source: Source, contents: Contents) -> None:
    if contents.tables >= _OURS:
        return
    if "vods" in contents.tables:
        raise Refused(
            f"{source.name} is a dump of the Go system vod-tender: its tables are called as ours"
            " and are others. vodtender cannot take that one's database over.",
            hint="enter its VODs by their numbers: vodtender add ID",
            code="go_backup",
        )
    there = ", ".join(sorted(contents.tables)[:5]) or "none at all"
    raise Refused(
        f"{source.name} is no backup of vodtender's database. Its tables: {there}.",
        hint="what there is: vodtender backup list",
        code="foreign_backup",
    )


@dataclass(frozen=True, slots=True)
class Filled:
    """A scratch database that holds all of a backup, at the current schema. `rows` are those of
    the backup, before anything was brought up to date; `rights` what became of those of other
    roles."""

    dsn: str
    rows: dict[str, int]
    rights: restored.Rights = restored.NO_RIGHTS


@contextmanager
def filled(source: Source, contents: Contents, server: Server, tell: Tell) -> Iterator[Filled]:
    """The scratch database; it is dropped at the end if it still has its name.

    Raises:
        DamagedBackupError: it cannot be restored, or other rows came out than had gone in.
        DatabaseUnavailable: the connection broke; the schema is a newer program's.
    """
    name = server.scratch
    try:
        with translated():
            databases.create(
                server.admin, name, owner=databases.role_in(server.dsn), like=server.name
            )
        dsn = server.dsn_of(name)
        statements = _load(source, contents, server, dsn, tell)
        with connect(dsn, autocommit=True) as connection, translated():
            restored.be_patient(connection)
            rows = _counted(connection, dsn)
            _compare(source, rows)
            tell("bringing up to date", 0, 1)
            if migrate.migrate_connection(connection, migrate.migrations()):
                restored.analyze(connection)
            rights = restored.give_rights(connection, statements)
            tell("bringing up to date", 1, 1)
        yield Filled(dsn, rows, rights)
    finally:
        with suppress(VodtenderError), translated():
            databases.drop(server.admin, name)


def _load(source: Source, contents: Contents, server: Server, dsn: str, tell: Tell) -> list[str]:
    """What is left are the statements that give other roles their rights."""

    def progress(done: int) -> None:
        tell("restoring", done, source.size_bytes)

    progress(0)
    if contents.kind is Kind.PLAIN:
        return restoring.load_plain(source.path, server.tools("psql"), dsn, progress=progress)
    tools = server.tools("pg_restore")
    with ThreadPoolExecutor(1, thread_name_prefix="rest") as other:
        reading = other.submit(restoring.rest, source.path, tools)
        cores = min(os.cpu_count() or 1, _MOST_CORES)
        try:
            with (
                restoring.rows(source.path, tools, progress=progress) as parts,
                loading.loader(dsn, cores=cores) as loader,
            ):
                loader.load(parts)
                rest = reading.result()
                loader.finish(rest.statements)
        except loading.StatementFailedError as error:
            raise restoring.refused(source.path, error.message) from error
    return rest.rights


def _counted(connection: Connection, dsn: str) -> dict[str, int]:
    """The rows of each table, which are analyzed meanwhile."""

    def analyze() -> None:
        with connect(dsn, autocommit=True) as other, translated():
            restored.be_patient(other)
            restored.analyze(other)

    with ThreadPoolExecutor(1, thread_name_prefix="analyze") as pool:
        analyzing = pool.submit(analyze)
        rows = backups.row_counts(connection)
        analyzing.result()
    return rows


def _compare(source: Source, rows: dict[str, int]) -> None:
    if source.manifest is None:
        return
    differing = row_differences(source.manifest.rows, rows)
    if differing:
        told = ", ".join(f"{name}: {was} and now {now}" for name, (was, now) in differing.items())
        raise DamagedBackupError(
            f"{source.where} holds other rows than when it was made ({told}).",
            hint="take another one: vodtender backup list",
        )
