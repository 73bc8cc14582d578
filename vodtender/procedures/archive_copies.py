"""What lies in the archive: listing it, having it back, and looking whether it is still there."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from vodtender.config.settings import Settings
from vodtender.errors import Locked, NotFound, Stopped
from vodtender.model.archive import ArchivedFile
from vodtender.model.vod import Vod
from vodtender.pipeline.archive_moves import bring_back, give_back
from vodtender.pipeline.archive_shelf import Shelves, Thawing
from vodtender.pipeline.claimed_vod import ClaimedVod
from vodtender.pipeline.workplace import Workplace
from vodtender.procedures.archive import workplace
from vodtender.procedures.progress import Stop, Tell, never, silent
from vodtender.procedures.vod_change import unknown
from vodtender.store import archive, audit, vods
from vodtender.store.database import Database

_LOOK_AGAIN_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Listed:
    """A copy, and its VOD; None: the VOD is not in the database any more."""

    copy: ArchivedFile
    vod: Vod | None

    @property
    def state(self) -> str:
        """`archived`, `here, too`, `stale` (the VOD has another file by now), `lost`."""
        if self.copy.problem is not None:
            return "lost"
        if self.vod is not None and not self.copy.is_copy_of(self.vod):
            return "stale"
        if self.vod is not None and self.vod.downloaded_path is not None:
            return "here, too"
        return "archived"


def listed(database: Database) -> list[Listed]:
    """All copies, what was archived last before others."""
    with database.transaction() as connection:
        copies = archive.find(connection)
        known = {vod.twitch_vod_id: vod for vod in vods.by_numbers(connection, _ids(copies))}
    return [Listed(copy, known.get(copy.vod_id)) for copy in copies]


def _ids(copies: Sequence[ArchivedFile]) -> list[str]:
    return [copy.vod_id for copy in copies]


# --- having one back ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fetched:
    """`path` is where the file lies now; or `thawing` says when it can be had."""

    copy: ArchivedFile
    path: Path | None
    thawing: Thawing | None
    was_here: bool = False


def fetch(
    database: Database,
    settings: Settings,
    vod_id: str,
    *,
    tier: str | None,
    wait: bool,
    dry_run: bool,
    actor: str,
    tell: Tell = silent,
    should_stop: Stop = never,
) -> Fetched:
    """Puts a VOD's archived file back into DATA_DIR and proves it, asking for it first where
    its class wants that. `database` must be one for threads.

    Raises:
        NotFound: no such VOD, or none in the archive.
        Locked: somebody else has the VOD in hand.
        LostCopyError, and what the archive answers.
        VodtenderError: no room on the disk (code `disk_full`).
        Stopped: while waiting for the archive.
    """
    vod, copy = _wanted(database, vod_id)
    if vod.downloaded_path is not None:
        return Fetched(copy, Path(vod.downloaded_path), None, was_here=True)
    if dry_run:
        return Fetched(copy, None, None)
    with workplace(database, settings) as place:
        while True:
            found = _fetch_once(
                place, vod, copy, tier=tier or settings.archive_tier, actor=actor, tell=tell
            )
            if found.thawing is None or not wait:
                return found
            tell("waiting for the archive", 0, copy.size_bytes)
            _pause(should_stop)
            copy = _wanted(database, vod_id)[1]


def _wanted(database: Database, vod_id: str) -> tuple[Vod, ArchivedFile]:
    with database.transaction() as connection:
        vod = vods.get(connection, vod_id)
        copy = archive.get(connection, vod_id)
    if vod is None:
        raise unknown(vod_id)
    if copy is None:
        raise NotFound(
            f"The archive has no file of VOD {vod_id}.",
            hint="vodtender archive list",
            code="not_archived",
        )
    return vod, copy


def _fetch_once(
    place: Workplace, vod: Vod, copy: ArchivedFile, *, tier: str, actor: str, tell: Tell
) -> Fetched:
    with place.database.transaction() as connection:
        taken = archive.claim(
            connection,
            vod.id,
            place.worker_id,
            directory_id=None,
            lease_seconds=place.settings.lease_seconds,
        )
    if taken is None:
        raise Locked(
            f"VOD {vod.twitch_vod_id} is being worked on just now.",
            hint=f"vodtender vods show {vod.twitch_vod_id}",
            code="vod_in_hand",
        )
    try:
        with ClaimedVod(place, taken) as claimed:
            found = bring_back(
                place,
                claimed,
                copy,
                tier=tier,
                actor=actor,
                told=lambda done: tell("fetching", done, copy.size_bytes),
            )
    finally:
        give_back(place, taken)
    if isinstance(found, Thawing):
        return Fetched(copy, None, found)
    return Fetched(copy, found, None)


def _pause(should_stop: Stop) -> None:
    until = time.monotonic() + _LOOK_AGAIN_SECONDS
    while time.monotonic() < until:
        if should_stop():
            raise Stopped("stopped while the archive was waited for")
        time.sleep(min(0.5, _LOOK_AGAIN_SECONDS))


# --- is it still there? ---------------------------------------------------------------------


def verify(
    database: Database,
    settings: Settings,
    vod_ids: Sequence[str],
    *,
    limit: int | None,
    read: bool,
    actor: str,
    tell: Tell = silent,
) -> list[ArchivedFile]:
    """Looks at these copies, or at all, those first that were looked at longest ago, and
    remembers what is amiss. Their `problem` is what was found now.

    Raises:
        NotFound: one of these was never archived.
        Refused: the archive's disk is away (code `archive_not_mounted`); nothing is lost by that.
        Answer: as the store says.
    """
    with database.transaction() as connection:
        copies = (
            archive.find(connection, vod_ids) if vod_ids else archive.by_check(connection, limit)
        )
    missing = set(vod_ids) - {copy.vod_id for copy in copies}
    if missing:
        raise NotFound(
            f"The archive has no file of VOD {', '.join(sorted(missing))}.",
            hint="vodtender archive list",
            code="not_archived",
        )
    shelves = Shelves(settings)
    total = sum(copy.size_bytes for copy in copies)
    done, looked = 0, []
    for copy in copies:
        before = done
        problem = shelves.of(copy).problem_of(
            copy,
            read=read,
            progress=lambda count, before=before: tell("looking", before + count, total),  # type: ignore[misc]
        )
        done += copy.size_bytes
        tell("looking", done, total)
        _remember(database, copy, problem, actor)
        looked.append(replace(copy, problem=problem, checked_at=datetime.now(UTC)))
    return looked


def _remember(database: Database, copy: ArchivedFile, problem: str | None, actor: str) -> None:
    """What is new of it is in the audit, too."""
    with database.transaction(actor=actor) as connection:
        if not archive.looked(connection, copy, problem) or problem == copy.problem:
            return
        audit.record(
            connection,
            actor=actor,
            action="archive verify",
            target=copy.vod_id,
            before={"archived_to": copy.place, "problem": copy.problem},
            after={"archived_to": copy.place, "problem": problem},
        )
