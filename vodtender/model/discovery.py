"""What a listing of Twitch says about a VOD, and what follows from it before it is fetched."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, get_args

Kind = Literal["archive", "highlight", "upload"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, slots=True)
class ListedVod:
    """One VOD as listed, the same shape whoever listed it (Helix or yt-dlp)."""

    vod_id: str
    """The bare number."""
    channel: str
    """Login, lower-case."""
    kind: Kind
    title: str
    url: str
    description: str | None = None
    started_at: datetime | None = None
    """When the stream began; of a highlight or an upload, when it was made."""
    duration_seconds: int | None = None
    """Of a VOD still being recorded: so far. 0 is what Twitch says when it does not know."""
    stream_id: str | None = None
    live: bool | None = None
    """Whether the listing calls it live; None: it does not say."""


@dataclass(frozen=True, slots=True)
class LiveStream:
    """A channel's stream that is on the air now."""

    stream_id: str
    started_at: datetime | None


# --- thumbnails -------------------------------------------------------------------------

_PROCESSING = re.compile(r"/404_processing_[^.?#]+\.png")


def live_by_thumbnail(kind: Kind, thumbnail: str | None) -> bool | None:
    """Whether the thumbnail tells that an archive is being recorded; None: it does not tell.

    Twitch shows a placeholder (`404_processing`) until the stream has ended. Highlights can
    keep theirs for ever (yt-dlp issue 14455).
    """
    if kind != "archive":
        return False
    if not thumbnail:
        return None
    return _PROCESSING.search(thumbnail) is not None


# --- is it still being recorded? --------------------------------------------------------

SETTLED_AFTER = timedelta(minutes=10)
"""So long after its end a VOD must have stood still. A stream that drops and is back within
about 90 seconds goes on in the same VOD, and lengths and lists lag behind by minutes."""

LONE_WITNESS_DOUBTED_AFTER = timedelta(hours=1)
"""So long a single sign of life is believed though the length stands still: placeholder
thumbnails are sometimes never replaced, and at 48 hours Twitch ends a VOD and begins another
while the stream goes on under the same id."""

_SAME_START = timedelta(minutes=10)
_ABSURD = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Looks:
    """What the looks so far have shown of a VOD's length."""

    first_at: datetime
    duration_seconds: int | None = None
    """The last length that was one."""
    grew_at: datetime | None = None
    """When it was last seen to have grown; None: never yet."""


def look(listed: ListedVod, previous: Looks | None, now: datetime) -> Looks:
    """What is to be remembered after this look."""
    length = listed.duration_seconds or None
    if previous is None:
        return Looks(now, length)
    grew_at = previous.grew_at
    if length and previous.duration_seconds and length > previous.duration_seconds:
        grew_at = now
    # A clock that was set back must not hold a VOD until the old time comes round again.
    return Looks(
        min(previous.first_at, now),
        length or previous.duration_seconds,
        min(grew_at, now) if grew_at else None,
    )


def is_recording(
    listed: ListedVod,
    previous: Looks | None,
    live_streams: Mapping[str, LiveStream] | None,
    now: datetime,
) -> bool:
    """Whether the VOD is still being recorded, or ended too short a time ago to be settled.

    `previous` are the looks before this one. `live_streams` are the streams on the air now by
    channel; None means that nobody could tell. Signs of life are the listing, the stream, and
    a length that grows. Two of the first two together are believed; one alone is doubted once
    the length has stood still for long enough. Without any sign, a VOD whose end lies well in
    the past, or whose end is not known, is finished.

    A clock of ours that is slow only delays the answer; a fast one matters only to a VOD
    that shows no sign of life at all.
    """
    if listed.kind != "archive":
        return False
    looks = look(listed, previous, now)
    if looks.grew_at is not None and now - looks.grew_at < SETTLED_AFTER:
        return True
    on_air = _on_air(listed, live_streams)
    if listed.live and on_air:
        return True
    if listed.live or on_air:
        contradicted = listed.live and on_air is False
        patience = SETTLED_AFTER if contradicted else LONE_WITNESS_DOUBTED_AFTER
        stands_still = now - (looks.grew_at or looks.first_at) >= patience
        return not (stands_still and _ended_before(listed, looks, now, patience))
    return not _ended_before(listed, looks, now, SETTLED_AFTER)


def _on_air(listed: ListedVod, live_streams: Mapping[str, LiveStream] | None) -> bool | None:
    """Whether the stream that this VOD records is live; None: it cannot be told."""
    if live_streams is None:
        return None
    stream = live_streams.get(listed.channel)
    if stream is None:
        return False
    if listed.stream_id and stream.stream_id:
        return listed.stream_id == stream.stream_id
    if listed.started_at is None or stream.started_at is None:
        return None
    return abs(listed.started_at - stream.started_at) <= _SAME_START


def _ended_before(listed: ListedVod, looks: Looks, now: datetime, ago: timedelta) -> bool:
    """Whether start and length put its end at least so long ago, or tell nothing."""
    if listed.started_at is None:
        return True
    length_seconds = min(looks.duration_seconds or 0, int(_ABSURD.total_seconds()) * 100)
    ended = now - listed.started_at - timedelta(seconds=length_seconds)
    return ended >= ago or ended < -_ABSURD


# --- how long there is time, and what is wanted at all ----------------------------------


def vanishes_at(listed: ListedVod, retention_days: int) -> datetime | None:
    """When Twitch will have deleted it, counted from the beginning, so rather too early.

    None: not by age (highlights and uploads are bounded by 100 hours a channel instead), or
    not known.
    Source: https://help.twitch.tv/s/article/video-on-demand
    """
    if listed.kind != "archive" or listed.started_at is None or retention_days <= 0:
        return None
    try:
        return listed.started_at + timedelta(days=retention_days)
    except OverflowError:
        return None


def within_limits(
    listed: ListedVod, place: int, *, max_count: int, max_age_days: int, now: datetime
) -> bool:
    """Whether the catalog is to have it: one of the newest `max_count` of its channel
    (`place` counts from 0, newest first) and begun in the last `max_age_days`. 0: no limit.
    """
    if 0 < max_count <= place:
        return False
    if max_age_days <= 0 or listed.started_at is None:
        return True
    return (now - listed.started_at).total_seconds() <= max_age_days * 86_400
