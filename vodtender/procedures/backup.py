"""Making backups and looking after them.

A backup is made under a temporary name, on the disk, read back to its end, named, copied to S3
and proven there. Only when all of that has succeeded does anything old go.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from vodtender import __version__
from vodtender.config.redaction import redact
from vodtender.config.settings import Settings
from vodtender.errors import Locked, NotFound, PartlyDone, Refused, VodtenderError
from vodtender.model.backup import (
    Fate,
    Judged,
    Manifest,
    Retention,
    is_name,
    judge,
    name_of,
)
from vodtender.pipeline.backup_shelf import Entry, LocalShelf, S3Shelf, private, translated
from vodtender.procedures.change import Change
from vodtender.store import audit, backups
from vodtender.store.database import Database, connect
from vodtender.store.database import translated as database_translated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vodtender.clients.pg_tools import Tools
    from vodtender.store.backups import Snapshot
    from vodtender.store.database import Connection

LATEST = "latest"

Tell = Callable[[str, int, int], object]
"""Told what is done now ("dumping"), how many bytes of how many."""


def _silent(_phase: str, _done: int, _total: int) -> None:
    pass


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Fallen:
    """What retention makes of one backup in one place (`local` or `s3`)."""

    place: str
    name: str
    fate: Fate
    why: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Made:
    """A good backup. `s3_url` is None where no copy is wanted; `not_removed` says what of the
    old ones could not be removed."""

    manifest: Manifest
    path: Path
    s3_url: str | None
    removed: list[Fallen]
    not_removed: list[str]


@dataclass(frozen=True, slots=True)
class Listed:
    """One backup, here and in S3; None: not there."""

    name: str
    local: Entry | None
    s3: Entry | None

    @property
    def manifest(self) -> Manifest | None:
        """From wherever there is one."""
        for entry in (self.local, self.s3):
            if entry is not None and entry.manifest is not None:
                return entry.manifest
        return None


@dataclass(frozen=True, slots=True)
class Shelves:
    """Where the backups of these settings lie."""

    local: LocalShelf
    s3: S3Shelf | None


def shelves(settings: Settings) -> Shelves:
    """Opens them; nothing is asked yet. Raises SettingsError."""
    local = LocalShelf(settings.backup_directory)
    if settings.backup_s3_url is None:
        return Shelves(local, None)
    from vodtender.clients.s3 import open_store

    return Shelves(local, S3Shelf(open_store(settings), settings.backup_s3_url))


# --- making one -------------------------------------------------------------------------


def back_up(
    database: Database,
    settings: Settings,
    *,
    actor: str,
    tell: Tell = _silent,
    should_stop: Callable[[], bool] = _never,
) -> Made:
    """Makes a backup, copies it, and removes old ones. Whatever comes of it is recorded.

    Raises:
        Locked: somebody else is at it in this BACKUP_DIR.
        Refused: behind a pooler (code `pooler`), or pg_dump is too old (`pg_tools_missing`).
        DatabaseUnavailable, SettingsError, Stopped, and what S3 answers. Then nothing was
        removed; when a good dump lies in BACKUP_DIR all the same, the message says so.
    """
    making = _Making(database, settings, actor, tell, should_stop)
    try:
        found = shelves(settings)
        with found.local.locked():
            found.local.sweep()
            making.make(found)
            removed, not_removed = _remove_old(database, settings, found, actor=actor, reason=None)
            return making.made(found, removed, not_removed)
    except Locked:
        raise  # whoever holds the lock records what comes of it
    except BaseException as error:
        making.record_failure(error)
        raise


def safety_copy(
    database: Database, settings: Settings, *, actor: str, tell: Tell = _silent
) -> Manifest:
    """A backup of what a restore is about to replace: here only, nothing old goes for it, and it
    is never what `latest` means. Raises what `back_up` does."""
    shelf = LocalShelf(settings.backup_directory)
    with shelf.locked():
        shelf.sweep()
        making = _Making(database, settings, actor, tell, _never)
        return making.dumped(shelf, before_restore=True)


@dataclass(slots=True)
class _Making:
    database: Database
    settings: Settings
    actor: str
    tell: Tell
    should_stop: Callable[[], bool]
    _began_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    _manifest: Manifest | None = None
    _s3_url: str | None = None
    _is_recorded: bool = False

    def make(self, found: Shelves) -> None:
        """A good backup wherever it is wanted, and a record of it."""
        self._manifest = self.dumped(found.local)
        if found.s3 is not None:
            self._s3_url = self._copied(found.local, found.s3, self._manifest)
        self._record(problem=None)
        self._is_recorded = True

    def made(self, found: Shelves, removed: list[Fallen], not_removed: list[str]) -> Made:
        assert self._manifest is not None
        path = found.local.path(self._manifest.name)
        return Made(self._manifest, path, self._s3_url, removed, not_removed)

    def record_failure(self, error: BaseException) -> None:
        """Unless the backup is good and recorded. The database may be what has failed."""
        if not self._is_recorded:
            with suppress(VodtenderError):
                self._record(problem=_told(error))

    def dumped(self, shelf: LocalShelf, *, before_restore: bool = False) -> Manifest:
        """A good backup on the disk."""
        dsn = self.settings.direct_dsn or self.database.dsn
        with connect(dsn) as connection, database_translated():
            _refuse_pooler(connection)
            snapshot = backups.export_snapshot(connection)
            self._began_at = snapshot.taken_at
            tools = tools_for(self.settings, dsn, snapshot.server_version)
            name = _free_name(shelf, snapshot.taken_at)
            manifest = self._written(shelf, name, connection, snapshot, (tools, dsn))
            manifest = replace(manifest, before_restore=before_restore)
        # The snapshot, which holds back vacuum, is no longer needed.
        try:
            with translated(shelf.directory):
                self._read_back(shelf, tools, manifest)
                shelf.add(manifest)
        except BaseException:
            shelf.temporary(name).unlink(missing_ok=True)
            raise
        return manifest

    def _written(
        self,
        shelf: LocalShelf,
        name: str,
        connection: Connection,
        snapshot: Snapshot,
        server: tuple[Tools, str],
    ) -> Manifest:
        """The dump under its temporary name, and its manifest. Rows are counted meanwhile."""
        from vodtender.clients import dump

        began = time.monotonic()
        tools, dsn = server
        total = snapshot.raw_bytes
        with (
            translated(shelf.directory),
            ThreadPoolExecutor(1, thread_name_prefix="count") as counter,
            open(shelf.temporary(name), "wb", opener=private) as target,
        ):
            counting = counter.submit(backups.row_counts, connection)
            try:
                done = dump.dump(
                    tools,
                    dsn,
                    snapshot.id,
                    target,
                    progress=lambda so_far: self.tell("dumping", so_far, max(total, so_far)),
                    should_stop=self.should_stop,
                )
            except BaseException:
                shelf.temporary(name).unlink(missing_ok=True)
                connection.cancel()
                raise
            rows = counting.result()
        return Manifest(
            name=name,
            made_at=snapshot.taken_at.astimezone(UTC).replace(microsecond=0),
            size_bytes=done.size_bytes,
            raw_bytes=done.raw_bytes,
            sha256=done.sha256,
            crc32=done.crc32,
            rows=rows,
            schema_version=snapshot.schema_version,
            server_version=snapshot.server_version,
            program_version=__version__,
            database=snapshot.database,
            host=socket.gethostname(),
            seconds=round(time.monotonic() - began, 3),
        )

    def _read_back(self, shelf: LocalShelf, tools: Tools, manifest: Manifest) -> None:
        from vodtender.clients import dump

        dump.read_back(
            tools,
            shelf.temporary(manifest.name),
            sha256=manifest.sha256,
            progress=lambda done: self.tell("reading back", done, manifest.size_bytes),
            should_stop=self.should_stop,
        )

    def _copied(self, shelf: LocalShelf, s3: S3Shelf, manifest: Manifest) -> str:
        try:
            at = s3.add(
                shelf.path(manifest.name),
                manifest,
                storage_class=self.settings.backup_storage_class,
                progress=lambda done: self.tell("uploading", done, manifest.size_bytes),
                should_stop=self.should_stop,
            )
        except VodtenderError as error:
            where = shelf.path(manifest.name)
            error.message += f" {where} is good; it has no copy in S3, and nothing was removed."
            error.args = (error.message,)
            raise
        return str(at)

    def _record(self, *, problem: str | None) -> None:
        manifest = self._manifest
        run = backups.Run(
            began_at=self._began_at,
            ended_at=datetime.now(UTC),
            host=socket.gethostname(),
            name=None if manifest is None else manifest.name,
            size_bytes=None if manifest is None else manifest.size_bytes,
            s3_url=self._s3_url,
            problem=problem,
        )
        with self.database.transaction(actor=self.actor) as connection:
            backups.record(connection, run)


def _free_name(shelf: LocalShelf, taken_at: datetime) -> str:
    """Two in one second: the second takes the next free name."""
    while shelf.path(name_of(taken_at)).exists():
        taken_at += timedelta(seconds=1)
    return name_of(taken_at)


def _told(error: BaseException) -> str:
    if isinstance(error, VodtenderError):
        return redact(error.message)
    return f"it was interrupted ({type(error).__name__})"


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


# --- looking at them --------------------------------------------------------------------


def listed(settings: Settings) -> list[Listed]:
    """All backups, the newest first. Raises what S3 answers, SettingsError."""
    found = shelves(settings)
    local = {entry.name: entry for entry in found.local.entries()}
    s3 = {entry.name: entry for entry in (found.s3.entries() if found.s3 else [])}
    names = sorted({*local, *s3}, reverse=True)
    return [Listed(name, local.get(name), s3.get(name)) for name in names]


@dataclass(frozen=True, slots=True)
class Verified:
    """A backup that was read to its end and is what it was when it was made."""

    manifest: Manifest
    place: str
    seconds: float


def verify(
    settings: Settings,
    name: str,
    *,
    from_s3: bool = False,
    tell: Tell = _silent,
    should_stop: Callable[[], bool] = _never,
) -> Verified:
    """Reads a backup to its end: the local one, else (or with `from_s3`) the one in S3.

    Raises NotFound, DamagedBackupError, Refused (`pg_tools_missing`, `archived`), and what S3
    answers.
    """
    from vodtender.clients import dump
    from vodtender.clients.dump import DamagedBackupError

    began = time.monotonic()
    found = shelves(settings)
    with _at_hand(found, name, from_s3, tell, should_stop) as (entry, path, place):
        if entry.manifest is None or entry.problem is not None:
            raise DamagedBackupError(
                f"{entry.name} is no good backup: {entry.problem}.",
                hint="make another one now: vodtender backup",
            )
        manifest = entry.manifest
        tools = _newest_tools(manifest.server_version)
        with translated(found.local.directory):
            dump.read_back(
                tools,
                path,
                sha256=manifest.sha256,
                progress=lambda done: tell("reading", done, manifest.size_bytes),
                should_stop=should_stop,
            )
    return Verified(manifest, place, round(time.monotonic() - began, 3))


@contextmanager
def _at_hand(
    found: Shelves, name: str, from_s3: bool, tell: Tell, should_stop: Callable[[], bool]
) -> Iterator[tuple[Entry, Path, str]]:
    """The backup's entry and a file of it, fetched to BACKUP_DIR for the while if need be."""
    local = None if from_s3 else _named(found.local.entries(), name)
    if local is not None:
        yield local, found.local.path(local.name), "local"
        return
    entry = _named(found.s3.entries(), name) if found.s3 is not None else None
    if entry is None or found.s3 is None:
        raise no_such(name)
    import tempfile

    with translated(found.local.directory), tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / entry.name
        found.s3.store.download(
            found.s3.prefix / entry.name,
            path,
            progress=lambda done: tell("downloading", done, entry.size_bytes),
            should_stop=should_stop,
        )
        yield entry, path, "s3"


