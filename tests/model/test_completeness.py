"""What is accepted as a whole VOD, and what is not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vodtender.model.completeness import (
    Evidence,
    allowed_shortfall_seconds,
    judge,
    judge_playlist,
)

HOUR = 3600.0
WHOLE = Evidence(
    segments_in_playlist=360,
    segments_in_file=360,
    segments_left_out=0,
    playlist_seconds=HOUR,
    left_out_seconds=0,
    file_seconds=HOUR,
    twitch_seconds=HOUR,
)


def test_a_whole_vod_is_complete() -> None:
    assert judge(WHOLE).complete


@pytest.mark.parametrize("hours", [1, 12, 24, 48])
@pytest.mark.parametrize("drift_seconds_an_hour", [0.5, 2, 10])
def test_lengths_drift_over_long_vods(hours: int, drift_seconds_an_hour: float) -> None:
    """±2 seconds refuses whole VODs (twitch-archiver #40)."""
    seconds = hours * HOUR
    drifted = replace(
        WHOLE,
        playlist_seconds=seconds - hours * drift_seconds_an_hour,
        file_seconds=seconds - hours * drift_seconds_an_hour * 1.5,
        twitch_seconds=seconds,
    )
    assert judge(drifted).complete


@pytest.mark.parametrize("unknown", [None, 0.0, -1.0])
def test_twitch_saying_nothing_or_zero_is_no_witness(unknown: float | None) -> None:
    assert judge(replace(WHOLE, twitch_seconds=unknown)).complete


def test_a_playlist_longer_than_twitch_says_loses_nothing() -> None:
    assert judge(replace(WHOLE, twitch_seconds=HOUR / 2)).complete


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"segments_in_file": 359}, "segments_missing"),
        ({"segments_in_file": 361}, "segments_missing"),
        ({"segments_in_file": 0, "segments_left_out": 360}, "segments_missing"),
        ({"twitch_seconds": HOUR + 600}, "too_short"),
        ({"twitch_seconds": 36 * HOUR, "playlist_seconds": 10 * HOUR}, "too_short"),
        ({"file_seconds": HOUR - 120}, "file_too_short"),
        ({"file_seconds": 0.0}, "file_too_short"),
        ({"file_seconds": 26.5 * HOUR}, "file_too_long"),
    ],
)
def test_what_is_not_whole_is_told_why(changes: dict[str, float], code: str) -> None:
    verdict = judge(replace(WHOLE, **changes))  # type: ignore[arg-type]
    assert (verdict.complete, verdict.code) == (False, code)
    assert verdict.explanation.endswith(".")


def test_an_accepted_gap_is_not_missed() -> None:
    gap = replace(WHOLE, segments_in_file=350, segments_left_out=10, left_out_seconds=100)
    assert judge(replace(gap, file_seconds=HOUR - 100)).complete


@given(st.floats(0.1, 200 * HOUR))
def test_half_a_vod_is_never_enough(seconds: float) -> None:
    assert not judge_playlist(seconds / 2, seconds).complete
    assert judge_playlist(seconds, seconds).complete


@given(st.floats(0.1, 200 * HOUR), st.floats(0.1, 200 * HOUR))
def test_the_allowance_only_grows_with_the_length(one: float, other: float) -> None:
    shorter, longer = sorted((one, other))
    assert allowed_shortfall_seconds(shorter) <= allowed_shortfall_seconds(longer)
