"""YouTube's day: its quota starts anew at midnight Pacific time.

Source: https://developers.google.com/youtube/v3/getting-started#quota
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_STANDARD = timedelta(hours=-8)
_DAYLIGHT = timedelta(hours=-7)

_BEGINNING = timedelta(minutes=30)
_FIRST_PAUSE = timedelta(minutes=1)


def pacific_day(now: datetime) -> date:
    """The day, in Pacific time, that a unit spent at `now` is counted against."""
    return now.astimezone(_pacific()).date()


def next_reset(now: datetime) -> datetime:
    """The next midnight Pacific time after `now`, in UTC."""
    return _midnight(pacific_day(now) + timedelta(days=1))


def is_beginning(now: datetime) -> bool:
    """Whether YouTube may still mean the day before when it says that a quota is used up: its
    clock and ours differ, and its counters do not all begin anew at once."""
    return now - _midnight(pacific_day(now)) < _BEGINNING


def ask_again_at(now: datetime) -> datetime:
    """When to ask again once YouTube has said that the day's quota is used up: the next reset.
    In the beginning of a day soon, and then more and more rarely, since each try counts."""
    if not is_beginning(now):
        return next_reset(now)
    midnight = _midnight(pacific_day(now))
    return midnight + max(_FIRST_PAUSE, 4 * (now - midnight))


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=_pacific()).astimezone(UTC)


def project_of(client_id: str | None) -> str:
    """The Google project whose quota an OAuth client uses: the number before the dash."""
    number = (client_id or "").partition("-")[0]
    return number if number.isdigit() else client_id or "unknown"


def _pacific() -> tzinfo:
    try:
        return ZoneInfo("America/Los_Angeles")
    except ZoneInfoNotFoundError:
        return PacificByRule()


class PacificByRule(tzinfo):
    """Pacific time from the rule of the Energy Policy Act of 2005, for systems that have no
    time zone database: daylight time from the second Sunday of March, 02:00, to the first
    Sunday of November, 02:00. The hour that comes twice in November is taken as the first.
    """

    def utcoffset(self, moment: datetime | None) -> timedelta:
        return _STANDARD + self.dst(moment)

    def dst(self, moment: datetime | None) -> timedelta:
        if moment is None:
            return timedelta(0)
        local = moment.replace(tzinfo=None)
        begins = datetime.combine(_sunday(local.year, 3, 2), time(2))
        ends = datetime.combine(_sunday(local.year, 11, 1), time(2))
        return _DAYLIGHT - _STANDARD if begins <= local < ends else timedelta(0)

    def tzname(self, moment: datetime | None) -> str:
        return "PDT" if self.dst(moment) else "PST"

    def fromutc(self, moment: datetime) -> datetime:
        begins = datetime.combine(_sunday(moment.year, 3, 2), time(2)) - _STANDARD
        ends = datetime.combine(_sunday(moment.year, 11, 1), time(2)) - _DAYLIGHT
        daylight = begins <= moment.replace(tzinfo=None) < ends
        return moment + (_DAYLIGHT if daylight else _STANDARD)


def _sunday(year: int, month: int, number: int) -> date:
    """The first, second … Sunday of a month."""
    first = date(year, month, 1)
    return first + timedelta(days=(6 - first.weekday()) % 7 + 7 * (number - 1))
