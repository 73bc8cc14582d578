"""How long a VOD rests after a failure."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from vodtender.model.backoff import Backoff

SECOND = timedelta(seconds=1)
DEFAULT = Backoff(5, 2 * SECOND, timedelta(minutes=10))
LONGEST = timedelta(hours=6)

backoffs = st.builds(
    Backoff,
    quick_tries=st.integers(1, 50),
    base=st.timedeltas(timedelta(milliseconds=1), timedelta(hours=1)),
    cooldown=st.timedeltas(timedelta(milliseconds=1), timedelta(days=2)),
)
failures = st.integers(1, 100_000)
jitters = st.floats(0, 1, exclude_max=True)


def test_quick_tries_double_and_then_rests_do() -> None:
    waits = [DEFAULT.wait(failures, 0).total_seconds() for failures in range(1, 13)]
    assert waits[:4] == [2, 4, 8, 16]
    assert waits[4:] == [600, 1200, 2400, 4800, 9600, 19200, 21600, 21600]


def test_the_first_failures_are_followed_by_quick_tries() -> None:
    assert [DEFAULT.is_quick(failures) for failures in (1, 4, 5, 6)] == [True, True, False, False]
    assert not Backoff(1, SECOND, SECOND).is_quick(1)


def test_chance_shortens_a_wait_by_up_to_a_half() -> None:
    assert DEFAULT.wait(1, 0.5) == 1.5 * SECOND
    assert DEFAULT.wait(1, 0.999999) > SECOND


@given(backoff=backoffs, failures=failures, jitter=jitters)
def test_every_wait_is_a_wait_and_none_is_longer_than_it_may_be(
    backoff: Backoff, failures: int, jitter: float
) -> None:
    wait = backoff.wait(failures, jitter)
    assert timedelta(0) <= wait <= max(backoff.cooldown, LONGEST)
    if not backoff.is_quick(failures):
        assert wait >= min(backoff.cooldown, LONGEST) / 2 - timedelta(microseconds=1)


@given(backoff=backoffs, failures=failures)
def test_no_wait_is_shorter_than_the_one_before(backoff: Backoff, failures: int) -> None:
    assert backoff.wait(failures, 0) <= backoff.wait(failures + 1, 0)