def _named(entries: list[Entry], name: str) -> Entry | None:
    """The one of that name; `latest` is the newest good one."""
    if name == LATEST:
        good = [
            one
            for one in entries
            if one.problem is None and one.manifest is not None and not one.manifest.before_restore
        ]
        return max(good, key=lambda one: one.manifest.made_at, default=None)  # type: ignore[union-attr]
    return next((one for one in entries if one.name == name), None)


def no_such(name: str) -> NotFound:
    """For a name that is nowhere."""
    what = "There is no good backup yet." if name == LATEST else f"There is no backup {name}."
    return NotFound(what, hint="vodtender backup list", code="no_backup")


def _newest_tools(server_version: int) -> Tools:
    """Whatever can read a dump of that version; no database is asked."""
    from vodtender.clients import pg_tools
    from vodtender.errors import DatabaseUnavailable

    found = pg_tools.installed("pg_restore")
    with suppress(DatabaseUnavailable):
        found.append(pg_tools.embedded())
    major = server_version // 10000
    if fitting := [tools for tools in found if tools.major >= major]:
        return min(fitting, key=lambda tools: tools.major)
    raise pg_tools.missing(major, found, "pg_restore")


# --- letting them go --------------------------------------------------------------------


def plan_prune(settings: Settings) -> list[Fallen]:
    """What retention makes of each backup now; nothing is done."""
    return _judged(settings, shelves(settings))


