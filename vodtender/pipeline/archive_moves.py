"""One VOD's file on its way to the archive and back.

A file goes only when its copy is proven and stored in the database; so at whatever moment this
is cut off, the file is here, or where the database says. The VOD is claimed meanwhile, as by any
other work: nobody else moves, uploads or prunes it, and who edits it ends that.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from vodtender import log, metrics
from vodtender.clients.ytdlp.workdir import occupied
from vodtender.errors import DatabaseUnavailable, LeaseLost, Stopped, VodtenderError
from vodtender.model.archive import ArchivedFile
from vodtender.model.vod import Vod
from vodtender.pipeline.archive_shelf import LostCopyError, Shelf, Shelves, Thawing, known_copy
from vodtender.pipeline.claimed_vod import ClaimedVod
from vodtender.pipeline.prune import look
from vodtender.pipeline.workplace import Workplace
from vodtender.store import archive, audit, claims, files
from vodtender.store.claims import Progress

_DIRECTION = "archive"
_TEMPORARY = "archived.tmp"
_log = log.get("archive")

Told = Callable[[int], object]
"""Told how many bytes of a file have gone."""


class Fate(StrEnum):
    """What became of a file. In a dry run `MOVED` means that it would be."""

    MOVED = "moved"
    STAYS = "stays"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Moved:
    """One VOD's file and what became of it; `place` is where it lies now."""

    vod_id: str
    path: Path
    size_bytes: int
    fate: Fate
    why: str
    place: str | None = None


@dataclass(frozen=True, slots=True)
class Mover:
    """Moves files to one archive."""

    place: Workplace
    shelves: Shelves
    actor: str
    reason: str | None
    side_by_side: int

    def move(self, vod: Vod, told: Told) -> Moved:
        """Moves one VOD's file, unless somebody has it in hand.

        Raises Answer, SettingsError, Refused, Stopped, DatabaseUnavailable and OSError; then the
        file is where it was.
        """
        path, size_bytes = self.place.directory.file_of(vod), vod.file_size_bytes or 0
        with self.place.database.transaction() as connection:
            taken = archive.claim(
                connection,
                vod.id,
                self.place.worker_id,
                directory_id=self.place.directory.id,
                lease_seconds=self.place.settings.lease_seconds,
            )
        if taken is None:
            return Moved(vod.twitch_vod_id, path, size_bytes, Fate.STAYS, "it is being worked on")
        try:
            with ClaimedVod(self.place, taken) as claimed:
                return self._move(claimed, path, told)
        except (LeaseLost, Stopped):
            if self.place.stopping.is_set():
                raise
            why = "somebody has changed the VOD meanwhile"
            return Moved(vod.twitch_vod_id, path, size_bytes, Fate.STAYS, why)
        finally:
            give_back(self.place, taken)

    def _move(self, claimed: ClaimedVod, path: Path, told: Told) -> Moved:
        vod = claimed.vod
        size_bytes, foreign = look(path, vod)
        if foreign is not None:
            return Moved(vod.twitch_vod_id, path, size_bytes, Fate.STAYS, foreign)
        before = _signature(path)
        copy = self._known_copy(claimed, path) or self._new_copy(claimed, path, told)
        return self._let_go(claimed, path, before, copy)

    def _known_copy(self, claimed: ClaimedVod, path: Path) -> ArchivedFile | None:
        """An earlier copy of this very file, if it is still there and so is the file."""
        copy = known_copy(self.place.database, claimed.vod)
        if copy is None:
            return None
        shelf = self.shelves.of(copy)
        if shelf.problem_of(copy, read=False, progress=lambda _: None) is not None:
            return None
        why = self.place.intact.why_not(path, claimed.vod, claimed.should_stop)
        return copy if why is None else None

    def _new_copy(self, claimed: ClaimedVod, path: Path, told: Told) -> ArchivedFile:
        vod = claimed.vod
        total = vod.file_size_bytes or 0

        def progress(done: int) -> None:
            told(done)
            claimed.report(Progress(_DIRECTION, "to the archive", done, total, None))

        kept = self.shelves.current.keep(
            path,
            vod,
            side_by_side=self.side_by_side,
            progress=progress,
            should_stop=claimed.should_stop,
        )
        now = datetime.now(UTC)
        copy = ArchivedFile(
            vod_id=vod.twitch_vod_id,
            place=kept.place,
            directory_id=kept.directory_id,
            storage_class=kept.storage_class,
            size_bytes=total,
            sha256=vod.file_sha256 or "",
            crc32=kept.crc32,
            etag=kept.etag,
            archived_at=now,
            checked_at=now,
        )
        with self.place.database.transaction(actor=self.actor) as connection:
            claims.lock(connection, claimed.claim)
            archive.put(connection, copy)
            audit.record(
                connection,
                actor=self.actor,
                action="archive",
                target=vod.twitch_vod_id,
                before={"file": path, "archived_to": None},
                after={
                    "file": path,
                    "archived_to": copy.place,
                    "storage_class": copy.storage_class,
                    "sha256": copy.sha256,
                },
                reason=self.reason,
            )
        _log.info("archived", vod=vod.twitch_vod_id, to=copy.place, size_bytes=total)
        return copy

    def _let_go(
        self, claimed: ClaimedVod, path: Path, before: tuple[int, ...], copy: ArchivedFile
    ) -> Moved:
        """The file itself comes last: whatever goes wrong before, it is still there."""
        vod = claimed.vod
        size_bytes = vod.file_size_bytes or 0
        with self.place.database.transaction(actor=self.actor) as connection:
            claims.lock(connection, claimed.claim)
            if _signature(path) != before:
                why = "it has been changed since it was copied"
                return Moved(vod.twitch_vod_id, path, size_bytes, Fate.STAYS, why, copy.place)
            files.removed(connection, vod.id)
            audit.record(
                connection,
                actor=self.actor,
                action="prune",
                target=vod.twitch_vod_id,
                before={"file": path, "size_bytes": size_bytes},
                after={"file": None, "archived_to": copy.place},
                reason=self.reason,
            )
            path.unlink()
        metrics.files_removed.inc()
        _log.info("file removed", vod=vod.twitch_vod_id, path=path, size_bytes=size_bytes)
        return Moved(vod.twitch_vod_id, path, size_bytes, Fate.MOVED, "archived", copy.place)


