"""How long to wait after a failure.

A few quick tries first, for trouble that passes in seconds; then rests that grow from the
cooldown to hours, for trouble that does not. There is no last try while the VOD can still be
had: an archive that gives up on Friday night has lost it by Monday.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

_LONGEST_REST = timedelta(hours=6)


@dataclass(frozen=True, slots=True)
class Backoff:
    """`quick_tries` with waits that double from `base`; then a `cooldown`, doubling too."""

    quick_tries: int
    base: timedelta
    cooldown: timedelta

    def is_quick(self, failures: int) -> bool:
        """Whether the next try still belongs to the quick ones."""
        return failures < self.quick_tries

    def wait(self, failures: int, jitter: float) -> timedelta:
        """The wait after so many failures in a row (from 1 on); `jitter` is in [0, 1).

        Shortened by up to a half, so that VODs that failed together do not return together.
        """
        if self.is_quick(failures):
            longest = min(self.base * 2.0 ** min(failures - 1, 20), self.cooldown)
        else:
            rests = min(failures - self.quick_tries, 20)
            longest = max(self.cooldown, min(self.cooldown * 2.0**rests, _LONGEST_REST))
        return longest * (1 - jitter / 2)
