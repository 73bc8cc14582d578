"""The kinds of VOD: what can be special about one, or wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tests.sandbox.vods import Vod


def _fmp4(vod: Vod) -> None:
    for segment in vod.segments:
        segment.form = replace(segment.form, container="fmp4", codec="hevc")


def _init_changes(vod: Vod) -> None:
    _fmp4(vod)
    middle = len(vod.segments) // 2
    for segment in vod.segments[middle:]:
        segment.form = replace(segment.form, width=256, height=144)
    vod.segments[middle].discontinuity = True


def _muted(vod: Vod) -> None:
    for segment in vod.segments[1:3]:
        segment.muted = True


def _short(vod: Vod) -> None:
    vod.reported_seconds = int(vod.media_seconds) + 600


def _zero(vod: Vod) -> None:
    vod.reported_seconds = 0


def _live(vod: Vod) -> None:
    vod.live = True
    vod.channel.live = True
    vod.channel.stream_id = vod.stream_id
    vod.channel.live_since = vod.published_at


def _subscriber_only(vod: Vod) -> None:
    vod.subscriber_only = True


def _deleted(vod: Vod) -> None:
    vod.deleted = True


def _null_once(vod: Vod) -> None:
    vod.null_answers = 1


def _forbidden_segment(vod: Vod) -> None:
    vod.segments[len(vod.segments) // 2].status = 403


def _gone_segment(vod: Vod) -> None:
    vod.segments[len(vod.segments) // 2].status = 404


def _cut(vod: Vod) -> None:
    vod.segments[len(vod.segments) // 2].cuts = 1


def _slow(vod: Vod) -> None:
    for segment in vod.segments:
        segment.bytes_per_second = 100_000


def _discontinuity(vod: Vod) -> None:
    middle = len(vod.segments) // 2
    vod.segments[middle].discontinuity = True
    for place, segment in enumerate(vod.segments[middle:]):
        segment.place = place


def _garbage(answer: str) -> Callable[[Vod], None]:
    def spoil(vod: Vod) -> None:
        vod.garbage = (answer, 1)

    return spoil


KINDS: dict[str, Callable[[Vod], None]] = {
    "fine": lambda _vod: None,
    "fmp4": _fmp4,
    "fmp4-init-changes": _init_changes,
    "muted": _muted,
    "short": _short,
    "zero-length": _zero,
    "live": _live,
    "subscriber-only": _subscriber_only,
    "deleted": _deleted,
    "null-once": _null_once,
    "segment-403": _forbidden_segment,
    "segment-404": _gone_segment,
    "cut": _cut,
    "slow": _slow,
    "discontinuity": _discontinuity,
    "garbage-html": _garbage("html"),
    "garbage-empty": _garbage("empty"),
    "garbage-error": _garbage("error"),
}
"""What `add_vod(kind=…)` knows, in words that tell what is special."""
