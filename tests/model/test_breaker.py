"""When a channel's breaker opens and closes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vodtender.model.breaker import (
    Breaker,
    BreakerPolicy,
    Direction,
    State,
    after_failure,
    after_success,
    tripped,
    worst,
)

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
COOLDOWN = timedelta(minutes=5)
POLICY = BreakerPolicy(threshold=3, cooldown=COOLDOWN)
OFF = BreakerPolicy(threshold=0, cooldown=COOLDOWN)

directions = st.sampled_from(["download", "upload"])


def half_open(direction: Direction = "download") -> Breaker:
    return Breaker("c", "half-open", 3, NOW - COOLDOWN, direction)


def resting(direction: Direction | None = "download") -> Breaker:
    return Breaker("c", "open", 3, NOW + COOLDOWN, direction)


def test_it_opens_when_the_threshold_is_reached_and_not_before() -> None:
    assert after_failure(Breaker("c", failures=2), "download", POLICY, NOW).state == "closed"
    opened = after_failure(Breaker("c", failures=3), "download", POLICY, NOW)
    assert opened == Breaker("c", "open", 3, NOW + COOLDOWN, "download")


def test_with_a_threshold_of_zero_no_number_of_failures_opens_it() -> None:
    assert after_failure(Breaker("c", failures=999), "upload", OFF, NOW).state == "closed"


def test_a_failed_probe_opens_it_again_at_once() -> None:
    opened = after_failure(half_open(), "download", POLICY, NOW)
    assert (opened.state, opened.open_until) == ("open", NOW + COOLDOWN)


def test_a_failed_probe_keeps_the_direction_that_had_opened_it() -> None:
    assert after_failure(half_open("upload"), "download", POLICY, NOW).direction == "upload"


def test_a_breaker_that_is_off_and_was_tripped_by_hand_does_not_open_by_itself() -> None:
    assert after_failure(half_open(), "download", OFF, NOW) == Breaker("c")


def test_a_failure_of_what_was_in_hand_does_not_lengthen_the_rest() -> None:
    assert after_failure(resting(), "download", POLICY, NOW) == resting()


def test_a_success_of_its_direction_closes_it_and_forgets_the_failures() -> None:
    assert after_success(half_open(), "download") == Breaker("c")
    assert after_success(Breaker("c", failures=2), "download") == Breaker("c")


def test_a_success_of_the_other_direction_proves_nothing() -> None:
    assert after_success(half_open("upload"), "download") == half_open("upload")


@pytest.mark.parametrize("direction", ["download", "upload", None])
def test_a_success_of_what_was_in_hand_does_not_end_the_rest(direction: Direction | None) -> None:
    assert after_success(resting(direction), "download") == resting(direction)


def test_a_breaker_of_which_nobody_knows_who_opened_it_is_closed_by_either_direction() -> None:
    by_hand = Breaker("c", "half-open")
    assert after_success(by_hand, "download") == after_success(by_hand, "upload") == Breaker("c")


def test_a_probe_is_due_when_the_rest_is_over() -> None:
    assert not resting().may_probe(NOW)
    assert resting().may_probe(NOW + COOLDOWN)
    assert half_open().may_probe(NOW)
    assert Breaker("c", "open").may_probe(NOW), "an operator typed no time"


def test_tripped_by_hand_it_rests_for_the_cooldown_or_as_long_as_was_said() -> None:
    assert tripped(Breaker("c", failures=2), None, COOLDOWN, NOW) == Breaker(
        "c", "open", 2, NOW + COOLDOWN
    )
    hour = timedelta(hours=1)
    assert tripped(Breaker("c"), hour, COOLDOWN, NOW).open_until == NOW + hour
    assert tripped(half_open(), None, COOLDOWN, NOW).state == "open"


def test_tripping_one_that_rests_changes_nothing_unless_a_time_is_said() -> None:
    assert tripped(resting(), None, timedelta(hours=9), NOW) == resting()
    minute = timedelta(minutes=1)
    assert tripped(resting(), minute, COOLDOWN, NOW).open_until == NOW + minute


def test_tripping_one_whose_rest_is_over_lets_it_rest_anew() -> None:
    over = Breaker("c", "open", 3, NOW - timedelta(seconds=1))
    assert tripped(over, None, COOLDOWN, NOW).open_until == NOW + COOLDOWN
    assert tripped(Breaker("c", "open"), None, COOLDOWN, NOW).open_until == NOW + COOLDOWN


def test_the_worst_of_several_is_what_an_operator_hears_of() -> None:
    assert worst([]) == "closed"
    assert worst(["closed", "half-open"]) == "half-open"
    assert worst(["half-open", "open", "closed"]) == "open"


@given(
    state=st.sampled_from(["closed", "open", "half-open"]),
    failures=st.integers(0, 100),
    opened_by=st.none() | directions,
    direction=directions,
    threshold=st.integers(0, 10),
)
def test_whatever_it_learns_an_open_one_has_an_end_and_a_closed_one_forgets_who_opened_it(
    state: State,
    failures: int,
    opened_by: Direction | None,
    direction: Direction,
    threshold: int,
) -> None:
    until = None if state == "closed" else NOW
    before = Breaker("c", state, failures, until, opened_by if state != "closed" else None)
    failed = after_failure(before, direction, BreakerPolicy(threshold, COOLDOWN), NOW)
    for after in (failed, after_success(before, direction), tripped(before, None, COOLDOWN, NOW)):
        assert after.channel == "c"
        if after.state == "open":
            assert after.open_until is not None
        if after.state == "closed":
            assert (after.open_until, after.direction) == (None, None)
    if failed.state == "open" and state != "open":
        assert state == "half-open" or 0 < threshold <= failures
