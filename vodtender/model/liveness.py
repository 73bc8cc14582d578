"""When a stream begins and when it is over, told from looks at its channel; and which VOD it
became.

A connection that drops for a moment is no end: Twitch lets a broadcaster come back for about 90
seconds, in the same stream and the same VOD, while its API may say in between that the
channel is offline.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from vodtender.model.discovery import LiveStream

_SAME_START = timedelta(minutes=5)
"""By so much the beginnings of a stream and of its VOD may differ."""


@dataclass(frozen=True, slots=True)
class OnAir:
    """A stream that is taken to go on. `stream_id` is None where nobody tells it."""

    stream_id: str | None
    began_at: datetime
    seen_at: datetime
    """When it was last seen on the air."""


@dataclass(frozen=True, slots=True)
class Step:
    """What follows from a look: the stream that is over, and the one that goes on or has begun."""

    ended: OnAir | None
    on_air: OnAir | None


def after_look(
    before: OnAir | None, seen: LiveStream | None, now: datetime, patience: timedelta
) -> Step:
    """`seen` is None when the channel is not live. A look that failed is no look: it says
    nothing. `patience` is how long a stream may be off the air and still be the same."""
    if seen is None:
        if before is None or now - before.seen_at < patience:
            return Step(None, before)
        return Step(before, None)
    if before is not None and _is_same(before, seen, patience):
        return Step(None, replace(before, seen_at=max(now, before.seen_at)))
    return Step(before, OnAir(seen.stream_id or None, _beginning(seen, now), now))


def _is_same(before: OnAir, seen: LiveStream, patience: timedelta) -> bool:
    """Streams with two ids are two, however soon one follows the other: Twitch makes a VOD of
    each."""
    if before.stream_id and seen.stream_id:
        return before.stream_id == seen.stream_id
    return seen.started_at is None or seen.started_at < before.seen_at + patience


def _beginning(seen: LiveStream, now: datetime) -> datetime:
    """A clock of ours that is slow makes no stream begin in the future."""
    return now if seen.started_at is None else min(seen.started_at, now)


def placeholder(channel: str, stream: OnAir) -> str:
    """What stands for the VOD of a stream until there is one."""
    if stream.stream_id is not None:
        return f"live-{stream.stream_id}"
    return f"live-{channel}-{int(stream.began_at.timestamp())}"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A VOD that a stream may have become."""

    vod_id: str
    stream_id: str | None
    began_at: datetime | None
    length_seconds: int | None


def vod_of(
    stream_id: str | None, began_at: datetime, candidates: Iterable[Candidate]
) -> Candidate | None:
    """The VOD of a stream: by its id; else the one that began with it; else the one in which
    it began, as after a drop that Twitch took for a new stream but not for a new VOD."""
    known = [one for one in candidates if one.began_at is not None]
    same = [one for one in known if stream_id is not None and one.stream_id == stream_id]
    if same:
        return min(same, key=_beginning_of)
    near = [
        one
        for one in known
        if (one.stream_id is None or stream_id is None)
        and abs(_beginning_of(one) - began_at) <= _SAME_START
    ]
    if near:
        return min(near, key=lambda one: abs(_beginning_of(one) - began_at))
    around = [one for one in known if _contains(one, began_at)]
    return max(around, key=_beginning_of, default=None)


def _beginning_of(one: Candidate) -> datetime:
    assert one.began_at is not None
    return one.began_at


def _contains(one: Candidate, at: datetime) -> bool:
    begun = _beginning_of(one)
    return begun <= at < begun + timedelta(seconds=one.length_seconds or 0)
