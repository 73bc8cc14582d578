"""Moving VOD files to the archive, and knowing how it stands there."""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from vodtender import log
from vodtender.config.settings import Settings
from vodtender.errors import (
    DatabaseUnavailable,
    Stopped,
    Transient,
    VodtenderError,
)
from vodtender.model import archive as rules
from vodtender.model.archive import ArchivePolicy
from vodtender.model.retention import why_only_copy
from vodtender.model.vod import Vod
from vodtender.pipeline.accounts import Accounts
from vodtender.pipeline.archive_moves import Fate, Moved, Mover
from vodtender.pipeline.archive_shelf import Shelves
from vodtender.pipeline.directory import DataDirectory, open_directory
from vodtender.pipeline.prune import ranked
from vodtender.pipeline.room import DownloadRoom
from vodtender.pipeline.workplace import Workplace
from vodtender.procedures.progress import Stop, Tell, never, silent
from vodtender.store import archive, claims, files
from vodtender.store.database import Database, clock

_log = log.get("archive")

_PARTS_IN_MEMORY = 7
"""For all files that move at the same time; of each, one is being read."""
_TRANSIENT_IN_A_ROW = 3
"""After so many files failed one after the other, the archive counts as away."""
_OF_ONE_FILE = frozenset({"failed", "file_changed", "disk", "archive_taken"})
"""What says nothing of other files."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Every VOD's file in DATA_DIR with what becomes of it; the oldest are moved first.
    `costs` is what a person should know before."""

    target: str
    storage_class: str | None
    files: list[Moved]
    costs: list[str]

    @property
    def going(self) -> list[Moved]:
        """Those that are moved."""
        return [file for file in self.files if file.fate is Fate.MOVED]


@dataclass(frozen=True, slots=True)
class Run:
    """What a run has done. `failure` is why it ended before it was through."""

    files: list[Moved]
    failure: VodtenderError | None = None

    @property
    def failed(self) -> list[Moved]:
        return [file for file in self.files if file.fate is Fate.FAILED]


def plan(
    database: Database, settings: Settings, *, include_waiting: bool, limit: int | None
) -> Plan:
    """What would be done; nothing is. Raises SettingsError where there is no archive, and
    Refused (`archive_not_mounted`) where its disk is away."""
    _check(database, settings, Shelves(settings))
    directory = open_directory(settings.data_dir)
    found, vods = _judged(database, directory, settings, include_waiting=include_waiting)
    found = _limited(found, limit)
    going = [file for file in found if file.fate is Fate.MOVED]
    waiting = sum(why_only_copy(vods[file.vod_id]) is not None for file in going)
    storage_class = None if settings.archive_s3_url is None else settings.archive_storage_class
    sizes = [file.size_bytes for file in going]
    costs = [] if storage_class is None else rules.costs(storage_class, sizes, waiting=waiting)
    return Plan(_target(settings), storage_class, found, costs)


