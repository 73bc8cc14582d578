"""What a VOD is made of: its HLS media playlist, read without trust.

Source: RFC 8216 (HTTP Live Streaming). Twitch serves MPEG-TS segments, and for HEVC and AV1
fragmented MP4 with an `EXT-X-MAP` init section that can change midway.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from urllib.parse import urljoin, urlsplit

from vodtender.errors import Transient

_ATTRIBUTE = re.compile(r'([A-Z0-9-]+)=("[^"]*"|[^",]*)')
_UNMUTED = re.compile(r"-unmuted(?=\.[A-Za-z0-9]+$)")
_MUTED = re.compile(r"-muted\.[A-Za-z0-9]+$")
_EITHER = re.compile(r"-(?:un)?muted(?=\.[A-Za-z0-9]+$)")


@dataclass(frozen=True, slots=True)
class ByteRange:
    """A part of a resource."""

    offset_bytes: int
    length_bytes: int

    @property
    def header(self) -> str:
        """The value of the `Range` header that asks for it (RFC 9110)."""
        return f"bytes={self.offset_bytes}-{self.offset_bytes + self.length_bytes - 1}"


@dataclass(frozen=True, slots=True)
class Segment:
    """One piece of the VOD, in playing order. `start_seconds` counts from the VOD's beginning."""

    index: int
    url: str
    duration_seconds: float
    start_seconds: float
    init_url: str | None = None
    init_range: ByteRange | None = None
    byte_range: ByteRange | None = None
    discontinuity: bool = False
    nth: int = 0
    """How many segments before it have the same path: then only the query tells them apart."""

    @property
    def key(self) -> str:
        """What stays the same when the host or the token of the URL changes, or when Twitch
        mutes the segment."""
        key = _EITHER.sub("", urlsplit(self.url).path)
        key = key if self.byte_range is None else f"{key} {self.byte_range.header}"
        return f"{key} #{self.nth}" if self.nth else key

    @property
    def init_key(self) -> str | None:
        """The same for its init section."""
        if self.init_url is None:
            return None
        parts = urlsplit(self.init_url)
        # Of these there are few: what their query says is worth more than to keep them.
        key = f"{parts.path}?{parts.query}" if parts.query else parts.path
        return key if self.init_range is None else f"{key} {self.init_range.header}"

    @property
    def bare_url(self) -> str:
        """The URL without its query, which may hold a token: fit for messages."""
        return self.url.partition("?")[0].partition("#")[0]


@dataclass(frozen=True, slots=True)
class MediaPlaylist:
    """A whole playlist. `ended` is false while the stream is still being recorded."""

    segments: tuple[Segment, ...]
    ended: bool
    total_seconds: float
    encrypted: bool = False


class Twins:
    """Finds the segments of an earlier playlist in one that was asked for later."""

    def __init__(self, earlier: MediaPlaylist, later: MediaPlaylist) -> None:
        self._by_key = {segment.key: segment for segment in later.segments}
        # A token can be part of the path: then all keys are new, and what counts is the place.
        if not any(segment.key in self._by_key for segment in earlier.segments):
            lengths = [segment.duration_seconds for segment in earlier.segments]
            begins = [segment.duration_seconds for segment in later.segments[: len(lengths)]]
            pairs = zip(earlier.segments, later.segments, strict=False)
            self._by_key = {old.key: new for old, new in pairs} if begins == lengths else {}

    def of(self, segment: Segment) -> Segment | None:
        """The same segment; None if it is not there any more."""
        return self._by_key.get(segment.key)


def muted_url(url: str) -> str | None:
    """Where the muted twin of an `N-unmuted.ts` segment lies; None for other segments.

    Twitch keeps naming the unmuted file in the playlist of a VOD whose music it has muted,
    and answers 403 for it (yt-dlp #819).
    """
    path, mark, query = url.partition("?")
    changed, count = _UNMUTED.subn("-muted", path)
    return changed + mark + query if count else None


def is_muted(url: str) -> bool:
    """True for the URL of a segment that Twitch has muted."""
    return _MUTED.search(url.partition("?")[0]) is not None


def parse(text: str, base_url: str) -> MediaPlaylist:
    """Read a media playlist whose relative URLs are relative to `base_url`.

    Raises Transient(code="garbage_playlist") for anything that is not one.
    """
    lines = [line.strip() for line in text.lstrip("\ufeff").splitlines()]
    if not lines or lines[0] != "#EXTM3U":
        raise _garbage("it does not begin with #EXTM3U")
    reader = _Reader(base_url)
    for line in lines[1:]:
        if line:
            reader.take(line)
    return reader.finish()


