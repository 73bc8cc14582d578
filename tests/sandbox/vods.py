"""Channels and VODs: what Twitch has, and what is wrong with it.

A VOD's `kind` names what is special about it (see `kinds.py`); everything can also be changed on
the `Vod` afterwards, while the world runs.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.sandbox import media

CDN_HOST = "d2nvs31859zcd8.cloudfront.net"
FIRST_VOD_ID = 2_300_000_001
SOURCE_BANDWIDTH = 6_500_000


@dataclass(eq=False)
class Segment:
    """One segment of a VOD, in all renditions."""

    place: int
    """Where in the stream's time it plays, in segments."""
    form: media.Form
    muted: bool = False
    """Listed as `N-unmuted.ts`, which answers 403; `N-muted.ts` is there."""
    status: int = 200
    cuts: int = 0
    """So many requests for it end in the middle of the body."""
    bytes_per_second: float | None = None
    padding_bytes: int = 0
    """Grow it to this size with null packets (TS only)."""
    discontinuity: bool = False
    requests: int = 0


@dataclass(frozen=True, slots=True)
class Rendition:
    """One line of the master playlist. `width` 0: sound only."""

    group: str
    name: str
    width: int
    height: int
    bandwidth: int
    framerate: float = 60.0


RENDITIONS = (
    Rendition("chunked", "1080p60", 320, 180, SOURCE_BANDWIDTH),
    Rendition("720p60", "720p60", 256, 144, 3_400_000),
    Rendition("audio_only", "Audio Only", 0, 0, 220_000),
)


@dataclass(eq=False)
class Channel:
    """A broadcaster. `live` is what `GET /helix/streams` shows."""

    login: str
    id: str
    display_name: str
    live: bool = False
    stream_id: str | None = None
    live_since: datetime | None = None
    exists: bool = True


@dataclass(eq=False)
class Vod:
    """One video on Twitch."""

    id: str
    channel: Channel
    title: str
    segments: list[Segment]
    published_at: datetime
    kind: str = "fine"
    broadcast_type: str = "archive"
    description: str | None = None
    stream_id: str | None = None
    game: str = "Just Chatting"
    chapters: list[tuple[int, int, str]] = field(default_factory=list)
    """Start and length in seconds, and name."""
    view_count: int = 42
    renditions: tuple[Rendition, ...] = RENDITIONS
    reported_seconds: int | None = None
    """Length that Twitch's APIs tell; None: what the playlist really has."""
    live: bool = False
    deleted: bool = False
    subscriber_only: bool = False
    subscribers: set[str] = field(default_factory=set)
    """Twitch user ids that may watch a subscriber-only VOD."""
    null_answers: int = 0
    """So many GQL answers say that the video does not exist, though it does."""
    garbage: tuple[str, int] | None = None
    """What the GQL API answers about it: (`html` | `empty` | `null` | `error`, how often)."""
    absolute_urls: bool = False
    """The media playlist names its segments by whole addresses."""
    plain_http: bool = False
    cdn_host: str = CDN_HOST
    muted_notice: bool = True
    """Helix lists the muted stretches."""
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def media_seconds(self) -> float:
        """How long it really plays."""
        return round(sum(s.form.seconds for s in self.segments), 3)

    @property
    def length_seconds(self) -> int:
        """How long Twitch says it is."""
        return int(self.media_seconds) if self.reported_seconds is None else self.reported_seconds

    @property
    def folder(self) -> str:
        """The VOD's directory on the CDN, as Twitch names them."""
        digest = hashlib.sha1(self.id.encode()).hexdigest()[:20]
        stamp = int(self.published_at.timestamp())
        return f"{digest}_{self.channel.login}_{self.stream_id or self.id}_{stamp}"

    @property
    def source_url(self) -> str:
        """Address of the source rendition's playlist."""
        scheme = "http" if self.plain_http else "https"
        return f"{scheme}://{self.cdn_host}/{self.folder}/chunked/{self.playlist_name}"

    @property
    def playlist_name(self) -> str:
        return "index-dvr.m3u8" if self.broadcast_type == "archive" else "highlight.m3u8"

    @property
    def url(self) -> str:
        return f"https://www.twitch.tv/videos/{self.id}"

    @property
    def thumbnail_url(self) -> str:
        """`%{width}x%{height}` stands where Helix has it so."""
        if self.live:
            return "https://vod-secure.twitch.tv/_404/404_processing_%{width}x%{height}.png"
        return (
            f"https://static-cdn.jtvnw.net/cf_vods/d2nvs31859zcd8/{self.folder}"
            "//thumb/thumb0-%{width}x%{height}.jpg"
        )

    # --- while the world runs -------------------------------------------------------

    def grow(self, count: int = 1) -> None:
        """A live VOD gets more segments."""
        with self.lock:
            last = self.segments[-1]
            self.segments.extend(Segment(last.place + 1 + n, last.form) for n in range(count))

    def end(self) -> None:
        """The stream ends: the VOD is whole now."""
        self.live = False
        self.channel.live = False

    def cut(self, *places: int, times: int = 1) -> None:
        """Requests for these segments break off in the middle, so many times each."""
        for place in places:
            self.segments[place].cuts = times

    # --- what a correct client ends up with -----------------------------------------

    def segment_body(self, place: int, rendition: Rendition = RENDITIONS[0]) -> bytearray:
        """What the CDN delivers for this segment (for a muted one: its muted form)."""
        segment = self.segments[place]
        form = form_in(segment, rendition)
        if segment.muted:
            form = replace(form, silent=True)
        body = media.loop(form).segment(segment.place)
        if segment.padding_bytes and form.container == "ts":
            media.pad(body, segment.padding_bytes)
        return body

    @property
    def size_bytes(self) -> int:
        """Size of the whole source rendition."""
        forms = {s.form: s for s in self.segments}
        sizes = {
            (form, muted): len(media.loop(replace(form, silent=muted)).base)
            for form in forms
            for muted in {s.muted for s in self.segments if s.form == form}
        }
        return sum(max(sizes[s.form, s.muted], s.padding_bytes) for s in self.segments)