def run(
    database: Database,
    settings: Settings,
    *,
    include_waiting: bool,
    limit: int | None,
    actor: str,
    reason: str | None,
    tell: Tell = silent,
    should_stop: Stop = never,
) -> Run:
    """Moves what goes, several files at a time. `database` must be one for threads.

    What one file fails with is noted, and the others go on; what concerns all of them (no
    access, no bucket, a full disk, no database) ends the run. Raises what `plan` does.
    """
    shelves = Shelves(settings)
    _check(database, settings, shelves)
    with workplace(database, settings) as place:
        found, vods = _judged(database, place.directory, settings, include_waiting=include_waiting)
        found = _limited(found, limit)
        going = [vods[file.vod_id] for file in found if file.fate is Fate.MOVED]
        lanes = max(1, min(settings.archive_concurrency, len(going)))
        mover = Mover(place, shelves, actor, reason, max(1, _PARTS_IN_MEMORY // lanes - 1))
        moving = _Moving(mover, going, tell, should_stop)
        moving.run(lanes)
        if moving.failure is None:
            _sweep(database, shelves)
    stays = [file for file in found if file.fate is Fate.STAYS]
    return Run(stays + moving.done, moving.failure)


def _sweep(database: Database, shelves: Shelves) -> None:
    """What it is not allowed to look for stays; the bucket's rules end it at last."""

    def is_wanted(vod_id: str) -> bool:
        with database.transaction() as connection:
            return archive.is_on_disk(connection, vod_id)

    try:
        shelves.current.sweep(is_wanted)
    except DatabaseUnavailable:
        raise
    except (VodtenderError, OSError) as error:
        _log.debug("unfinished copies stay", why=str(error))


def _check(database: Database, settings: Settings, shelves: Shelves) -> None:
    in_use = False
    if settings.archive_s3_url is None and settings.archive_dir is not None:
        root = settings.archive_dir.absolute()
        with database.transaction() as connection:
            in_use = any(Path(copy.place).parent == root for copy in archive.find(connection))
    shelves.current.check(in_use=in_use)


def _target(settings: Settings) -> str:
    if settings.archive_s3_url is not None:
        return str(settings.archive_s3_url)
    assert settings.archive_dir is not None
    return str(settings.archive_dir.absolute())


def _judged(
    database: Database, directory: DataDirectory, settings: Settings, *, include_waiting: bool
) -> tuple[list[Moved], dict[str, Vod]]:
    policy = ArchivePolicy(
        age_days=settings.archive_age_days,
        keep_days=settings.retention_keep_days,
        keep_count=settings.retention_keep_count,
        include_waiting=include_waiting,
    )
    with database.transaction() as connection:
        now = clock(connection)
        known = files.in_directory(connection, directory.id)
        copies = {copy.vod_id: copy for copy in archive.find(connection)}
    here = [vod for vod in known if os.path.lexists(directory.file_of(vod))]
    killed = set(_killed_commands(directory))
    found = []
    for known_vod, rank in ranked(here):
        vod = _released(known_vod) if known_vod.worker_id in killed else known_vod
        copy = copies.get(vod.twitch_vod_id)
        archived = copy is not None and copy.is_copy_of(vod)
        verdict = rules.judge(vod, rank, policy, now, archived=archived)
        found.append(
            Moved(
                vod.twitch_vod_id,
                directory.file_of(vod),
                vod.file_size_bytes or 0,
                Fate.MOVED if verdict.goes else Fate.STAYS,
                verdict.why,
            )
        )
    return found[::-1], {vod.twitch_vod_id: vod for vod in known}


def _limited(found: list[Moved], limit: int | None) -> list[Moved]:
    """The rest has to wait for the next run."""
    if limit is None:
        return found
    kept, left = [], limit
    for file in found:
        if file.fate is Fate.MOVED and left == 0:
            continue
        left -= file.fate is Fate.MOVED
        kept.append(file)
    return kept


class _Moving:
    """One run: what became of each file, how many bytes have gone of all together, and why it
    ended early if it did."""

    def __init__(self, mover: Mover, going: Sequence[Vod], tell: Tell, should_stop: Stop) -> None:
        self.done: list[Moved] = []
        self.failure: VodtenderError | None = None
        self._mover = mover
        self._going = going
        self._tell = tell
        self._should_stop = should_stop
        self._total = sum(vod.file_size_bytes or 0 for vod in going)
        self._bytes: dict[str, int] = {}
        self._failed_in_a_row = 0
        self._guard = threading.Lock()

    def run(self, lanes: int) -> None:
        with ThreadPoolExecutor(lanes, thread_name_prefix="archive") as pool:
            try:
                for future in [pool.submit(self._move, vod) for vod in self._going]:
                    future.result()
            except BaseException:
                self._mover.place.stopping.set()
                raise

    def _move(self, vod: Vod) -> None:
        place = self._mover.place
        try:
            if self._should_stop():
                raise Stopped("the archive run was stopped")
            if place.stopping.is_set():
                self._add(vod, Fate.STAYS, "not tried: the run ended before its turn")
                return
            outcome = self._mover.move(vod, lambda count: self._told(vod, count))
        except VodtenderError as error:
            self._note(error)
            self._add(vod, Fate.FAILED, error.message)
        except OSError as error:
            self._add(vod, Fate.FAILED, f"{error.filename}: {error.strerror}")
        else:
            with self._guard:
                self.done.append(outcome)
                self._failed_in_a_row = 0

    def _told(self, vod: Vod, count: int) -> None:
        with self._guard:
            self._bytes[vod.twitch_vod_id] = count
            self._tell("archiving", sum(self._bytes.values()), self._total)

    def _note(self, error: VodtenderError) -> None:
        with self._guard:
            self._failed_in_a_row += error.code not in _OF_ONE_FILE
            if _concerns_all(error) or self._failed_in_a_row >= _TRANSIENT_IN_A_ROW:
                self.failure = self.failure or error
                self._mover.place.stopping.set()

    def _add(self, vod: Vod, fate: Fate, why: str) -> None:
        path = self._mover.place.directory.file_of(vod)
        moved = Moved(vod.twitch_vod_id, path, vod.file_size_bytes or 0, fate, why)
        with self._guard:
            self.done.append(moved)


def _concerns_all(error: VodtenderError) -> bool:
    """Whether no other file would fare better."""
    return not isinstance(error, Transient) and error.code not in _OF_ONE_FILE


@contextmanager
def workplace(database: Database, settings: Settings) -> Iterator[Workplace]:
    """Where a command works on VODs as a daemon does: what it holds is free as soon as it has
    ended, however it ends."""
    directory = open_directory(settings.data_dir)
    worker_id = f"{socket.gethostname()}-{os.getpid()}-archive-{secrets.token_hex(3)}"
    lock = directory.register(worker_id)
    place = Workplace(
        settings=settings,
        database=database,
        directory=directory,
        worker_id=worker_id,
        accounts=Accounts(settings, database),
        room=DownloadRoom(directory, settings.disk_reserve),
    )
    try:
        _bury_the_dead(place)
        yield place
    finally:
        place.stopping.set()
        directory.unregister(worker_id)
        os.close(lock)


def _bury_the_dead(place: Workplace) -> None:
    """Ends the claims of a command that was killed here, as a daemon does with its heartbeat."""
    for worker_id in _killed_commands(place.directory):
        with place.database.transaction() as connection:
            claims.release_all(connection, worker_id)
        place.directory.unregister(worker_id)


def _killed_commands(directory: DataDirectory) -> Iterator[str]:
    """What they claimed is theirs no more, and no plan may count on it."""
    return (name for name in directory.dead_workers() if "-archive-" in name)


def _released(vod: Vod) -> Vod:
    return replace(vod, worker_id=None, lease_expires_at=None)
