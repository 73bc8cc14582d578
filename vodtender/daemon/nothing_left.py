"""Is there anything left to do? What `run --drain` waits for."""

from __future__ import annotations

from enum import Enum

from vodtender.daemon.lanes import Gate
from vodtender.pipeline.workplace import Workplace
from vodtender.store import breaker, channels, pause, queue
from vodtender.store.database import clock


class Verdict(Enum):
    """`NO_ROOM`: only downloads are left, and nothing that goes on would make room for them."""

    BUSY = "busy"
    DONE = "done"
    NO_ROOM = "no_room"


def nothing_left(place: Workplace, gate: Gate, *, patient: bool) -> Verdict:
    """Whether this worker has nothing in hand and nothing to take. If `patient`, what waits for
    a short time only counts as something to do. Raises DatabaseUnavailable."""
    too_large = set(place.room.too_large_now())
    with place.database.transaction() as connection:
        now = clock(connection)
        breakers = breaker.all_breakers(connection)
        willing = [
            c.channel
            for c in channels.all_channels(connection)
            if c.channel not in breakers
            or breakers[c.channel].state == "closed"
            or breakers[c.channel].may_probe(now)
        ]
        paused = pause.get(connection) is not None
        uploads = place.accounts.uploads_wanted(connection)
        found = queue.outlook(
            connection,
            worker_id=place.worker_id,
            directory_id=place.directory.id,
            channels=willing,
            too_large=tuple(too_large),
        )
    if found.in_hand or place.at_work:
        return Verdict.BUSY
    if gate.draining.is_set():
        return Verdict.DONE
    checks_or_uploads = uploads and (found.checks or (found.uploads and not paused))
    if checks_or_uploads or (patient and found.short_waits):
        return Verdict.BUSY
    if paused or not (found.downloads or found.too_large):
        return Verdict.DONE
    if found.downloads and not place.room.why_none():
        return Verdict.BUSY
    # What ended since the disk was measured may have made room.
    made_room = set(place.room.too_large_now()) != too_large
    may_fit = made_room or (patient and place.room.may_fit_soon)
    return Verdict.BUSY if may_fit else Verdict.NO_ROOM
