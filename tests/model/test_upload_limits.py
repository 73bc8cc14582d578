"""The day's limits."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


def test_any_number_of_days_is_a_number_of_days() -> None:
    assert not is_backfill(NOON - timedelta(days=7), 10**12, NOON)


@given(
    limits=st.builds(
        Limits,
        uploads=st.integers(0, 6),
        backfill_uploads=st.integers(0, 6),
        units=st.integers(0, 10_000),
        upload_cost_units=st.integers(0, 3000),
        spread=st.booleans(),
    ),
    wishes=st.lists(st.tuples(st.booleans(), st.integers(0, 7200)), max_size=40),
)
def test_whoever_waits_as_told_never_exceeds_a_limit_and_is_never_told_to_wait_for_the_past(
    limits: Limits, wishes: list[tuple[bool, int]]
) -> None:
    now, spent = NOON, Spent()
    for backfill, seconds in wishes:
        now += timedelta(seconds=seconds)
        if now >= RESET:
            break
        wait = why_wait(limits, spent, backfill=backfill, now=now)
        if wait is not None:
            assert now < wait.until <= RESET
            continue
        spent = Spent(
            units=spent.units + limits.upload_cost_units,
            uploads=spent.uploads + 1,
            backfill_uploads=spent.backfill_uploads + backfill,
            last_upload_at=now,
        )
        assert spent.units <= limits.units
        assert spent.uploads <= limits.uploads
        assert not backfill or spent.backfill_uploads <= limits.backfill_uploads