def give_back(place: Workplace, vod: Vod) -> None:
    """Ends a claim, if it is still good. While the database is away it ends by itself."""
    with suppress(DatabaseUnavailable), place.database.transaction(timeout_seconds=10) as found:
        claims.release(found, claims.Claim(vod.id, place.worker_id, vod.claim))
        claims.hide(found, vod.id)


def _signature(path: Path) -> tuple[int, ...]:
    found = path.lstat()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


# --- back from the archive ----------------------------------------------------------------


def bring_back(
    place: Workplace, claimed: ClaimedVod, copy: ArchivedFile, *, tier: str, actor: str, told: Told
) -> Path | Thawing:
    """Puts a VOD's archived file back into DATA_DIR, under its name, and proves it; or says when
    that can be done, because it had to be asked for first. The copy stays in the archive.

    Raises:
        LostCopyError: there is none any more, which is noted.
        VodtenderError: no room on the disk (code `disk_full`).
        Refused, Answer, LeaseLost, Stopped: as the archive, or whoever holds the VOD, says.
    """
    shelf = Shelves(place.settings).of(copy)
    try:
        thawing = shelf.thaw(copy, tier, datetime.now(UTC))
        if thawing is not None:
            if thawing.asked_now:
                with place.database.transaction() as connection:
                    archive.asked(connection, copy, tier)
            return thawing
        return _fetched(place, claimed, copy, shelf, actor=actor, told=told)
    except LostCopyError as error:
        with place.database.transaction() as connection:
            archive.looked(connection, copy, error.message)
        raise


def _fetched(
    place: Workplace,
    claimed: ClaimedVod,
    copy: ArchivedFile,
    shelf: Shelf,
    *,
    actor: str,
    told: Told,
) -> Path:
    vod = claimed.vod
    _need_room(place, copy.size_bytes)

    def progress(done: int) -> None:
        told(done)
        claimed.report(Progress(_DIRECTION, "from the archive", done, copy.size_bytes, None))

    work = place.directory.work(vod.twitch_vod_id)
    made = work / _TEMPORARY
    try:
        with occupied(work):
            shelf.fetch(copy, made, progress=progress, should_stop=claimed.should_stop)
            with place.database.transaction(actor=actor) as connection:
                claims.lock(connection, claimed.claim)
                path = place.directory.place(made, vod)
                archive.put_back(connection, vod.id, str(path), place.directory.id)
                audit.record(
                    connection,
                    actor=actor,
                    action="archive fetch",
                    target=vod.twitch_vod_id,
                    before={"file": vod.downloaded_path},
                    after={"file": path},
                )
    except OSError as error:
        with suppress(OSError):
            made.unlink(missing_ok=True)
        raise _not_written(place, error) from error
    place.intact.trust(path, copy.sha256)
    place.drop_work(vod)
    _log.info("fetched from the archive", vod=vod.twitch_vod_id, path=path)
    return path


def _need_room(place: Workplace, size_bytes: int) -> None:
    free_bytes = place.directory.room().free_bytes
    if free_bytes < size_bytes + place.room.reserve_bytes:
        raise VodtenderError(
            f"The disk of {place.directory.root} has too little room for the file"
            f" ({size_bytes / 1e9:.1f} GB, {free_bytes / 1e9:.1f} GB are free, and DISK_RESERVE"
            " is left alone).",
            hint="vodtender prune --dry-run",
            code="disk_full",
        )


def _not_written(place: Workplace, error: OSError) -> VodtenderError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return VodtenderError(
            f"The disk of {place.directory.root} is full; what had come was removed again.",
            hint="vodtender prune --dry-run",
            code="disk_full",
        )
    return VodtenderError(
        f"{place.directory.root} cannot be written: {error.strerror or os.strerror(5)}.",
        hint="check that DATA_DIR can be written",
        code="data_dir",
    )
