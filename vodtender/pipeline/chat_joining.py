"""When a stream's VOD appears, what was recorded of its chat becomes the VOD's."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from vodtender import log
from vodtender.model.liveness import Candidate, vod_of
from vodtender.store import chat_joining
from vodtender.store.chat_joining import Pending
from vodtender.store.database import Database

_AT_ONCE = 5000
_log = log.get("chat")


def join_due(
    database: Database, delay: timedelta, should_stop: Callable[[], bool] = lambda: False
) -> int:
    """Joins the recordings that ended at least `delay` ago and whose VOD has been found;
    returns how many. One that is broken off goes on where it was. Raises DatabaseUnavailable."""
    with database.transaction() as connection:
        found = chat_joining.pending(connection, delay.total_seconds())
    joined = 0
    for pending in found:
        vod = vod_of(pending.stream_id, pending.began_at, pending.candidates)
        if vod is None:
            continue
        moved = _join(database, pending, vod, should_stop)
        if moved is None:
            break
        _log.info("chat joined to its VOD", channel=pending.channel, vod=vod.vod_id, messages=moved)
        joined += 1
    return joined


def _join(
    database: Database, pending: Pending, vod: Candidate, should_stop: Callable[[], bool]
) -> int | None:
    """How many messages were moved; None when it was told to stop."""
    moved = 0
    while not should_stop():
        with database.transaction() as connection:
            some = chat_joining.move_some(connection, pending, vod, _AT_ONCE)
            moved += some
            if some < _AT_ONCE:
                chat_joining.settle(connection, pending, vod)
                return moved
    return None
