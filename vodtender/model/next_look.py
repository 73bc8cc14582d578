"""When a channel is looked at next."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from vodtender.errors import RateLimited, Transient, VodtenderError
from vodtender.model.backoff import Backoff

_SHORT_PAUSE = timedelta(minutes=2)
_ANOTHERS_PAUSE = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class NextLook:
    """`settled`: what looking can bring now, it has brought; `run --drain` waits for no more."""

    pause: timedelta
    settled: bool


def after_look(
    error: VodtenderError | None,
    failures: int,
    *,
    interval: timedelta,
    backoff: Backoff,
    now: datetime,
    jitter: float,
) -> NextLook:
    """What follows a look that ended in `error`, the last of so many failures in a row; None: it
    went well.

    What passes by itself is tried again soon, a few times, as a VOD would be. Everything else
    has to be mended by somebody, and the usual interval will do.
    """
    if isinstance(error, RateLimited):
        pause = max(error.until - now, timedelta(seconds=1))
        return NextLook(pause, settled=pause > _SHORT_PAUSE or not backoff.is_quick(failures))
    if isinstance(error, Transient) and backoff.is_quick(failures):
        return NextLook(min(backoff.wait(failures, jitter), interval), settled=False)
    return NextLook(interval, settled=True)


def after_anothers_look(interval: timedelta) -> NextLook:
    """What follows when another worker was found looking: it may have died in the middle, and
    nobody knows what it has seen. Its lease ends soon, one way or the other."""
    return NextLook(min(_ANOTHERS_PAUSE, interval), settled=False)
