"""Whether a server takes enough connections, and how many it should take."""

from __future__ import annotations

from dataclasses import dataclass

_SPARE_PER_DAEMON = 2
"""What a daemon holds beside its pool: one that listens, one that records chat."""
_FOR_PEOPLE = 10
"""Commands, a dump, psql, monitoring."""
_FULL = 0.8
_STEP = 10


@dataclass(frozen=True, slots=True)
class Demand:
    """What is used and what could be. `per_daemon` is DB_MAX_OPEN_CONNS; `others` are the
    connections that no daemon of ours holds."""

    max_connections: int
    reserved: int
    in_use: int
    others: int
    daemons: int
    per_daemon: int

    @property
    def usable(self) -> int:
        """How many an ordinary role can have, all together."""
        return self.max_connections - self.reserved

    @property
    def is_nearly_full(self) -> bool:
        """Whether the next connection may soon be refused."""
        return self.in_use >= _FULL * self.usable

    @property
    def needed(self) -> int:
        """`max_connections` with which everybody gets what they may ask for at the same time."""
        daemons = max(1, self.daemons) * (self.per_daemon + _SPARE_PER_DAEMON)
        return self.reserved + daemons + self.others + _FOR_PEOPLE

    @property
    def raise_to(self) -> int | None:
        """The `max_connections` to set; None: what there is will do."""
        wanted = self.needed
        if self.is_nearly_full:
            wanted = max(wanted, self.reserved + self.in_use + self.in_use // 2)
        if wanted <= self.max_connections:
            return None
        return -(-wanted // _STEP) * _STEP
