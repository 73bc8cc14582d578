"""Base backups, and archiving the log after them, so that any moment can be restored.

Only of the embedded server: of any other the files, and a place that it can archive to, are not
ours to reach.
"""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from vodtender import __version__
from vodtender.clients import pg_tools
from vodtender.clients.postgres import server as postgres_server
from vodtender.clients.postgres import wal_archive
from vodtender.config.settings import Settings
from vodtender.errors import Refused, VodtenderError
from vodtender.model.base_backup import WAL, Base, superfluous
from vodtender.pipeline.backup_shelf import LocalShelf, translated
from vodtender.pipeline.base_shelf import BaseShelf
from vodtender.pipeline.directory import POSTGRES_NAME
from vodtender.procedures.opening import open_embedded, require_embedded
from vodtender.procedures.progress import Stop, Tell, never, silent
from vodtender.store import audit, wal
from vodtender.store.database import Connection, Database, connect
from vodtender.store.database import translated as database_translated

_ARCHIVED_SECONDS = 60.0
_LOOK_SECONDS = 0.05
_LEAST_FREE_BYTES = 256 << 20

Note = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class BaseMade:
    """A good base backup. `removed` are the names of older ones that went, with so many files of
    the log that only they needed."""

    base: Base
    path: Path
    removed: list[str]
    wal_files: int
    wal_bytes: int


def other_server(what: str) -> Refused:
    """For whoever wants of another server what only works with the embedded one."""
    return Refused(
        f"{what} works with the embedded database only: DB_DSN names a server whose files and log"
        " vodtender cannot reach.",
        hint="on the server's machine, set up before (WAL archiving): pgBackRest"
        " (pgbackrest restore --type=time --target=TIME), WAL-G or Barman\n"
        "a hosted server: its provider's point-in-time recovery\n"
        "the last dump before a moment: vodtender backup list",
        code="no_point_in_time",
    )


def follow_setting(settings: Settings, note: Note) -> None:
    """Has the embedded server archive its log, or not, as BACKUP_WAL says; it is restarted where
    that is new. Nothing happens with a DB_DSN.

    Raises DatabaseUnavailable, SettingsError.
    """
    if settings.dsn is not None:
        return
    directory = settings.data_dir / POSTGRES_NAME
    shelf = BaseShelf(settings.backup_directory)
    with ExitStack() as stack:
        server = open_embedded(settings, stack)
        assert server is not None
        with connect(server.admin_dsn, autocommit=True) as admin, database_translated():
            is_on = wal.is_on(admin)
            if is_on and not settings.backup_wal:
                archive = wal_archive.archive_of(directory)
                with suppress(VodtenderError):  # at least what there is until now, if that can be
                    archived_until_now(admin, archive)
        with translated(settings.backup_directory):
            if not settings.backup_wal:
                new = wal_archive.leave_off(directory)
                told = "archives its log no more: BACKUP_WAL is not set"
            else:
                new = begin_archiving(shelf, directory)
                told = f"archives its log in {shelf.directory / WAL}"
        if new or is_on != settings.backup_wal:
            note(f"the embedded database {told}; it is restarted for that")
            postgres_server.restart(directory)


def begin_archiving(shelf: BaseShelf, directory: Path) -> bool:
    """Has the server in `directory` archive its log from its next start on, and remembers that
    until now it did not; whether that is new. Raises OSError."""
    system_id = wal_archive.system_id(directory)
    if system_id is not None and not wal_archive.is_told(directory):
        shelf.mark_left_off(system_id, datetime.now(UTC))
    return wal_archive.archive_to(directory, shelf.directory / WAL)


def make_base(
    settings: Settings,
    *,
    actor: str,
    reason: str | None = None,
    note: Note,
    tell: Tell = silent,
    should_stop: Stop = never,
) -> BaseMade:
    """Copies the running cluster's files, verifies the copy, and removes what is not needed any
    more: base backups beyond BACKUP_BASE_KEEP, and the log before the oldest that stays.

    Raises:
        Refused: another server (code `no_point_in_time`), or BACKUP_WAL is not set (`wal_off`).
        Locked: a backup is under way.
        VodtenderError: the log is not archived, or there is no room; nothing was removed.
        DatabaseUnavailable, SettingsError, ToolFailedError, Stopped.
    """
    if settings.dsn is not None:
        raise other_server("A base backup")
    if not settings.backup_wal:
        raise Refused(
            "BACKUP_WAL is not set, so the log after a base backup would be lost, and with it"
            " every moment but one.",
            hint="set BACKUP_WAL=1, for the daemon, too; then: vodtender backup base",
            code="wal_off",
        )
    require_embedded(settings)
    shelf = BaseShelf(settings.backup_directory)
    with LocalShelf(settings.backup_directory).locked():
        shelf.prepare()
        follow_setting(settings, note)
        with ExitStack() as stack:
            server = open_embedded(settings, stack)
            assert server is not None
            base = _made(settings, shelf, server.admin_dsn, tell, should_stop)
            return _settled(shelf, base, settings, server.dsn, (actor, reason))