def prune(
    database: Database, settings: Settings, *, actor: str, reason: str | None
) -> list[Fallen]:
    """Removes what retention lets go, and moves what it archives.

    Raises Locked; PartlyDone when some of it could not be done.
    """
    found = shelves(settings)
    with found.local.locked():
        removed, failed = _remove_old(database, settings, found, actor=actor, reason=reason)
    if failed:
        raise PartlyDone("\n".join(["Not removed:", *failed]), code="partly_pruned")
    return removed


def _judged(settings: Settings, found: Shelves) -> list[Fallen]:
    now = datetime.now(UTC)
    in_s3 = _good(found.s3.entries()) if found.s3 is not None else {}
    here = _good(found.local.entries())
    fallen = []
    for one in judge((e.manifest for e in here.values() if e.manifest), _rules(settings), now):
        fate, why = one.fate, one.why
        if fate is Fate.ARCHIVED and found.s3 is None:
            fate = Fate.STAYS
        elif fate is Fate.ARCHIVED:
            fate, why = _month_here(one, one.name in in_s3)
        fallen.append(Fallen("local", one.name, fate, why, here[one.name].size_bytes))
    for one in judge((e.manifest for e in in_s3.values() if e.manifest), _rules(settings), now):
        entry, fate = in_s3[one.name], one.fate
        if fate is Fate.ARCHIVED and entry.storage_class == settings.backup_archive_storage_class:
            fate = Fate.STAYS
        fallen.append(Fallen("s3", one.name, fate, one.why, entry.size_bytes))
    return fallen


