"""Whether processing is paused, and why. Kept in `kv`, for all channels and daemons."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from vodtender.store.database import Connection

_KEY = "paused"


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing new is begun while there is one."""

    reason: str
    since: datetime


def get(connection: Connection) -> Pause | None:
    """The pause, if there is one."""
    row = connection.execute(
        "SELECT value, updated_at FROM kv WHERE channel = '' AND key = %s", (_KEY,)
    ).fetchone()
    return None if row is None else Pause(row["value"], row["updated_at"])


def begin(connection: Connection, reason: str) -> None:
    """Pauses, or gives the pause another reason."""
    connection.execute(
        """
        INSERT INTO kv (channel, key, value) VALUES ('', %s, %s)
        ON CONFLICT (channel, key) DO UPDATE SET value = excluded.value
        """,
        (_KEY, reason),
    )


def end(connection: Connection) -> None:
    """Ends the pause, if there is one."""
    connection.execute("DELETE FROM kv WHERE channel = '' AND key = %s", (_KEY,))
