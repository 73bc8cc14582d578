"""The catalog: what is known of each VOD."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from psycopg import sql
from psycopg.rows import class_row

from vodtender.model.discovery import ListedVod, Looks
from vodtender.model.vod import Vod
from vodtender.store.database import CHANNEL, Connection

COLUMNS = tuple(field.name for field in fields(Vod))
_SELECT = sql.SQL("SELECT {} FROM vods ").format(
    sql.SQL(", ").join(sql.Identifier("vods", name) for name in COLUMNS)
)


@dataclass(frozen=True, slots=True)
class Entry:
    """A listed VOD with what follows from it: whether Twitch still records it, when it will
    vanish, and what the looks at its length have shown."""

    listed: ListedVod
    is_recording: bool
    vanishes_at: datetime | None
    looks: Looks


@dataclass(frozen=True, slots=True)
class Filter:
    """Which VODs; what is not given does not matter."""

    states: tuple[str, ...] = ()
    channel: str | None = None
    failed: bool = False
    """With a problem that is not the quota, and not being tried again at this moment."""
    held_by_quota: bool = False
    error_text: str | None = None
    began_after: datetime | None = None
    began_before: datetime | None = None
    created_after: datetime | None = None
    """When the row was entered, which is when the VOD was found."""
    changed_after: datetime | None = None


@dataclass(frozen=True, slots=True)
class HistoryLine:
    """One step of a VOD."""

    at: datetime
    actor: str
    from_stage: str | None
    to_stage: str
    detail: str | None


def get(connection: Connection, twitch_vod_id: str, *, lock: bool = False) -> Vod | None:
    """One VOD; with `lock` nobody else changes it until the transaction ends."""
    query = _SELECT + sql.SQL("WHERE twitch_vod_id = %s" + (" FOR UPDATE" if lock else ""))
    with connection.cursor(row_factory=class_row(Vod)) as cursor:
        return cursor.execute(query, (twitch_vod_id,)).fetchone()


def find(connection: Connection, wanted: Filter, *, limit: int | None) -> list[Vod]:
    """The VODs that fit, the newest stream first."""
    query = _SELECT + _where(wanted) + _NEWEST_FIRST
    with connection.cursor(row_factory=class_row(Vod)) as cursor:
        return cursor.execute(query, {**_parameters(wanted), "limit": limit}).fetchall()


def count(connection: Connection, wanted: Filter) -> int:
    """How many VODs fit."""
    query = sql.SQL("SELECT count(*) AS n FROM vods ") + _where(wanted)
    row = connection.execute(query, _parameters(wanted)).fetchone()
    assert row is not None
    number: int = row["n"]
    return number


def numbers(connection: Connection, wanted: Filter) -> list[str]:
    """The Twitch numbers of the VODs that fit, those that were entered first before others."""
    query = sql.SQL("SELECT twitch_vod_id FROM vods ") + _where(wanted) + sql.SQL(" ORDER BY id")
    return [row["twitch_vod_id"] for row in connection.execute(query, _parameters(wanted))]


def history(connection: Connection, vod: Vod, limit: int = 100) -> list[HistoryLine]:
    """The last steps of a VOD, oldest first."""
    with connection.cursor(row_factory=class_row(HistoryLine)) as cursor:
        lines = cursor.execute(
            "SELECT at, actor, from_stage, to_stage, detail FROM vod_history"
            " WHERE vod_id = %s ORDER BY id DESC LIMIT %s",
            (vod.id, limit),
        ).fetchall()
    return lines[::-1]


def looks(connection: Connection, twitch_vod_ids: Iterable[str]) -> dict[str, Looks]:
    """What earlier looks have shown of the length of those VODs that are known."""
    rows = connection.execute(
        "SELECT twitch_vod_id, first_seen_at, duration_seconds, length_grew_at FROM vods"
        " WHERE twitch_vod_id = ANY(%s)",
        (list(twitch_vod_ids),),
    )
    return {
        row["twitch_vod_id"]: Looks(
            row["first_seen_at"], row["duration_seconds"], row["length_grew_at"]
        )
        for row in rows
    }


def enter(connection: Connection, entries: Sequence[Entry]) -> int:
    """Adds VODs that are new and refreshes what is known of the others, whatever their stage.
    Returns how many were new. A row that would stay as it is is not touched."""
    new = 0
    for entry in sorted(entries, key=lambda entry: entry.listed.vod_id):  # no deadlocks
        row = connection.execute(_ENTER, _entry_values(entry)).fetchone()
        new += row is not None and row["is_new"]
    return new


_ENTER = """
    INSERT INTO vods AS known (twitch_vod_id, channel, kind, title, description, date,
        duration_seconds, stream_id, vanishes_at, stage, first_seen_at, length_grew_at)
    VALUES (%(vod_id)s, %(channel)s, %(kind)s, %(title)s, %(description)s, %(date)s,
        %(duration_seconds)s, %(stream_id)s, %(vanishes_at)s, %(stage)s, %(first_seen_at)s,
        %(length_grew_at)s)
    ON CONFLICT (twitch_vod_id) DO UPDATE SET
        channel = excluded.channel, kind = excluded.kind,
        title = coalesce(nullif(excluded.title, ''), known.title),
        description = coalesce(excluded.description, known.description),
        date = coalesce(excluded.date, known.date),
        duration_seconds = coalesce(excluded.duration_seconds, known.duration_seconds),
        stream_id = coalesce(excluded.stream_id, known.stream_id),
        vanishes_at = coalesce(excluded.vanishes_at, known.vanishes_at),
        length_grew_at = excluded.length_grew_at,
        stage = CASE
            WHEN known.stage = 'live' THEN excluded.stage
            WHEN known.stage = 'queued' AND known.worker_id IS NULL THEN excluded.stage
            ELSE known.stage END,
        next_try_at = CASE WHEN known.stage <> 'live' THEN known.next_try_at END,
        waiting_for = CASE WHEN known.stage <> 'live' THEN known.waiting_for END
    WHERE (known.channel, known.kind, known.title, known.stream_id, known.length_grew_at)
            IS DISTINCT FROM (excluded.channel, excluded.kind,
                coalesce(nullif(excluded.title, ''), known.title),
                coalesce(excluded.stream_id, known.stream_id), excluded.length_grew_at)
        OR known.description
            IS DISTINCT FROM coalesce(excluded.description, known.description)
        OR known.date IS DISTINCT FROM coalesce(excluded.date, known.date)
        OR known.duration_seconds
            IS DISTINCT FROM coalesce(excluded.duration_seconds, known.duration_seconds)
        OR known.vanishes_at IS DISTINCT FROM coalesce(excluded.vanishes_at, known.vanishes_at)
        OR known.stage IN ('live', 'queued') AND known.stage <> excluded.stage
    RETURNING xmax = 0 AS is_new
