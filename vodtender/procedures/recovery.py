"""Bringing the embedded database to a moment.

A base backup is copied beside the cluster and brought to the moment there, while the old cluster
lies untouched; when it is whole and checked, the two directories change places. The old one stays
under another name until somebody removes it.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from vodtender.clients.postgres import recovery as client
from vodtender.clients.postgres import server as postgres_server
from vodtender.clients.postgres import wal_archive
from vodtender.clients.postgres.recovery import DamagedBaseError, EndedEarlyError, Goal, Recovery
from vodtender.config.settings import Settings
from vodtender.errors import DatabaseUnavailable, NotFound, VodtenderError
from vodtender.model.base_backup import Base, position, segment_number
from vodtender.model.log_reach import Span, ways_to
from vodtender.pipeline.backup_shelf import LocalShelf, missing, translated
from vodtender.pipeline.base_shelf import BaseShelf
from vodtender.pipeline.directory import POSTGRES_NAME, open_directory
from vodtender.procedures.base_backup import archived_until_now, begin_archiving, other_server
from vodtender.procedures.interruption import Replacement, told_if_interrupted
from vodtender.procedures.moments import no_such_moment, spans, told
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
from vodtender.procedures.scratch import Filled, Server, open_server
from vodtender.store import backups, migrate, restored, wal
from vodtender.store.database import connect
from vodtender.store.database import translated as database_translated
from vodtender.store.wal import Progress

_LOOK_SECONDS = 0.1
_LEAST_FREE_BYTES = 256 << 20
_NAME = "vod"


@dataclass(frozen=True, slots=True)
class AskedFor:
    """How an operator wants it. `moment` None is as late as can be. `confirm` is asked before
    anything is replaced, and raises Refused; `note` hears what is waited for."""

    moment: datetime | None
    wait: bool
    dry_run: bool
    actor: str
    reason: str | None
    confirm: Callable[[Present, Base], object]
    note: Callable[[str], object]
    tell: Tell


@dataclass(frozen=True, slots=True)
class Recovered:
    """What was done, or (`seconds` None) would be. `reached_at` is the last change that the
    database shows; `aside` the directory of what was there, empty where nothing was."""

    moment: datetime | None
    reached_at: datetime | None
    base: Base
    rows: dict[str, int]
    loss: Loss | None
    aside: str
    seconds: float | None


def recover(settings: Settings, asked: AskedFor) -> Recovered:
    """Brings the embedded database to a moment.

    Raises:
        NotFound: there is no BACKUP_DIR (code `no_backup`).
        Refused: another server (code `no_point_in_time`); the moment cannot be had
            (`no_such_moment`), with those that can; a daemon is alive (`daemon_alive`); somebody
            uses the database (`in_use`); it was not confirmed. Nothing was changed.
        Locked: a backup or another recovery is under way.
        RecoveryFailedError, ToolFailedError: it did not work; nothing was changed.
        DatabaseUnavailable, SettingsError.
    """
    if settings.dsn is not None:
        raise other_server("Restoring a moment")
    began = time.monotonic()
    shelf = BaseShelf(settings.backup_directory)
    if gone := missing(shelf.directory):
        raise NotFound(
            f"{gone} Nothing was changed.",
            hint="is its disk mounted? set BACKUP_DIR to where the backups are",
            code="no_backup",
        )
    directory = settings.data_dir / POSTGRES_NAME
    ways = _ways(spans(settings), asked.moment)
    if asked.dry_run:

        def rehearse(way: Span) -> Recovered:
            client.require_good(shelf.path(way.base.name))
            return Recovered(asked.moment, None, way.base, {}, None, "", None)

        return _by_the_first_good(ways, rehearse, asked.note)
    with ExitStack() as stack:
        replacement = stack.enter_context(told_if_interrupted())
        stack.enter_context(LocalShelf(settings.backup_directory).locked())
        open_directory(settings.data_dir)
        lock = stack.enter_context(client.recovery_lock(directory))
        old = stack.enter_context(_present(settings, asked))
        if not old.present.is_empty:
            asked.confirm(old.present, ways[0].base)

        def go(way: Span) -> Recovered:
            return _Recovering(settings, asked, shelf, way, directory, replacement, began).run(
                lock, old
            )

        return _by_the_first_good(ways, go, asked.note)


def _ways(found: list[Span], moment: datetime | None) -> list[Span]:
    if moment is not None and moment > datetime.now(UTC):
        raise no_such_moment(found, moment, has_come=False)
    ways = ways_to(moment, found)
    if not ways:
        raise no_such_moment(found, moment)
    return ways


def _by_the_first_good(
    ways: list[Span], go: Callable[[Span], Recovered], note: Callable[[str], object]
) -> Recovered:
    """An older base backup leads there, too, by a longer way."""
    *others, last = ways
    for way in others:
        try:
            return go(way)
        except DamagedBaseError as error:
            note(f"warning: {error.message} An older one is taken.")
    return go(last)


def _require_room(directory: Path, base: Base) -> None:
    free = shutil.disk_usage(directory).free
    if free < base.size_bytes + _LEAST_FREE_BYTES:
        raise VodtenderError(
            f"There is no room for a second cluster in {directory}: it takes"
            f" {base.size_bytes >> 20} MiB, and {free >> 20} MiB are free. Nothing was changed.",
            hint=f"make room: df -h {directory}",
            code="database_disk_full",
        )


@contextmanager
def _system() -> Iterator[None]:
    """What the system refuses becomes an error for people."""
    try:
        yield
    except OSError as error:
        raise client.RecoveryFailedError(
            f"The recovery failed: {error.filename or 'the system'}: {error.strerror}. The database"
            " is as it was.",
            hint="is the disk full, or not writable? df -h",
        ) from error


# --- what is there now --------------------------------------------------------------------


@dataclass(slots=True)
class _Old:
    """The database as it is, and the way to it; `server` None: it does not run, or there is
    none."""

    present: Present
    server: Server | None
    close: Callable[[], object]


@contextmanager
def _present(settings: Settings, asked: AskedFor) -> Iterator[_Old]:
    with ExitStack() as stack:
        if not has_embedded(settings):
            yield _Old(Present(_NAME, False, {}, "", []), None, stack.close)
            return
        try:
            server = stack.enter_context(open_server(settings))
        except DatabaseUnavailable as error:
            asked.note(f"the present database does not run: {error.message}")
            yield _Old(Present(_NAME, True, None, error.message, []), None, stack.close)
            return
        present = without_daemons(server, settings, wait=asked.wait, note=asked.note)
        yield _Old(present, server, stack.close)


# --- the recovery -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Recovering:
    settings: Settings
    asked: AskedFor
    shelf: BaseShelf
    way: Span
    directory: Path
    replacement: Replacement
    began: float

    def run(self, lock: int, old: _Old) -> Recovered:
        base, tell = self.way.base, self.asked.tell
        _require_room(self.directory, base)
        archives = self._archives(old)
        goal = Goal(self.asked.moment, self.way.timeline, archives, self.way.left_off)
        with (
            _system(),
            client.recovering(
                *(self.directory, lock, self.shelf.path(base.name), goal),
                progress=lambda done: tell("copying", done, max(done, base.size_bytes)),
            ) as recovery,
        ):
            reached_at = self._replayed(recovery)
            fresh, timeline = self._made_fit(recovery)
            loss = None
            if old.server is not None:
                loss = compare_and_carry(old.present, old.server, fresh)
                require_unchanged(old.server, self.settings, old.present)
            elif not old.present.is_empty:
                loss = Loss(None, {})
            recovery.end()
            old.close()
            now = datetime.now(UTC)
            self.replacement.begun = True
            self.shelf.mark_timeline(base.system_id, timeline, now)
            aside = postgres_server.replace(self.directory, recovery.path, now)
        self._require_start(aside)
        seconds = round(time.monotonic() - self.began, 3)
        return Recovered(self.asked.moment, reached_at, base, fresh.rows, loss, aside, seconds)

    def _archives(self, old: _Old) -> tuple[Path, ...]:
        """Where the log lies: the archive, which the running server completes now; and what of
        it is in the old cluster only."""
        number = self.way.base.system_id
        archive, own = self.shelf.wal(number), wal_archive.own_log(self.directory)
        with translated(self.shelf.directory):
            archive.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.settings.backup_wal:
                begin_archiving(self.shelf, self.directory)
        if own is None or own.system_id != number:
            return (archive,)
        if old.server is not None and wal.is_on(old.server.admin):
            try:
                archived_until_now(old.server.admin, archive)
            except VodtenderError as error:
                self.asked.note(f"{error.message} It is read from there.")
        return (archive, self.directory.absolute() / "data" / "pg_wal")

    def _replayed(self, recovery: Recovery) -> datetime | None:
        """Waits until it is there; the last change that it shows. Where the log ends before a
        moment that it should lead to, nothing was changed in between."""
        chain, to_the_end = self._chain(), self.asked.moment is None
        while True:
            try:
                reached = self._waited_for(recovery)
            except EndedEarlyError:
                to_the_end = True
                recovery.go_on_to_the_end()
                continue
            if to_the_end:
                self._require_end(reached, chain)
            return reached.at

    def _waited_for(self, recovery: Recovery) -> Progress:
        tell, since = self.asked.tell, self.way.base.made_at
        until = self.asked.moment or datetime.now(UTC)
        total = max(1, int((until - since).total_seconds()))
        at: datetime | None = None
        while True:
            if recovery.answers():
                found = self._progress(recovery)
                at = found.at or at
                done = 0 if at is None else int((at - since).total_seconds())
                tell("replaying", max(0, min(done, total)), total)
                if not found.recovering:
                    return replace(found, at=at)
            time.sleep(_LOOK_SECONDS)

    def _progress(self, recovery: Recovery) -> Progress:
        try:
            with connect(recovery.dsn(), autocommit=True) as connection, database_translated():
                return wal.progress(connection)
        except DatabaseUnavailable:
            return Progress(True, None, None)  # on its way up

    def _chain(self) -> tuple[str, ...]:
        """What is archived on the way, now that it is complete. Raises OSError."""
        way = self.way
        return next(
            one.chain
            for one in self.shelf.chains(wal_archive.own_log(self.directory))
            if (one.base.name, one.timeline) == (way.base.name, way.timeline)
        )

    def _require_end(self, reached: Progress, chain: tuple[str, ...]) -> None:
        """A segment that cannot be read is to a recovery the end of the log."""
        size = self.way.base.segment_bytes
        came_to = 0 if reached.position is None else position(reached.position) // size
        beyond = [name for name in chain if (segment_number(name, size) or 0) >= came_to]
        if len(beyond) > 1:
            last = self.way.base.made_at if reached.at is None else reached.at
            raise client.RecoveryFailedError(
                f"The archived log cannot be read any further than {told(last)}: the segment"
                f" {beyond[0]} is damaged, and what came after would be lost. Nothing was changed.",
                hint=f"vodtender restore --at '{last.astimezone(UTC):%Y-%m-%d %H:%M:%S}'",
            )

    def _made_fit(self, recovery: Recovery) -> tuple[Filled, int]:
        dsn, base = recovery.dsn(), self.way.base
        with connect(dsn, autocommit=True) as connection, database_translated():
            restored.be_patient(connection)
            self.asked.tell("checking", 0, 1)
            rows = backups.row_counts(connection)
            migrate.migrate_connection(connection, migrate.migrations())
            self.asked.tell("checking", 1, 1)
        fresh = Filled(dsn, rows)
        after = {"base": base.name, "moment": self.asked.moment}
        make_fit(fresh, after, actor=self.asked.actor, reason=self.asked.reason)
        with (
            connect(recovery.dsn(admin=True), autocommit=True) as admin,
            database_translated(),
        ):
            return fresh, wal.timeline(admin)

    def _require_start(self, aside: str) -> None:
        try:
            with postgres_server.acquire(self.directory) as server:
                connect(server.dsn).close()
        except DatabaseUnavailable as error:
            error.message += " It was brought to the moment, and does not start."
            if aside:
                error.message += f" What was there is {aside}."
            error.args = (error.message,)
            raise