def _month_here(one: Judged, is_in_s3: bool) -> tuple[Fate, str]:
    """The local file of a month's backup: S3 keeps that, so this one may go."""
    if is_in_s3:
        return Fate.GOES, f"{one.why}, which S3 keeps"
    return Fate.STAYS, f"{one.why}, and has no copy in S3"


def _good(entries: list[Entry]) -> dict[str, Entry]:
    return {one.name: one for one in entries if one.manifest is not None and one.problem is None}


def _rules(settings: Settings) -> Retention:
    return Retention(
        timedelta(days=settings.backup_retention_days),
        settings.backup_min_keep,
        timedelta(days=settings.backup_archive_days),
    )


def _remove_old(
    database: Database, settings: Settings, found: Shelves, *, actor: str, reason: str | None
) -> tuple[list[Fallen], list[str]]:
    """What went, and what did not, with why. Each that went is in the audit."""
    removed, failed = [], []
    try:
        judged = _judged(settings, found)
    except VodtenderError as error:
        return [], [error.message]
    for one in judged:
        if one.fate is Fate.STAYS:
            continue
        try:
            with translated(found.local.directory):
                _apply(one, settings, found)
        except VodtenderError as error:
            failed.append(f"{one.name} ({one.place}): {error.message}")
            continue
        with database.transaction(actor=actor) as connection:
            audit.record(
                connection,
                actor=actor,
                action="backup prune",
                target=one.name,
                before={"place": one.place, "size_bytes": one.size_bytes},
                after={"fate": str(one.fate), "why": one.why},
                reason=reason,
            )
        removed.append(one)
    return removed, failed


def _apply(one: Fallen, settings: Settings, found: Shelves) -> None:
    if one.place == "local":
        found.local.remove(one.name)
    elif found.s3 is not None and one.fate is Fate.ARCHIVED:
        found.s3.archive(one.name, settings.backup_archive_storage_class)
    elif found.s3 is not None:
        found.s3.remove(one.name)


def keep(
    database: Database,
    settings: Settings,
    name: str,
    *,
    kept: bool,
    actor: str,
    reason: str | None,
    dry_run: bool,
) -> list[Change]:
    """Marks a backup so that no retention removes it, or takes that back. Raises NotFound."""
    found = shelves(settings)
    with found.local.locked():
        places: list[tuple[str, LocalShelf | S3Shelf]] = [("local", found.local)]
        if found.s3 is not None:
            places.append(("s3", found.s3))
        changes = []
        for place, shelf in places:
            entry = _named(shelf.entries(), name)
            if entry is None or entry.manifest is None:
                continue
            name = entry.name if is_name(entry.name) else name
            before, after = {"kept": entry.manifest.kept}, {"kept": kept}
            change = Change(f"{entry.name} ({place})", before, after)
            if change.changed and not dry_run:
                with translated(found.local.directory):
                    shelf.write_manifest(entry.manifest.keep(kept))
            changes.append(change)
        if not changes:
            raise no_such(name)
        if not dry_run and any(change.changed for change in changes):
            with database.transaction(actor=actor) as connection:
                audit.record(
                    connection,
                    actor=actor,
                    action="backup keep",
                    target=name,
                    before={"kept": not kept},
                    after={"kept": kept},
                    reason=reason,
                )
    return changes


def standing(database: Database, *, timeout_seconds: float = 10) -> backups.Standing:
    """How it stands with backups, as the database remembers it."""
    with database.transaction(timeout_seconds=timeout_seconds) as connection:
        return backups.standing(connection)
