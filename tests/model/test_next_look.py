"""When a channel is looked at next, and what `run --drain` waits for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from vodtender.errors import AuthExpired, NotFound, RateLimited, Transient, VodtenderError
from vodtender.model.backoff import Backoff
from vodtender.model.next_look import NextLook, after_anothers_look, after_look

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
BACKOFF = Backoff(quick_tries=3, base=2 * SECOND, cooldown=10 * MINUTE)


def after(
    error: VodtenderError | None, failures: int = 0, interval: timedelta = MINUTE
) -> NextLook:
    return after_look(error, failures, interval=interval, backoff=BACKOFF, now=NOW, jitter=0.0)


def test_after_a_good_look_the_interval() -> None:
    assert after(None) == NextLook(MINUTE, settled=True)


def test_what_passes_is_tried_again_soon_and_a_few_times() -> None:
    trouble = Transient("busy")
    assert [after(trouble, n) for n in (1, 2, 3, 99)] == [
        NextLook(2 * SECOND, settled=False),
        NextLook(4 * SECOND, settled=False),
        NextLook(MINUTE, settled=True),
        NextLook(MINUTE, settled=True),
    ]


def test_never_later_than_the_interval() -> None:
    assert after(Transient("busy"), 2, interval=SECOND).pause == SECOND


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (30, NextLook(30 * SECOND, settled=False)),
        (-5, NextLook(SECOND, settled=False)),
        (600, NextLook(600 * SECOND, settled=True)),
    ],
)
def test_a_service_that_asks_to_wait_is_given_its_time(seconds: int, expected: NextLook) -> None:
    error = RateLimited("wait", until=NOW + seconds * SECOND)
    assert after(error, 1) == expected


def test_one_that_asks_to_wait_again_and_again_is_not_waited_for_for_ever() -> None:
    assert after(RateLimited("wait", until=NOW + SECOND), 3).settled


@pytest.mark.parametrize("error", [NotFound("no such channel"), AuthExpired("refused")])
def test_what_somebody_has_to_mend_is_not_hurried(error: VodtenderError) -> None:
    assert after(error, 1) == NextLook(MINUTE, settled=True)


def test_what_another_looks_at_is_looked_at_again_soon_and_not_settled() -> None:
    assert after_anothers_look(MINUTE) == NextLook(2 * SECOND, settled=False)
    assert after_anothers_look(SECOND) == NextLook(SECOND, settled=False)
