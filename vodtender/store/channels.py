"""The channels, and where the walk through their older VODs stands."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from vodtender.store.database import Connection


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel. `problem` says why it could not be listed the last time."""

    channel: str
    user_id: str | None
    listed_at: datetime | None
    catalogued_at: datetime | None
    problem: str | None


def watch(connection: Connection, channels: Iterable[str]) -> None:
    """Notes channels that a daemon is to list."""
    for channel in sorted(channels):
        connection.execute(
            "INSERT INTO channels (channel) VALUES (%s) ON CONFLICT DO NOTHING", (channel,)
        )


def all_channels(connection: Connection) -> list[Channel]:
    """All channels that are watched or have VODs."""
    with connection.cursor(row_factory=class_row(Channel)) as cursor:
        return cursor.execute(
            "SELECT channel, user_id, listed_at, catalogued_at, problem FROM channels"
            " ORDER BY channel"
        ).fetchall()


def listed(connection: Connection, channel: str, *, user_id: str | None, whole: bool) -> None:
    """It was listed just now; with `whole` down to the oldest VOD that is wanted."""
    connection.execute(
        """
        UPDATE channels SET listed_at = now(), problem = NULL,
            user_id = coalesce(%(user_id)s, user_id),
            catalogued_at = CASE WHEN %(whole)s THEN now() ELSE catalogued_at END
        WHERE channel = %(channel)s
        """,
        {"channel": channel, "user_id": user_id, "whole": whole},
    )


def note_problem(connection: Connection, channel: str, problem: str) -> None:
    """Why it could not be listed, or not as it should be."""
    connection.execute("UPDATE channels SET problem = %s WHERE channel = %s", (problem, channel))


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where an unfinished walk through a catalog goes on. `place` VODs come before it."""

    text: str
    place: int


def cursor_of(connection: Connection, channel: str, kind: str) -> Cursor | None:
    """Where the walk goes on; None: at the newest."""
    row = connection.execute(
        "SELECT cursor, place FROM catalog_cursors WHERE channel = %s AND kind = %s",
        (channel, kind),
    ).fetchone()
    return None if row is None or row["cursor"] is None else Cursor(row["cursor"], row["place"])


def save_cursor(connection: Connection, channel: str, kind: str, cursor: Cursor | None) -> None:
    """To be called in the transaction that enters the rows before the cursor. None: the walk
    is at its end."""
    connection.execute(
        """
        INSERT INTO catalog_cursors (channel, kind, cursor, place) VALUES (%s, %s, %s, %s)
        ON CONFLICT (channel, kind) DO UPDATE SET cursor = excluded.cursor,
            place = excluded.place, updated_at = now()
        """,
        (channel, kind, cursor.text if cursor else None, cursor.place if cursor else 0),
    )
