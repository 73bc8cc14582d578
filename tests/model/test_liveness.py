"""What looks at a channel mean: streams begin and end, drops do not count, VODs are found."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from vodtender.model.discovery import LiveStream
from vodtender.model.liveness import Candidate, OnAir, Step, after_look, placeholder, vod_of

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PATIENCE = timedelta(minutes=2)
LOOKS = st.lists(
    st.tuples(st.integers(min_value=1, max_value=600), st.sampled_from([None, "1", "2", "3"])),
    max_size=40,
)
"""Seconds since the look before, and the stream that is on the air then."""


def _at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def _walk(looks: list[tuple[int, str | None]]) -> list[tuple[datetime, str | None, Step]]:
    on_air: OnAir | None = None
    at, steps = NOON, []
    for seconds, stream_id in looks:
        at += timedelta(seconds=seconds)
        seen = LiveStream(stream_id, NOON) if stream_id else None
        step = after_look(on_air, seen, at, PATIENCE)
        steps.append((at, stream_id, step))
        on_air = step.on_air
    return steps


@given(LOOKS)
def test_what_is_on_the_air_is_always_recorded_as_itself(
    looks: list[tuple[int, str | None]],
) -> None:
    for at, stream_id, step in _walk(looks):
        if stream_id is not None:
            assert step.on_air is not None
            assert (step.on_air.stream_id, step.on_air.seen_at) == (stream_id, at)


@given(LOOKS)
def test_every_stream_that_begins_ends_once_and_not_before_it_was_away_for_long(
    looks: list[tuple[int, str | None]],
) -> None:
    open_stream: str | None = None
    for at, stream_id, step in _walk(looks):
        if step.ended is not None:
            assert step.ended.stream_id == open_stream
            assert stream_id is not None or at - step.ended.seen_at >= PATIENCE
        elif open_stream is not None:
            assert step.on_air is not None
            assert step.on_air.stream_id == open_stream
        open_stream = step.on_air.stream_id if step.on_air else None


@given(LOOKS)
def test_without_a_stream_for_long_nothing_is_on_the_air(
    looks: list[tuple[int, str | None]],
) -> None:
    (*_, last) = _walk([*looks, (121, None), (121, None)])
    assert last[2].on_air is None


@given(st.integers(min_value=0, max_value=119))
def test_a_drop_of_seconds_is_one_stream(seconds: int) -> None:
    begun = after_look(None, LiveStream("1", NOON), NOON, PATIENCE).on_air
    dropped = after_look(begun, None, _at(seconds), PATIENCE)
    assert dropped == Step(None, begun)
    back = after_look(begun, LiveStream("1", NOON), _at(seconds + 1), PATIENCE)
    assert back.ended is None
    assert back.on_air == OnAir("1", NOON, _at(seconds + 1))


def test_a_new_id_is_another_stream_and_the_old_one_ended_when_it_was_last_seen() -> None:
    before = OnAir("1", NOON, _at(3600))
    step = after_look(before, LiveStream("2", _at(7000)), _at(7010), PATIENCE)
    assert step == Step(before, OnAir("2", _at(7000), _at(7010)))


def test_without_ids_a_stream_that_began_long_after_the_last_sight_is_another() -> None:
    before = OnAir(None, NOON, _at(3600))
    same = after_look(before, LiveStream("", NOON), _at(3700), PATIENCE)
    assert same.ended is None
    other = after_look(before, LiveStream("", _at(7000)), _at(7010), PATIENCE)
    assert other.ended == before


def test_a_clock_that_is_slow_makes_no_stream_begin_in_the_future() -> None:
    step = after_look(None, LiveStream("1", _at(60)), NOON, PATIENCE)
    assert step.on_air == OnAir("1", NOON, NOON)


def test_placeholders_are_no_vod_numbers_and_tell_streams_apart() -> None:
    assert placeholder("alice", OnAir("42", NOON, NOON)) == "live-42"
    names = {placeholder(name, OnAir(None, NOON, NOON)) for name in ("alice", "bob")}
    assert names == {"live-alice-1772366400", "live-bob-1772366400"}


def test_a_vod_is_found_by_its_stream_and_of_two_the_first() -> None:
    vods = [
        Candidate("2", "42", _at(48 * 3600), 100),
        Candidate("1", "42", _at(900), 100),
        Candidate("3", "7", NOON, 100),
    ]
    found = vod_of("42", NOON, vods)
    assert found is not None
    assert found.vod_id == "1"


def test_without_a_stream_id_the_vod_that_began_with_it_is_taken() -> None:
    vods = [Candidate("1", None, _at(-200), 100), Candidate("2", None, _at(20), None)]
    found = vod_of("42", NOON, vods)
    assert found is not None
    assert found.vod_id == "2"
    assert vod_of("42", _at(3600), vods) is None


def test_another_streams_vod_is_taken_only_if_the_stream_began_within_it() -> None:
    vod = Candidate("1", "7", NOON, 3600)
    assert vod_of("42", _at(1800), [vod]) == vod
    assert vod_of("42", _at(3600), [vod]) is None
    assert vod_of("42", _at(-20), [vod]) is None
    assert vod_of("42", NOON, [Candidate("2", "42", None, 100)]) is None
