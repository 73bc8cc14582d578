"""When a server that asks for a pause lets us come back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

_LONGEST_WAIT = timedelta(days=1)


def moment_to_return(headers: Mapping[str, str], now: datetime) -> datetime | None:
    """When, if an answer's headers say so; never before `now`, at most a day on.

    Reads `Retry-After` (RFC 9110, section 10.2.3: seconds or an HTTP date) and Twitch's
    `Ratelimit-Reset` (Unix time; https://dev.twitch.tv/docs/api/guide/#rate-limits), whatever
    the case of their names.
    """
    lowered = {name.lower(): value for name, value in headers.items()}
    moment = _delay(lowered.get("retry-after", ""), now)
    if moment is None:
        moment = _epoch(lowered.get("ratelimit-reset", ""))
    if moment is None:
        return None
    return min(max(moment, now), now + _LONGEST_WAIT)


def _delay(value: str, now: datetime) -> datetime | None:
    text = value.strip()
    if text.isascii() and text.isdigit():
        return now + timedelta(seconds=min(int(text[:9]), 10**8))
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _epoch(value: str) -> datetime | None:
    try:
        return datetime.fromtimestamp(float(value), tz=UTC)
    except (ValueError, OverflowError, OSError):
        return None