"""


def _entry_values(entry: Entry) -> dict[str, Any]:
    listed = entry.listed
    return {
        "vod_id": listed.vod_id,
        "channel": listed.channel,
        "kind": listed.kind,
        "title": listed.title.replace("\0", ""),
        "description": listed.description.replace("\0", "") if listed.description else None,
        "date": listed.started_at,
        "duration_seconds": entry.looks.duration_seconds,
        "stream_id": listed.stream_id,
        "vanishes_at": entry.vanishes_at,
        "stage": "live" if entry.is_recording else "queued",
        "first_seen_at": entry.looks.first_at,
        "length_grew_at": entry.looks.grew_at,
    }


def add(connection: Connection, twitch_vod_id: str, *, skip_upload: bool, priority: int) -> bool:
    """Adds a VOD of which only the number is known; False if it is known already."""
    row = connection.execute(
        "INSERT INTO vods (twitch_vod_id, skip_upload, priority) VALUES (%s, %s, %s)"
        " ON CONFLICT (twitch_vod_id) DO NOTHING RETURNING id",
        (twitch_vod_id, skip_upload, priority),
    ).fetchone()
    return row is not None


def describe(
    connection: Connection,
    vod: Vod,
    *,
    channel: str,
    title: str,
    date: datetime | None,
    duration_seconds: int | None,
) -> None:
    """Fills in what was not known of a VOD that was added by its number alone."""
    connection.execute(
        """
        UPDATE vods SET channel = CASE WHEN channel = '' THEN %(channel)s ELSE channel END,
            title = CASE WHEN title = '' THEN %(title)s ELSE title END,
            date = coalesce(date, %(date)s),
            duration_seconds = coalesce(nullif(duration_seconds, 0), %(duration_seconds)s)
        WHERE id = %(id)s
        """,
        {
            "id": vod.id,
            "channel": channel,
            "title": title.replace("\0", ""),
            "date": date,
            "duration_seconds": duration_seconds,
        },
    )


def edit(connection: Connection, vod: Vod, **columns: Any) -> None:
    """Sets columns of one VOD the way an operator would with psql: the triggers do the rest."""
    names = list(columns)
    query = sql.SQL("UPDATE vods SET {} WHERE id = %(id)s").format(
        sql.SQL(", ").join(
            sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(name)) for name in names
        )
    )
    connection.execute(query, {**columns, "id": vod.id})


def upload_anew(connection: Connection, vod: Vod) -> None:
    """What had been begun of its upload counts no more: its file waits to be uploaded, and
    without one it is fetched again. Whoever works on it loses it."""
    connection.execute(
        """
        UPDATE vods SET problem = NULL, problem_code = NULL, waiting_for = NULL,
            next_try_at = NULL, uncertain_since = NULL, cancel_reason = NULL, upload_attempts = 0,
            worker_id = NULL, lease_expires_at = NULL, claim = claim + 1,
            stage = CASE WHEN downloaded_path IS NULL THEN 'queued' ELSE 'downloaded' END
        WHERE id = %s
        """,
        (vod.id,),
    )


def request_cancel(connection: Connection, vod: Vod, reason: str) -> None:
    """Asks the worker that has it in hand to stop; its next heartbeat finds this."""
    connection.execute("UPDATE vods SET cancel_reason = %s WHERE id = %s", (reason, vod.id))


def notify(connection: Connection) -> None:
    """Wakes all daemons when the transaction commits."""
    connection.execute(sql.SQL("NOTIFY {}").format(sql.Identifier(CHANNEL)))


_NEWEST_FIRST = sql.SQL(" ORDER BY coalesce(date, created_at) DESC, id DESC LIMIT %(limit)s")
_CONDITIONS = {
    "states": "state = ANY(%(states)s)",
    "channel": "channel = %(channel)s",
    "failed": "processing_error IS NOT NULL AND stage <> 'skipped' AND worker_id IS NULL"
    " AND problem_code IS DISTINCT FROM 'quota'",
    "held_by_quota": "processing_error IS NOT NULL AND problem_code = 'quota'",
    "error_text": "strpos(lower(processing_error), lower(%(error_text)s)) > 0",
    "began_after": "coalesce(date, created_at) > %(began_after)s",
    "began_before": "coalesce(date, created_at) < %(began_before)s",
    "created_after": "created_at > %(created_after)s",
    "changed_after": "updated_at > %(changed_after)s",
}


def _where(wanted: Filter) -> sql.Composable:
    given = [sql.SQL(_CONDITIONS[name]) for name, value in _parameters(wanted).items() if value]
    return sql.SQL("WHERE ") + sql.SQL(" AND ").join(given) if given else sql.SQL("")


def _parameters(wanted: Filter) -> dict[str, Any]:
    return {**{name: getattr(wanted, name) for name in _CONDITIONS}, "states": list(wanted.states)}
