"""Backups come at their hours, are made up for, and are tried again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from vodtender.model.backup_schedule import Due, LastTry, due

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def at_two(after: datetime) -> datetime | None:
    """Daily at two."""
    today = after.replace(hour=2, minute=0, second=0, microsecond=0)
    return today if today > after else today + timedelta(days=1)


def at(hour: float, day: int = 23) -> datetime:
    return datetime(2026, 11, day, tzinfo=UTC) + timedelta(hours=hour)


@pytest.mark.parametrize(
    ("began", "now", "expected"),
    [
        (at(2), at(2.5), None),
        (at(2), at(1.9, 24), None),
        (at(2), at(2, 24), Due.ANEW),
        (at(2), at(9, 26), Due.ANEW),  # nobody was there for days
        (at(1.9), at(2), Due.ANEW),  # made by hand shortly before
    ],
)
def test_a_good_one_holds_until_the_next_hour(
    began: datetime, now: datetime, expected: Due | None
) -> None:
    last = LastTry(began, began + MINUTE, 0)
    assert due(last, NOON, at_two, now) is expected


def test_where_nobody_has_tried_the_first_hour_counts() -> None:
    assert due(None, at(12), at_two, at(1.9, 24)) is None
    assert due(None, at(12), at_two, at(2, 24)) is Due.ANEW


@pytest.mark.parametrize(
    ("failures", "rest_minutes"), [(1, 5), (2, 10), (3, 20), (4, 40), (5, 60), (2000, 60)]
)
def test_one_that_failed_is_tried_again_ever_more_rarely(failures: int, rest_minutes: int) -> None:
    last = LastTry(at(2), at(3), failures)
    assert due(last, NOON, at_two, at(3) + (rest_minutes - 1) * MINUTE) is None
    assert due(last, NOON, at_two, at(3) + rest_minutes * MINUTE) is Due.AGAIN


def test_the_next_hour_does_not_wait_for_the_rest_after_a_failure() -> None:
    last = LastTry(at(1), at(1.9), 9)
    assert due(last, NOON, at_two, at(1.95)) is None
    assert due(last, NOON, at_two, at(2)) is Due.ANEW


def test_a_schedule_that_is_over_is_never_due_but_for_what_failed() -> None:
    assert due(LastTry(at(2), at(3), 0), NOON, lambda _after: None, at(2, 28)) is None
    assert due(LastTry(at(2), at(3), 1), NOON, lambda _after: None, at(2, 28)) is Due.AGAIN
