"""YouTube's day, also on the two days of the year that have not 24 hours."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vodtender.model import quota
from vodtender.model.quota import (
    PacificByRule,
    ask_again_at,
    next_reset,
    pacific_day,
    project_of,
)

NAME = "America/Los_Angeles"
ZONES: list[tzinfo] = [PacificByRule()]
"""Bare machines have no time zone database, and there the rule is all there is."""
if NAME in available_timezones():
    ZONES.append(ZoneInfo(NAME))

moments = st.integers(0, 50 * 366 * 86_400).map(
    lambda seconds: datetime(2010, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
)


@pytest.fixture(params=ZONES, ids=lambda zone: type(zone).__name__, autouse=True)
def _pacific(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quota, "_pacific", lambda: request.param)


@pytest.mark.parametrize(
    ("moment", "day", "reset"),
    [
        # Winter: midnight is 08:00 UTC. Summer: 07:00.
        ("2026-01-15T07:59:59", "2026-01-14", "2026-01-15T08:00:00"),
        ("2026-01-15T08:00:00", "2026-01-15", "2026-01-16T08:00:00"),
        ("2026-07-15T06:59:59", "2026-07-14", "2026-07-15T07:00:00"),
        ("2026-07-15T07:00:00", "2026-07-15", "2026-07-16T07:00:00"),
        # 8 March 2026 has 23 hours.
        ("2026-03-08T07:59:59", "2026-03-07", "2026-03-08T08:00:00"),
        ("2026-03-08T08:00:00", "2026-03-08", "2026-03-09T07:00:00"),
        ("2026-03-08T09:59:59", "2026-03-08", "2026-03-09T07:00:00"),
        ("2026-03-08T10:00:00", "2026-03-08", "2026-03-09T07:00:00"),
        ("2026-03-09T06:59:59", "2026-03-08", "2026-03-09T07:00:00"),
        ("2026-03-09T07:00:00", "2026-03-09", "2026-03-10T07:00:00"),
        # 1 November 2026 has 25.
        ("2026-11-01T06:59:59", "2026-10-31", "2026-11-01T07:00:00"),
        ("2026-11-01T07:00:00", "2026-11-01", "2026-11-02T08:00:00"),
        ("2026-11-01T08:30:00", "2026-11-01", "2026-11-02T08:00:00"),
        ("2026-11-01T09:30:00", "2026-11-01", "2026-11-02T08:00:00"),
        ("2026-11-02T07:59:59", "2026-11-01", "2026-11-02T08:00:00"),
        ("2026-11-02T08:00:00", "2026-11-02", "2026-11-03T08:00:00"),
        # The year's last day is over eight hours later there.
        ("2027-01-01T07:59:59", "2026-12-31", "2027-01-01T08:00:00"),
    ],
)
def test_the_day_and_its_end(moment: str, day: str, reset: str) -> None:
    now = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    assert pacific_day(now) == date.fromisoformat(day)
    assert next_reset(now) == datetime.fromisoformat(reset).replace(tzinfo=UTC)


def test_a_moment_is_the_same_in_whichever_zone_it_is_said() -> None:
    utc = datetime(2026, 3, 8, 9, 30, tzinfo=UTC)
    elsewhere = utc.astimezone(timezone(timedelta(hours=5, minutes=45)))
    assert pacific_day(elsewhere) == pacific_day(utc)
    assert next_reset(elsewhere) == next_reset(utc)


@given(now=moments)
def test_the_reset_is_the_first_moment_of_the_next_day(now: datetime) -> None:
    reset = next_reset(now)
    assert now < reset <= now + timedelta(hours=25)
    assert pacific_day(reset) == pacific_day(now) + timedelta(days=1)
    assert pacific_day(reset - timedelta(microseconds=1)) == pacific_day(now)


@given(now=moments)
def test_a_refusal_never_waits_longer_than_the_day(now: datetime) -> None:
    assert now < ask_again_at(now) <= next_reset(now)


def test_in_a_days_first_half_hour_a_refusal_is_not_taken_for_the_whole_day() -> None:
    """Five tries at the most: each counts as one of the day's uploads."""
    now = midnight = datetime(2026, 11, 25, 8, tzinfo=UTC)
    tries = [timedelta(0)]
    while ask_again_at(now) != next_reset(now):
        now = ask_again_at(now)
        tries.append(now - midnight)
    assert tries == [timedelta(minutes=minutes) for minutes in (0, 1, 4, 16, 64)]
    assert ask_again_at(midnight - timedelta(seconds=1)) == midnight


@given(now=moments)
def test_the_rule_agrees_with_the_zone_database(now: datetime) -> None:
    there = [now.astimezone(zone) for zone in ZONES]
    by_rule, *known = [(moment.replace(tzinfo=None), moment.tzname()) for moment in there]
    assert all(one == by_rule for one in known)


@pytest.mark.parametrize(
    ("client_id", "project"),
    [
        ("123-abc.apps.googleusercontent.com", "123"),
        ("abc", "abc"),
        ("", "unknown"),
        (None, "unknown"),
    ],
)
def test_the_project_is_the_number_before_the_dash(client_id: str | None, project: str) -> None:
    assert project_of(client_id) == project