@dataclass
class _Reader:
    """The state of RFC 8216's tags between one line and the next."""

    base_url: str
    segments: list[Segment] = field(default_factory=list)
    ended: bool = False
    encrypted: bool = False
    start_seconds: float = 0.0
    duration_seconds: float | None = None
    byte_range: ByteRange | None = None
    init_url: str | None = None
    init_range: ByteRange | None = None
    discontinuity: bool = False
    next_offsets: dict[str, int] = field(default_factory=dict)
    pending_range: str | None = None

    def take(self, line: str) -> None:
        if not line.startswith("#"):
            self._segment(line)
            return
        tag, _, value = line.partition(":")
        if tag == "#EXTINF":
            self.duration_seconds = _seconds(value.partition(",")[0])
        elif tag == "#EXT-X-BYTERANGE":
            self.pending_range = value
        elif tag == "#EXT-X-MAP":
            self._map(value)
        elif tag == "#EXT-X-KEY":
            self.encrypted |= _attributes(value).get("METHOD", "NONE") != "NONE"
        elif tag == "#EXT-X-DISCONTINUITY":
            self.discontinuity = True
        elif tag == "#EXT-X-ENDLIST" or (tag, value) == ("#EXT-X-PLAYLIST-TYPE", "VOD"):
            self.ended = True  # a playlist of type VOD never changes (RFC 8216, 4.3.3.5)
        elif tag in {"#EXT-X-STREAM-INF", "#EXT-X-I-FRAME-STREAM-INF"}:
            raise _garbage("it is a master playlist")

    def _map(self, value: str) -> None:
        attributes = _attributes(value)
        if not attributes.get("URI"):
            raise _garbage("an EXT-X-MAP has no URI")
        self.init_url = _absolute(self.base_url, attributes["URI"], "an init section")
        self.init_range = None
        if "BYTERANGE" in attributes:
            self.init_range = _byte_range(attributes["BYTERANGE"], 0)

    def _segment(self, line: str) -> None:
        if self.duration_seconds is None:
            raise _garbage(f"segment {len(self.segments)} has no EXTINF")
        url = _absolute(self.base_url, line, f"segment {len(self.segments)}")
        byte_range = None
        if self.pending_range is not None:
            byte_range = _byte_range(self.pending_range, self.next_offsets.get(url))
            self.next_offsets[url] = byte_range.offset_bytes + byte_range.length_bytes
        self.segments.append(
            Segment(
                index=len(self.segments),
                url=url,
                duration_seconds=self.duration_seconds,
                start_seconds=self.start_seconds,
                init_url=self.init_url,
                init_range=self.init_range,
                byte_range=byte_range,
                discontinuity=self.discontinuity,
            )
        )
        self.start_seconds += self.duration_seconds
        self.duration_seconds, self.pending_range, self.discontinuity = None, None, False

    def finish(self) -> MediaPlaylist:
        if self.ended and not self.segments:
            raise _garbage("it has ended without a single segment")
        if self.duration_seconds is not None:
            raise _garbage("its last EXTINF has no segment: the text was cut")
        total = math.fsum(segment.duration_seconds for segment in self.segments)
        return MediaPlaylist(_told_apart(self.segments), self.ended, total, self.encrypted)


def _absolute(base_url: str, reference: str, what: str) -> str:
    try:
        url = urljoin(base_url, reference)
        parts = urlsplit(url)
    except ValueError:
        raise _garbage(f"{what} has no web address") from None
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise _garbage(f"{what} has no web address")
    return url


def _told_apart(segments: list[Segment]) -> tuple[Segment, ...]:
    """Segments whose keys differ."""
    seen: Counter[str] = Counter()
    apart = []
    for segment in segments:
        key = segment.key
        apart.append(replace(segment, nth=seen[key]) if seen[key] else segment)
        seen[key] += 1
    return tuple(apart)


def _attributes(value: str) -> dict[str, str]:
    return {name: text.strip('"') for name, text in _ATTRIBUTE.findall(value)}


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        raise _garbage(f"{text[:40]!r} is not a duration") from None
    if not math.isfinite(seconds) or seconds < 0:
        raise _garbage(f"{text[:40]!r} is not a duration")
    return seconds


def _byte_range(text: str, follows_at: int | None) -> ByteRange:
    length, _, offset = text.partition("@")
    start = int(offset) if offset.isdecimal() else follows_at
    if start is None or not length.isdecimal() or int(length) == 0:
        raise _garbage(f"{text[:40]!r} is not a byte range")
    return ByteRange(start, int(length))


def _garbage(why: str) -> Transient:
    return Transient(
        f"The VOD's playlist from Twitch is not usable: {why}. It will be asked for again.",
        code="garbage_playlist",
    )
