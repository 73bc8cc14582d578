"""Ready-made worlds for `python -m tests.sandbox --scenario NAME`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from tests.sandbox import media
from tests.sandbox.world import World

BENCH_BYTES = 2_000_000_000
DEMO_BYTES_PER_SECOND = 1_000_000
"""Of each connection: slow enough for a person to see something move."""


def empty(world: World) -> None:
    """Nothing is there."""


def demo(world: World) -> None:
    """A small channel with a bit of everything, at a pace that a person can watch."""
    _small_channel(world, media_times=3)
    for vod in world.catalog.vods.values():
        for segment in vod.segments:
            segment.bytes_per_second = DEMO_BYTES_PER_SECOND
    world.faults.delay(0.6, host="youtube.googleapis.com", path="/upload/*", times=None)


def demo_quick(world: World) -> None:
    """The same channel with shorter VODs, as fast as it goes."""
    _small_channel(world, media_times=1)


def _small_channel(world: World, *, media_times: int) -> None:
    channel = world.add_channel("demo_channel")
    longer = replace(media.SMALL, beats=30)
    shown = (
        ("fine", "Morning stream: reading the mail", 13),
        ("muted", "Music night, partly muted by Twitch", 8),
        ("fmp4", "Enhanced broadcast in HEVC", 8),
        ("cut", "Bad weather: the connection breaks once", 8),
        ("subscriber-only", "For subscribers only", 3),
        ("segment-404", "A piece of this one is gone for good", 3),
        ("live", "Live right now", 3),
    )
    for number, (kind, title, count) in enumerate(shown):
        form = longer if kind == "fine" else media.SMALL
        age = timedelta(minutes=5) if kind == "live" else timedelta(hours=20 + 26 * number)
        segments = count * media_times
        world.add_vod(channel, kind, title=title, segment_count=segments, form=form, age=age)


def bench(world: World) -> None:
    """One VOD of 2 GB, fine."""
    world.add_vod("bench", title="Two gigabytes", size_bytes=BENCH_BYTES)


def bench_plain(world: World) -> None:
    """The same without TLS on the CDN, so that the clients are measured and not OpenSSL."""
    vod = world.add_vod("bench", title="Two gigabytes", size_bytes=BENCH_BYTES)
    vod.plain_http = True


def bench_quick(world: World) -> None:
    """The same, but smaller."""
    vod = world.add_vod("bench", title="Half a gigabyte", size_bytes=BENCH_BYTES // 4)
    vod.plain_http = True


SCENARIOS: dict[str, Callable[[World], None]] = {
    "empty": empty,
    "demo": demo,
    "demo-quick": demo_quick,
    "bench": bench,
    "bench-plain": bench_plain,
    "bench-quick": bench_quick,
}