def form_in(segment: Segment, rendition: Rendition) -> media.Form:
    """The loop for a segment in one rendition; the source keeps the segment's own."""
    if rendition.group == "chunked":
        return segment.form
    if not rendition.width:
        return replace(segment.form, codec="none", fill_bytes=0)
    return replace(segment.form, width=rendition.width, height=rendition.height, fill_bytes=0)


class Catalog:
    """All channels and VODs. Newest first wherever Twitch lists them."""

    def __init__(self, now: datetime | None = None) -> None:
        self.now = (now or datetime.now(UTC)).replace(microsecond=0)
        self.channels: dict[str, Channel] = {}
        self.vods: dict[str, Vod] = {}
        self._lock = threading.Lock()

    def add_channel(self, login: str, **more: Any) -> Channel:
        with self._lock:
            login = login.lower()
            if login not in self.channels:
                number = str(100_001 + len(self.channels))
                channel = Channel(login, number, login.capitalize(), **more)
                self.channels[login] = channel
            return self.channels[login]

    def add_vod(
        self,
        channel: Channel | str,
        kind: str = "fine",
        *,
        vod_id: str | None = None,
        title: str | None = None,
        segment_count: int = 4,
        seconds: float | None = None,
        size_bytes: int | None = None,
        form: media.Form = media.SMALL,
        published_at: datetime | None = None,
        age: timedelta | None = None,
        spoil: Callable[[Vod], None] = lambda _vod: None,
        **more: Any,
    ) -> Vod:
        """A new VOD. `seconds` (about) overrides `segment_count`; `size_bytes` (about) makes
        it that big with segments of 10 MB, cheaply. Without a date it is one hour older than
        the last one added, the first being a day old. `more` are fields of `Vod`.
        """
        if isinstance(channel, str):
            channel = self.add_channel(channel)
        if size_bytes is not None:
            form = replace(form, fill_bytes=min(10_000_000, size_bytes // segment_count))
            segment_count = max(1, round(size_bytes / form.fill_bytes))
        elif seconds is not None:
            segment_count = max(1, round(seconds / form.seconds))
        with self._lock:
            number = len(self.vods)
            vod_id = vod_id or str(FIRST_VOD_ID + number)
            age = age if age is not None else timedelta(hours=24 + number)
            vod = Vod(
                vod_id,
                channel,
                title if title is not None else f"{kind} {number + 1}",
                [Segment(place, form) for place in range(segment_count)],
                published_at or self.now - age,
                kind,
                **{"stream_id": str(40_000_000_001 + number), **more},
            )
            if vod.broadcast_type != "archive":
                vod.stream_id = None
            spoil(vod)
            self.vods[vod_id] = vod
        return vod

    def of_channel(self, channel: Channel, broadcast_type: str | None = None) -> list[Vod]:
        """A channel's VODs, newest first, of one type or all."""
        with self._lock:
            found = [v for v in self.vods.values() if v.channel is channel and not v.deleted]
        if broadcast_type and broadcast_type != "all":
            found = [v for v in found if v.broadcast_type == broadcast_type]
        return sorted(found, key=lambda v: (v.published_at, v.id), reverse=True)

    def by_folder(self, folder: str) -> Vod | None:
        with self._lock:
            return next((v for v in self.vods.values() if v.folder == folder), None)
