"""Where the clock of a stream jumps although its playlist does not say so.

A playlist announces a jump with `EXT-X-DISCONTINUITY`, and the muxer needs to know of each: it
spreads or squeezes what lies around one that it was not told of. So when a file does not last
as long as its playlist, the segments' own clocks are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from vodtender.model.playlist import Segment

_PACKET_BYTES = 188
_READ_BYTES = _PACKET_BYTES * 5000
_TICKS_PER_SECOND = 90_000
_CLOCK_TICKS = 2**33
_JUMP_SECONDS = 1.0


def with_jumps(segments: Iterable[tuple[Segment, Path]]) -> Iterator[Segment]:
    """The segments of a transport stream, each marked when it does not go on in time where the
    one before it ended."""
    before: tuple[Segment, dict[int, int]] | None = None
    for segment, path in segments:
        begins = first_ticks(path)
        jumps = before is not None and _jumps(before[1], begins, before[0].duration_seconds)
        yield replace(segment, discontinuity=segment.discontinuity or jumps)
        before = segment, begins


def first_ticks(path: Path) -> dict[int, int]:
    """By stream (its PID) the time of its first packet, in ticks of 90 kHz (ISO 13818-1)."""
    with path.open("rb") as file:
        data = file.read(_READ_BYTES)
    found: dict[int, int] = {}
    for at in range(0, len(data) - _PACKET_BYTES + 1, _PACKET_BYTES):
        packet = data[at : at + _PACKET_BYTES]
        pid = (packet[1] & 0x1F) << 8 | packet[2]
        if packet[1] & 0x40 and pid not in found:
            ticks = _ticks(packet)
            if ticks is not None:
                found[pid] = ticks
    return found


def _ticks(packet: bytes) -> int | None:
    """The decoding time, else the presentation time, with which a packet begins; None if it
    has none."""
    start = 4 + (1 + packet[4] if packet[3] & 0x20 else 0)
    head = packet[start : start + 19]
    if len(head) < 14 or head[:3] != b"\0\0\1" or not head[7] & 0x80:
        return None
    stamp = head[14:19] if head[7] & 0x40 else head[9:14]
    if len(stamp) < 5:
        return None
    high, middle, low = stamp[0] >> 1 & 7, stamp[1] << 8 | stamp[2], stamp[3] << 8 | stamp[4]
    return high << 30 | middle >> 1 << 15 | low >> 1


def _jumps(before: dict[int, int], after: dict[int, int], seconds: float) -> bool:
    """Whether no stream goes on after so many seconds. Of one alone, packets may be missing."""
    off = [
        abs(((after[pid] - ticks) % _CLOCK_TICKS) / _TICKS_PER_SECOND - seconds)
        for pid, ticks in before.items()
        if pid in after
    ]
    return not off or min(off) > _JUMP_SECONDS
