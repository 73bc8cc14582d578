"""What fits on YouTube in one piece, and how the rest is cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vodtender.errors import Rejected
from vodtender.model.youtube_parts import LARGEST_BYTES, LONGEST_SECONDS, fits, plan

HOUR = 3600.0


def test_what_fits_is_one_part() -> None:
    [part] = plan(LONGEST_SECONDS, LARGEST_BYTES, split=True)
    assert (part.number, part.of, part.start_seconds) == (1, 1, 0.0)
    assert plan(0.0, 0, split=False) == plan(0.0, 0, split=True)


@pytest.mark.parametrize(
    ("seconds", "size", "says"),
    [(12.5 * HOUR, 10**9, "12.5 h long"), (HOUR, 300 * 10**9, "300 GB")],
)
def test_what_does_not_is_refused_and_the_way_out_named(
    seconds: float, size: int, says: str
) -> None:
    with pytest.raises(Rejected) as caught:
        plan(seconds, size, split=False)
    assert says in caught.value.message
    assert "YT_SPLIT=1" in caught.value.hint
    assert caught.value.code == "too_large"


@pytest.mark.parametrize(
    ("seconds", "size", "count"),
    [
        (LONGEST_SECONDS + 1, 1, 2),
        (24 * HOUR, 1, 3),
        (48 * HOUR, 1, 5),
        (HOUR, LARGEST_BYTES + 1, 2),
        (HOUR, 3 * LARGEST_BYTES, 4),
    ],
)
def test_there_are_as_many_parts_as_are_needed(seconds: float, size: int, count: int) -> None:
    assert len(plan(seconds, size, split=True)) == count


@settings(deadline=None)
@given(st.floats(0, 1000 * HOUR), st.integers(0, 10**14))
def test_parts_cover_everything_and_each_fits_with_room_to_spare(seconds: float, size: int) -> None:
    parts = plan(seconds, size, split=True)
    assert [part.number for part in parts] == list(range(1, len(parts) + 1))
    assert {part.of for part in parts} == {len(parts)}
    assert sum(part.duration_seconds for part in parts) == pytest.approx(seconds)
    for before, after in pairwise(parts):
        end = before.start_seconds + before.duration_seconds
        assert end == pytest.approx(after.start_seconds)
    for part in parts:
        assert fits(part.duration_seconds, size // len(parts))
        if len(parts) > 1:
            # Key frames and uneven bit rates move the cuts.
            assert fits(part.duration_seconds + 120, int(size / len(parts) * 1.1))