def archived_until_now(admin: Connection, archive: Path) -> None:
    """Has everything until now in the archive. Raises VodtenderError (code `wal_not_archived`)."""
    with database_translated():
        began_at = wal.now(admin)
        name = wal.close_segment(admin)
        deadline = time.monotonic() + _ARCHIVED_SECONDS
        while not (wal.is_archived(admin, name) and (archive / name).exists()):
            failed_at = wal.standing(admin).failed_at
            has_failed = failed_at is not None and failed_at > began_at
            if has_failed or time.monotonic() > deadline:
                raise VodtenderError(
                    f"The server cannot archive its log in {archive}; the server keeps it until it"
                    " can.",
                    hint=f"is there room, and may it write there? (df -h {archive})\n"
                    "what it says: the end of DATA_DIR/postgres/log\n"
                    "after a change of BACKUP_DIR: vodtender db restart",
                    code="wal_not_archived",
                )
            time.sleep(_LOOK_SECONDS)


def _made(
    settings: Settings, shelf: BaseShelf, admin_dsn: str, tell: Tell, should_stop: Stop
) -> Base:
    began = time.monotonic()
    system_id = wal_archive.system_id(settings.data_dir / POSTGRES_NAME) or ""
    with connect(admin_dsn, autocommit=True) as admin, database_translated():
        archived_until_now(admin, shelf.wal(system_id))
        size_bytes = wal.cluster_bytes(admin)
        _require_room(shelf, size_bytes)
        name = shelf.free_name(wal.now(admin))
        tell("copying", 0, size_bytes)
        with translated(shelf.directory):
            copied = wal_archive.copy_cluster(
                pg_tools.embedded(), admin_dsn, shelf.temporary(name), should_stop=should_stop
            )
            base = Base(
                name=name,
                made_at=wal.now(admin).astimezone(UTC),
                system_id=copied.system_id,
                timeline=copied.timeline,
                begin=copied.begin,
                end=copied.end,
                segment_bytes=wal.segment_bytes(admin),
                size_bytes=copied.size_bytes,
                server_version=admin.info.server_version,
                program_version=__version__,
                host=socket.gethostname(),
                seconds=round(time.monotonic() - began, 3),
            )
            shelf.add(base)
        tell("copying", size_bytes, size_bytes)
    return base


def _require_room(shelf: BaseShelf, size_bytes: int) -> None:
    free = shutil.disk_usage(shelf.directory).free
    if free < size_bytes + _LEAST_FREE_BYTES:
        raise VodtenderError(
            f"There is no room for a base backup in {shelf.directory}: the cluster has"
            f" {size_bytes >> 20} MiB, and {free >> 20} MiB are free.",
            hint=f"make room (df -h {shelf.directory}), or set BACKUP_DIR to another disk",
            code="backup_disk_full",
        )


def _settled(
    shelf: BaseShelf, base: Base, settings: Settings, dsn: str, who: tuple[str, str | None]
) -> BaseMade:
    """It is in the audit, and what it makes needless is gone."""
    with translated(shelf.directory):
        going = superfluous(shelf.entries(), settings.backup_base_keep)
        for one in going:
            shelf.remove(one)
        files, size_bytes = shelf.remove_needless(shelf.entries(), base.system_id)
    made = BaseMade(base, shelf.path(base.name), [one.name for one in going], files, size_bytes)
    database = Database(lambda: dsn)
    try:
        with database.transaction(actor=who[0]) as connection:
            audit.record(
                connection,
                actor=who[0],
                action="backup base",
                target=base.name,
                after={"size_bytes": base.size_bytes, "removed": made.removed},
                reason=who[1],
            )
    finally:
        database.close()
    return made


def is_due(settings: Settings, now: datetime) -> bool:
    """Whether the last base backup is older than BACKUP_BASE_INTERVAL, or the log after it does
    not lead to now."""
    shelf = BaseShelf(settings.backup_directory)
    with translated(shelf.directory):
        found = shelf.chains(wal_archive.own_log(settings.data_dir / POSTGRES_NAME))
    bases = shelf.entries()
    if not bases or now - bases[0].made_at >= settings.backup_base_interval:
        return True
    return not found or found[0].is_broken
