"""Fetching a VOD's file back from the archive for its upload."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from vodtender import log
from vodtender.errors import DatabaseUnavailable, LeaseLost, Stopped, VodtenderError
from vodtender.model.archive import ArchivedFile
from vodtender.model.outcome import FileGone, Held
from vodtender.model.step import problem_text
from vodtender.model.vod import Waiting
from vodtender.pipeline.archive_moves import bring_back
from vodtender.pipeline.archive_shelf import LostCopyError
from vodtender.pipeline.claimed_vod import ClaimedVod
from vodtender.pipeline.workplace import Workplace
from vodtender.store.database import clock

_LOOK_AGAIN = {"expedited": timedelta(minutes=1)}
_LOOK_AGAIN_ELSE = timedelta(minutes=15)
_log = log.get("archive")


def bring_file(place: Workplace, claimed: ClaimedVod, copy: ArchivedFile) -> Path | Held | FileGone:
    """Fetches a VOD's file back for its upload. What the archive fails with is no failure of the
    VOD: it waits. Raises Stopped, LeaseLost, DatabaseUnavailable."""
    try:
        found = bring_back(
            place,
            claimed,
            copy,
            tier=place.settings.archive_tier,
            actor=place.worker_id,
            told=lambda _done: None,
        )
    except (Stopped, LeaseLost, DatabaseUnavailable):
        raise
    except LostCopyError as error:
        _log.error("an archived file is lost", vod=claimed.vod.twitch_vod_id, place=copy.place)
        return FileGone(error.message)
    except VodtenderError as error:
        return _held(
            place,
            f"its file lies in the archive: {problem_text(error)}",
            error.code,
            place.settings.processing_retry_cooldown,
            Waiting.COOLDOWN,
        )
    if isinstance(found, Path):
        return found
    by = "" if found.ready_by is None else f" by {found.ready_by:%Y-%m-%d %H:%M} UTC"
    return _held(
        place,
        f"its file was asked for from the archive ({found.tier}) and can be read{by}",
        "archive",
        _LOOK_AGAIN.get(found.tier, _LOOK_AGAIN_ELSE),
        Waiting.ARCHIVE,
    )


def _held(place: Workplace, why: str, code: str, pause: timedelta, reason: Waiting) -> Held:
    with place.database.transaction() as connection:
        now = clock(connection)
    return Held(why, code, now + pause, reason)
