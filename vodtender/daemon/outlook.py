"""Is there anything left to do? What `run --drain` waits for."""

from __future__ import annotations

from enum import Enum

from vodtender.daemon.lanes import Gate
from vodtender.pipeline.workplace import Workplace
from vodtender.store import breaker, catalog, claims, pause


class Verdict(Enum):
    """`NO_ROOM`: only downloads are left, and nothing that goes on would make room for them."""

    BUSY = "busy"
    DONE = "done"
    NO_ROOM = "no_room"


def nothing_left(place: Workplace, gate: Gate, *, patient: bool) -> Verdict:
    """Whether this worker has nothing in hand and nothing to take. If `patient`, what waits for
    a short time only counts as something to do. Raises DatabaseUnavailable."""
    with place.database.transaction() as connection:
        now = claims.clock(connection)
        breakers = breaker.all_breakers(connection)
        channels = [
            c.channel
            for c in catalog.channels(connection)
            if c.channel not in breakers
            or breakers[c.channel].state == "closed"
            or breakers[c.channel].may_probe(now)
        ]
        paused = pause.get(connection) is not None
        uploads = place.accounts.uploads_wanted(connection)
        found = claims.outlook(
            connection,
            worker_id=place.worker_id,
            directory_id=place.directory.id,
            channels=channels,
            too_large=tuple(place.room.too_large_now()),
        )
    if found.in_hand or place.at_work:
        return Verdict.BUSY
    if gate.draining.is_set():
        return Verdict.DONE
    if uploads and (found.checks or (found.uploads and not paused)):
        return Verdict.BUSY
    if patient and found.short_waits:
        return Verdict.BUSY
    if paused or not (found.downloads or found.too_large):
        return Verdict.DONE
    return Verdict.BUSY if found.downloads and not place.room.why_none() else Verdict.NO_ROOM
