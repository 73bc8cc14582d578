"""Another cluster in the place of `data`, so that whatever happens one of the two is there whole.

    data.at-* → data.swap-STAMP;   data → data.before-STAMP;   data.swap-STAMP → data

Whoever is killed on the way leaves `data`, and then the new one is worthless, or none, and then
the new one belongs there. Whoever next starts the server sees to that.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from vodtender.clients.fsync import sync_directory
from vodtender.clients.postgres import locks
from vodtender.clients.postgres.place import Place

_ATTEMPTS = "data.at-*"


def replace(place: Place, made: Path, now: datetime) -> Path | None:
    """`made` becomes `data`; what that is called now, or None: there was none. Only with the
    users' lock and the server lock held, both clusters ended. Raises OSError."""
    stamp = _free_stamp(place, now)
    coming = place.directory / f"data.swap-{stamp}"
    made.rename(coming)
    sync_directory(place.directory, required=True)
    aside = None
    with suppress(OSError):
        place.data.rmdir()  # as an empty one it is worth no name
    if place.data.exists():
        aside = place.directory / f"data.before-{stamp}"
        try:
            place.data.rename(aside)
        except OSError:
            coming.rename(made)  # it is a mount point, for instance
            raise
        sync_directory(place.directory, required=True)
    coming.rename(place.data)
    sync_directory(place.directory, required=True)
    return aside


def complete(place: Place) -> None:
    """Ends what somebody who was killed has begun, and removes what a recovery left that is not
    at work any more. Only with the server lock held. Raises OSError."""
    for coming in place.swapping():
        if place.data.exists():
            shutil.rmtree(coming, ignore_errors=True)
        else:
            coming.rename(place.data)
            sync_directory(place.directory, required=True)
    if not any(place.directory.glob(_ATTEMPTS)):
        return
    recovery = locks.open_lock(place.recovery_lock)
    try:
        if locks.try_lock(recovery, locks.EXCLUSIVE):
            discard_attempts(place)
    finally:
        os.close(recovery)


def discard_attempts(place: Place) -> None:
    """Removes what recoveries have left. Only with the recovery lock held."""
    for leftover in place.directory.glob(_ATTEMPTS):
        shutil.rmtree(leftover, ignore_errors=True)


def _free_stamp(place: Place, now: datetime) -> str:
    while (place.directory / f"data.before-{now:%Y%m%d_%H%M%S}").exists():
        now += timedelta(seconds=1)
    return f"{now:%Y%m%d_%H%M%S}"
