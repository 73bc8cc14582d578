"""The circuit breaker of a channel: closed, open, half-open.

It opens when so many different VODs in a row have failed for reasons that may pass, or by hand;
rests for the cooldown; lets one probe through; and is closed by a success of the direction
(download or upload) that opened it. What was begun before it opened closes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

Direction = Literal["download", "upload"]
State = Literal["closed", "open", "half-open"]
STATES: tuple[State, ...] = ("closed", "half-open", "open")


@dataclass(frozen=True, slots=True)
class Breaker:
    """What is stored of one channel's breaker."""

    channel: str
    state: State = "closed"
    failures: int = 0
    open_until: datetime | None = None
    direction: Direction | None = None

    def may_probe(self, now: datetime) -> bool:
        """Whether the rest is over. Half-open, the one probe is somebody's already or free."""
        return self.state == "half-open" or self.open_until is None or self.open_until <= now


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """`threshold` 0 turns the breaker off."""

    threshold: int
    cooldown: timedelta


def after_failure(
    breaker: Breaker, direction: Direction, policy: BreakerPolicy, now: datetime
) -> Breaker:
    """`breaker.failures` counts the different VODs that have failed in this direction, the one
    that just has included."""
    if breaker.state == "half-open" and policy.threshold <= 0:
        return Breaker(channel=breaker.channel)  # tripped by hand, its rest is over, and it is off
    opens = breaker.state == "half-open" or (
        breaker.state == "closed" and 0 < policy.threshold <= breaker.failures
    )
    if not opens:
        return breaker
    return Breaker(
        channel=breaker.channel,
        state="open",
        failures=breaker.failures,
        open_until=now + policy.cooldown,
        direction=breaker.direction or direction,
    )


def after_success(breaker: Breaker, direction: Direction) -> Breaker:
    """Only the direction that opened it proves that the trouble is over, and only after the
    rest."""
    if breaker.state == "open":
        return breaker
    if breaker.state == "half-open" and breaker.direction not in (None, direction):
        return breaker
    return Breaker(channel=breaker.channel)


def tripped(
    breaker: Breaker, rest: timedelta | None, cooldown: timedelta, now: datetime
) -> Breaker:
    """Opened by hand, to rest for `rest`. Without one an open breaker that still rests stays as
    it is, and any other rests for the cooldown."""
    rests = breaker.state == "open" and not breaker.may_probe(now)
    if rest is None and rests:
        return breaker
    return replace(breaker, state="open", open_until=now + (cooldown if rest is None else rest))


def worst(states: list[State]) -> State:
    """Of several channels, the one an operator should hear of."""
    return max(states, key=STATES.index, default="closed")
