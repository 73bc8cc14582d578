"""Whether a video fits on YouTube, and how it is cut where it does not.

Limits: 12 hours or 256 GB, whichever is less
(https://support.google.com/youtube/answer/71673). Accounts that are not verified have 15
minutes; only YouTube can tell, and does so by rejecting the video.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from vodtender.errors import Rejected

LONGEST_SECONDS = 12 * 3600.0
LARGEST_BYTES = 256 * 10**9

# Cuts fall on key frames and the bit rate is not even, so parts aim below the limits.
_AIM_SECONDS = LONGEST_SECONDS - 300
_AIM_BYTES = int(LARGEST_BYTES * 0.9)


@dataclass(frozen=True, slots=True)
class Part:
    """One piece of a VOD: where it begins and how long it should be."""

    number: int
    of: int
    start_seconds: float
    duration_seconds: float


def fits(duration_seconds: float, size_bytes: int) -> bool:
    """Whether YouTube takes it in one piece."""
    return duration_seconds <= LONGEST_SECONDS and size_bytes <= LARGEST_BYTES


def plan(duration_seconds: float, size_bytes: int, *, split: bool) -> tuple[Part, ...]:
    """The parts to upload, in order and of equal length; one part when it fits.

    Raises:
        Rejected: it does not fit and `split` is off.
    """
    if fits(duration_seconds, size_bytes):
        return (Part(1, 1, 0.0, duration_seconds),)
    if not split:
        raise Rejected(
            f"the video is {duration_seconds / 3600:.1f} h long and {size_bytes / 1e9:.0f} GB; "
            "YouTube takes at most 12 h and 256 GB",
            hint="set YT_SPLIT=1 to upload it in parts, then: vodtender retry VOD",
            code="too_large",
        )
    count = max(math.ceil(duration_seconds / _AIM_SECONDS), math.ceil(size_bytes / _AIM_BYTES), 2)
    length = duration_seconds / count
    return tuple(Part(i + 1, count, i * length, length) for i in range(count))
