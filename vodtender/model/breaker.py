"""The circuit breaker of a channel: closed, open, half-open.

It opens when so many different VODs in a row have failed for reasons that may pass, rests for
the cooldown, lets one probe through, and is closed by a success of the direction (download or
upload) that opened it.
"""

from __future__ import annotations

from dataclasses import dataclass
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
    opener_vod_id: int | None = None

    def may_probe(self, now: datetime) -> bool:
        """Whether the rest is over. Half-open, the one probe is somebody's already or free."""
        return self.state == "half-open" or self.open_until is None or self.open_until <= now


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """`threshold` 0 turns the breaker off."""

    threshold: int
    cooldown: timedelta


def after_failure(
    breaker: Breaker, direction: Direction, vod_id: int, policy: BreakerPolicy, now: datetime
) -> Breaker:
    """`breaker.failures` counts the different VODs that have failed, this one included."""
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
        opener_vod_id=vod_id,
    )


def after_success(breaker: Breaker, direction: Direction) -> Breaker:
    """Only the direction that opened it proves that the trouble is over."""
    if breaker.state != "closed" and breaker.direction not in (None, direction):
        return breaker
    return Breaker(channel=breaker.channel)


def worst(states: list[State]) -> State:
    """Of several channels, the one an operator should hear of."""
    return max(states, key=STATES.index, default="closed")
