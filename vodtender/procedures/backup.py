"""Making a backup.

It is made under a temporary name, on the disk, read back to its end, named, copied to S3 and
proven there. Only when all of that has succeeded does anything old go. Taking the dump is in
`backup_dump`, what goes in `backup_prune`, which there are in `backup_list`.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from vodtender.clients.dump import DamagedBackupError
from vodtender.config.redaction import redact
from vodtender.config.settings import Settings
from vodtender.errors import Locked, Stopped, VodtenderError
from vodtender.model.backup import Manifest
from vodtender.pipeline.backup_shelf import LocalShelf, S3Shelf
from vodtender.procedures.backup_dump import take_dump
from vodtender.procedures.backup_list import LATEST, Shelves, named, poorer, shelves
from vodtender.procedures.backup_prune import Fallen, remove_old
from vodtender.procedures.interruption import interrupted
from vodtender.procedures.progress import Stop, Tell, never, silent
from vodtender.store import backups, sessions
from vodtender.store.database import Database
from vodtender.store.sessions import Holder

_LONG_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Made:
    """A good backup. `s3_url` is None where no copy is wanted; `not_removed` says what of the
    old ones could not be removed; `dumps` are those that others were taking when it began;
    `poorer` says that it holds far less than the one before."""

    manifest: Manifest
    path: Path
    s3_url: str | None
    removed: list[Fallen]
    not_removed: list[str]
    dumps: list[Holder]
    poorer: tuple[str, ...] = ()

    @property
    def held_back_long(self) -> bool:
        """Whether vacuum could remove nothing for so long that tables may have grown by it."""
        return self.manifest.seconds > _LONG_SECONDS


def back_up(
    database: Database,
    settings: Settings,
    *,
    actor: str,
    again: bool = False,
    tell: Tell = silent,
    should_stop: Stop = never,
) -> Made:
    """Makes a backup, copies it, and removes old ones. Whatever comes of it is recorded.

    `again`: where only the copy of the last one has failed, that one is copied, and no other
    made.

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
            making.make(found, making.left(found) if again else None)
            removed, not_removed = making.removed_old(found)
            return making.made(found, removed, not_removed)
    except Locked:
        raise  # whoever holds the lock records what comes of it
    except BaseException as error:
        making.record_failure(error)
        if isinstance(error, KeyboardInterrupt):
            raise making.interrupted() from None
        raise


def safety_copy(
    database: Database, settings: Settings, *, tell: Tell = silent, should_stop: Stop = never
) -> Manifest:
    """A backup of what a restore is about to replace: here only, nothing old goes for it, and it
    is never what `latest` means. Raises what `back_up` does."""
    shelf = LocalShelf(settings.backup_directory)
    with shelf.locked():
        shelf.sweep()
        return take_dump(
            database, settings, shelf, tell=tell, should_stop=should_stop, before_restore=True
        )


@dataclass(slots=True)
class _Making:
    database: Database
    settings: Settings
    actor: str
    tell: Tell
    should_stop: Stop
    _began_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    _manifest: Manifest | None = None
    _s3_url: str | None = None
    _is_recorded: bool = False
    _dumps: list[Holder] = field(default_factory=list)

    def left(self, found: Shelves) -> Manifest | None:
        """The backup of the last try, if it lies here and only its copy is missing."""
        with self.database.transaction() as connection:
            last = backups.last_run(connection)
        if found.s3 is None or last is None or last.run.name is None or last.run.s3_url is not None:
            return None
        entry = named(found.local.entries(), last.run.name)
        return None if entry is None or entry.problem is not None else entry.manifest

    def make(self, found: Shelves, there: Manifest | None) -> None:
        """A good backup wherever it is wanted, and a record of it."""
        with self.database.transaction() as connection:
            self._dumps = [one for one in sessions.holders(connection) if one.is_dump]
        self._manifest = there or take_dump(
            self.database,
            self.settings,
            found.local,
            tell=self.tell,
            should_stop=self.should_stop,
        )
        self._began_at = self._manifest.made_at
        if found.s3 is not None:
            self._s3_url = self._copied(found.local, found.s3, self._manifest)
        self._record(problem=None)
        self._is_recorded = True

    def removed_old(self, found: Shelves) -> tuple[list[Fallen], list[str]]:
        """None go for one that lacks rows: an older one may have them."""
        assert self._manifest is not None
        if self._manifest.lost:
            return [], []
        return remove_old(self.database, self.settings, found, actor=self.actor, reason=None)

    def made(self, found: Shelves, removed: list[Fallen], not_removed: list[str]) -> Made:
        assert self._manifest is not None
        path = found.local.path(self._manifest.name)
        others = [one for one in found.local.entries() if one.name != self._manifest.name]
        before = named(others, LATEST)
        return Made(
            *(self._manifest, path, self._s3_url, removed, not_removed, self._dumps),
            poorer=() if before is None else poorer(self._manifest, [before]),
        )

    def record_failure(self, error: BaseException) -> None:
        """Unless the backup is good and recorded. The database may be what has failed."""
        if not self._is_recorded:
            with suppress(VodtenderError):
                self._record(problem=_told(error))

    def interrupted(self) -> Stopped:
        """What is there all the same."""
        if self._manifest is None:
            return interrupted("Interrupted. No backup was made, and nothing was removed.")
        copied = "" if self._is_recorded else " It has no copy in S3, and nothing was removed."
        return interrupted(f"Interrupted. The backup {self._manifest.name} is good.{copied}")

    def _copied(self, shelf: LocalShelf, s3: S3Shelf, manifest: Manifest) -> str:
        try:
            at = s3.add(
                shelf.path(manifest.name),
                manifest,
                storage_class=self.settings.backup_storage_class,
                progress=lambda done: self.tell("uploading", done, manifest.size_bytes),
                should_stop=self.should_stop,
            )
        except DamagedBackupError:
            self._manifest = None  # there is none, here either
            raise
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


def _told(error: BaseException) -> str:
    if isinstance(error, VodtenderError):
        return redact(error.message)
    return f"it was interrupted ({type(error).__name__})"
