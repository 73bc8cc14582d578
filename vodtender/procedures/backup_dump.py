"""A dump of the database on this machine's disk: taken, read back to its end, and named."""

from __future__ import annotations

import socket
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import psycopg

from vodtender import __version__
from vodtender.clients.pg_tools import ToolFailedError
from vodtender.config.settings import Settings
from vodtender.errors import Refused
from vodtender.model.backup import Manifest, name_of
from vodtender.pipeline.backup_shelf import LocalShelf, private, translated
from vodtender.procedures.progress import Stop, Tell
from vodtender.store import backups, lost_rows
from vodtender.store.database import Database, connect
from vodtender.store.database import translated as database_translated

if TYPE_CHECKING:
    from vodtender.clients.pg_tools import Tools
    from vodtender.store.backups import Snapshot
    from vodtender.store.database import Connection
    from vodtender.store.lost_rows import Counted


def take_dump(
    database: Database,
    settings: Settings,
    shelf: LocalShelf,
    *,
    tell: Tell,
    should_stop: Stop,
    before_restore: bool = False,
) -> Manifest:
    """A good backup on the shelf, whose lock the caller holds.

    Raises:
        Refused: behind a pooler (code `pooler`), or pg_dump is too old (`pg_tools_missing`).
        DamagedBackupError: the disk does not give back what was written.
        DatabaseUnavailable, ToolFailedError, SettingsError, Stopped.
    """
    dsn = settings.direct_dsn or database.dsn
    taking = _Taking(shelf, dsn, tell, should_stop)
    with connect(dsn) as connection, database_translated():
        _refuse_pooler(connection)
        snapshot = backups.export_snapshot(connection)
        tools = tools_for(settings, dsn, snapshot.server_version)
        name = _free_name(shelf, snapshot.taken_at)
        manifest = taking.written(name, connection, snapshot, tools)
        manifest = replace(manifest, before_restore=before_restore)
    # The snapshot, which holds back vacuum, is no longer needed.
    try:
        with translated(shelf.directory):
            taking.read_back(tools, manifest)
            shelf.add(manifest)
    except BaseException:
        shelf.temporary(name).unlink(missing_ok=True)
        raise
    return manifest


@dataclass(frozen=True, slots=True)
class _Taking:
    shelf: LocalShelf
    dsn: str
    tell: Tell
    should_stop: Stop

    def written(
        self, name: str, connection: Connection, snapshot: Snapshot, tools: Tools
    ) -> Manifest:
        """The dump under its temporary name, and its manifest. Rows are counted meanwhile."""
        from vodtender.clients import dump

        began = time.monotonic()
        total = snapshot.raw_bytes
        with (
            translated(self.shelf.directory),
            ThreadPoolExecutor(1, thread_name_prefix="count") as counter,
            open(self.shelf.temporary(name), "wb", opener=private) as target,
        ):
            counting = counter.submit(lost_rows.count, connection)
            try:
                done = dump.dump(
                    tools,
                    self.dsn,
                    snapshot.id,
                    target,
                    progress=lambda so_far: self.tell("dumping", so_far, max(total, so_far)),
                    should_stop=self.should_stop,
                )
            except BaseException as error:
                self.shelf.temporary(name).unlink(missing_ok=True)
                connection.cancel()
                raise _cause(error, counting) from None
            counted = counting.result()
        return Manifest(
            name=name,
            made_at=snapshot.taken_at.astimezone(UTC).replace(microsecond=0),
            size_bytes=done.size_bytes,
            raw_bytes=done.raw_bytes,
            sha256=done.sha256,
            crc32=done.crc32,
            rows={one.table.name: one.rows for one in counted},
            lost={one.table.name: one.lost for one in counted if one.lost},
            schema_version=snapshot.schema_version,
            server_version=snapshot.server_version,
            program_version=__version__,
            database=snapshot.database,
            host=socket.gethostname(),
            seconds=round(time.monotonic() - began, 3),
        )

    def read_back(self, tools: Tools, manifest: Manifest) -> None:
        from vodtender.clients import dump

        dump.read_back(
            tools,
            self.shelf.temporary(manifest.name),
            sha256=manifest.sha256,
            progress=lambda done: self.tell("reading back", done, manifest.size_bytes),
            should_stop=self.should_stop,
        )


def _cause(error: BaseException, counting: Future[list[Counted]]) -> BaseException:
    """Of a dump that failed: where a table cannot be read, the counting has met that first, and
    has taken the snapshot from the dump."""
    met = counting.exception()
    if not isinstance(error, ToolFailedError):
        return error
    if isinstance(met, psycopg.Error) and not isinstance(met, psycopg.errors.QueryCanceled):
        error.message = f"A table cannot be read: {str(met).strip()}"
        error.args = (error.message,)
    error.hint = (
        "look for damage: vodtender db check\n"
        "take what can be had of it, and go back to the last good one: vodtender restore latest"
        " --replace"
    )
    return error


def _free_name(shelf: LocalShelf, taken_at: datetime) -> str:
    """Two in one second: the second takes the next free name."""
    while shelf.path(name_of(taken_at)).exists():
        taken_at += timedelta(seconds=1)
    return name_of(taken_at)


def _refuse_pooler(connection: Connection) -> None:
    if backups.is_pooled(connection):
        raise Refused(
            "The database is reached through a pooler, which cannot carry a dump: pg_dump changes"
            " settings of sessions that others use after it.",
            hint="set DB_DIRECT_DSN to the address of PostgreSQL itself",
            code="pooler",
        )
    connection.rollback()


def tools_for(settings: Settings, dsn: str, server_version: int) -> Tools:
    """PostgreSQL's programs for the server behind a DSN. Raises Refused (`pg_tools_missing`)."""
    from vodtender.clients import pg_tools

    if settings.direct_dsn is None:
        return pg_tools.embedded()
    return pg_tools.for_server(dsn, server_version)
