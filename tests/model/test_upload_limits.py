"""The day's limits, and the day itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vodtender.model.quota import PacificByRule, next_reset, pacific_day
from vodtender.model.upload_limits import Limits, is_backfill, why_wait

NOON = datetime(2026, 7, 1, 19, tzinfo=UTC)
RESET = datetime(2026, 7, 2, 7, tzinfo=UTC)
LIMITS = Limits(uploads=5, backfill_uploads=2, units=10_000, upload_cost_units=1600, spread=False)


@dataclass(frozen=True)
class Spent:
    units: int = 0
    uploads: int = 0
    backfill_uploads: int = 0
    last_upload_at: datetime | None = None


@pytest.mark.parametrize(
    ("spent", "backfill", "names"),
    [
        (Spent(uploads=4), False, None),
        (Spent(uploads=5), False, "UPLOAD_DAILY_LIMIT"),
        (Spent(uploads=2, backfill_uploads=2), False, None),
        (Spent(uploads=2, backfill_uploads=2), True, "BACKFILL_UPLOAD_DAILY_LIMIT"),
        (Spent(units=8400), False, None),
        (Spent(units=8401), False, "YT_QUOTA_UNITS_PER_DAY"),
    ],
)
def test_what_is_used_up_is_named_and_waits_for_the_reset(
    spent: Spent, backfill: bool, names: str | None
) -> None:
    wait = why_wait(LIMITS, spent, backfill=backfill, now=NOON)
    if names is None:
        assert wait is None
    else:
        assert wait is not None
        assert names in wait.reason
        assert "quota" in wait.reason
        assert wait.until == RESET


def test_spread_uploads_wait_their_share_of_the_day_and_no_longer_than_it_lasts() -> None:
    spread = Limits(uploads=4, backfill_uploads=4, units=10_000, upload_cost_units=1, spread=True)

    def until(last: datetime) -> datetime | None:
        wait = why_wait(spread, Spent(uploads=1, last_upload_at=last), backfill=False, now=NOON)
        return wait.until if wait else None

    assert until(NOON) == NOON + timedelta(hours=6)
    assert until(NOON - timedelta(hours=6)) is None
    late = RESET - timedelta(hours=1)
    wait = why_wait(spread, Spent(uploads=1, last_upload_at=late), backfill=False, now=late)
    assert wait is not None
    assert wait.until == RESET


def test_old_vods_are_the_back_catalog() -> None:
    assert not is_backfill(NOON - timedelta(days=7), 7, NOON)
    assert is_backfill(NOON - timedelta(days=7, seconds=1), 7, NOON)


@pytest.mark.parametrize(
    ("moment", "day", "reset"),
    [
        ("2026-07-02T06:59:59", date(2026, 7, 1), "2026-07-02T07:00:00"),
        ("2026-07-02T07:00:00", date(2026, 7, 2), "2026-07-03T07:00:00"),
        ("2026-01-02T07:59:59", date(2026, 1, 1), "2026-01-02T08:00:00"),
        # The nights in which the clocks change: days of 23 and of 25 hours.
        ("2026-03-08T08:00:00", date(2026, 3, 8), "2026-03-09T07:00:00"),
        ("2026-11-01T07:00:00", date(2026, 11, 1), "2026-11-02T08:00:00"),
    ],
)
def test_the_day_begins_at_midnight_in_california(moment: str, day: date, reset: str) -> None:
    now = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    assert pacific_day(now) == day
    assert next_reset(now) == datetime.fromisoformat(reset).replace(tzinfo=UTC)


@settings(deadline=None)
@given(st.datetimes(datetime(2010, 1, 1), datetime(2037, 1, 1)))  # noqa: DTZ001 - made UTC below
def test_without_a_time_zone_database_the_rule_says_the_same(moment: datetime) -> None:
    now = moment.replace(tzinfo=UTC)
    theirs = now.astimezone(ZoneInfo("America/Los_Angeles"))
    assert now.astimezone(PacificByRule()).replace(tzinfo=None) == theirs.replace(tzinfo=None)
