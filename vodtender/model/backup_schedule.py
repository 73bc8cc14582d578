"""When the daemon makes a backup: at its hours, and sooner again after one that failed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

_FIRST_REST = timedelta(minutes=5)
_LONGEST_REST = timedelta(hours=1)

NextHour = Callable[[datetime], datetime | None]
"""The first of the schedule's moments after that one; None: there is none any more."""


class Due(Enum):
    """Why one is to be made now."""

    ANEW = "its hour has come"
    AGAIN = "the last try failed"


@dataclass(frozen=True, slots=True)
class LastTry:
    """The last try to make a backup, whoever made it. `failures` counts those in a row that were
    not all that was wanted, this one included; 0: it was good."""

    began_at: datetime
    ended_at: datetime
    failures: int

    @property
    def counts_from(self) -> datetime:
        """The hours after this one are still to come."""
        return self.ended_at if self.failures else self.began_at


def due(last: LastTry | None, since: datetime, next_hour: NextHour, now: datetime) -> Due | None:
    """Whether one is to be made now. An hour that passed while no daemon was there is made up
    for; `since` is when this daemon began, for where nobody has ever tried."""
    hour = next_hour(since if last is None else last.counts_from)
    if hour is not None and hour <= now:
        return Due.ANEW
    if last is not None and last.failures and now >= last.ended_at + _rest(last.failures):
        return Due.AGAIN
    return None


def _rest(failures: int) -> timedelta:
    return min(_FIRST_REST * 2.0 ** min(failures - 1, 10), _LONGEST_REST)
