"""The catalog: what is known of each VOD."""

from __future__ import annotations

import json
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


def by_numbers(connection: Connection, twitch_vod_ids: Sequence[str]) -> list[Vod]:
    """Those of these VODs that there are."""
    query = _SELECT + sql.SQL("WHERE twitch_vod_id = ANY(%s) ORDER BY id")
    with connection.cursor(row_factory=class_row(Vod)) as cursor:
        return cursor.execute(query, (list(twitch_vod_ids),)).fetchall()


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
    Returns how many were new.

    A row that would stay as it is is not touched. One that somebody is just changing is left
    to the next look: waiting for an operator's edit of many could be waiting crosswise.
    """
    listed = {"listed": json.dumps([_listed_values(entry) for entry in entries])}
    connection.execute(_REFRESH, listed)
    return connection.execute(_ADD_NEW, listed).rowcount


_LISTED = """jsonb_to_recordset(%(listed)s::jsonb) AS listed (twitch_vod_id text, channel text,
        kind text, title text, description text, date timestamptz, duration_seconds integer,
        stream_id text, vanishes_at timestamptz, stage text, first_seen_at timestamptz,
        length_grew_at timestamptz)"""

# The next listing says when a VOD that is being recorded ends. Should there be none, because
# the channel is not watched any more or Twitch lists the VOD no more, it is tried anyway.
_REFRESH = f"""
    WITH news AS (
        SELECT vods.id, listed.* FROM {_LISTED} JOIN vods USING (twitch_vod_id)
        WHERE (vods.channel, vods.kind, vods.length_grew_at)
                IS DISTINCT FROM (listed.channel, listed.kind, listed.length_grew_at)
            OR vods.title <> coalesce(nullif(listed.title, ''), vods.title)
            OR vods.description IS DISTINCT FROM coalesce(listed.description, vods.description)
            OR vods.date IS DISTINCT FROM coalesce(listed.date, vods.date)
            OR vods.duration_seconds
                IS DISTINCT FROM coalesce(listed.duration_seconds, vods.duration_seconds)
            OR vods.stream_id IS DISTINCT FROM coalesce(listed.stream_id, vods.stream_id)
            OR vods.vanishes_at IS DISTINCT FROM coalesce(listed.vanishes_at, vods.vanishes_at)
            OR (vods.stage IN ('live', 'queued') AND vods.stage <> listed.stage)
            OR (vods.stage = 'live'
                AND coalesce(vods.next_try_at, now()) < now() + interval '30 minutes')
        FOR UPDATE OF vods SKIP LOCKED
    )
    UPDATE vods SET channel = news.channel, kind = news.kind,
        title = coalesce(nullif(news.title, ''), vods.title),
        description = coalesce(news.description, vods.description),
        date = coalesce(news.date, vods.date),
        duration_seconds = coalesce(news.duration_seconds, vods.duration_seconds),
        stream_id = coalesce(news.stream_id, vods.stream_id),
        vanishes_at = coalesce(news.vanishes_at, vods.vanishes_at),
        length_grew_at = news.length_grew_at,
        stage = CASE WHEN vods.stage IN ('live', 'queued') THEN news.stage ELSE vods.stage END,
        next_try_at = CASE WHEN vods.stage NOT IN ('live', 'queued') THEN vods.next_try_at
            WHEN news.stage = 'live' THEN now() + interval '1 hour'
            WHEN vods.stage = 'queued' THEN vods.next_try_at END,
        waiting_for = CASE WHEN vods.stage NOT IN ('live', 'queued') THEN vods.waiting_for
            WHEN news.stage = 'live' THEN 'recording'
            WHEN vods.stage = 'queued' THEN vods.waiting_for END
    FROM news WHERE vods.id = news.id
"""

_ADD_NEW = f"""
    INSERT INTO vods (twitch_vod_id, channel, kind, title, description, date, duration_seconds,
        stream_id, vanishes_at, stage, first_seen_at, length_grew_at, next_try_at, waiting_for)
    SELECT listed.*, CASE stage WHEN 'live' THEN now() + interval '1 hour' END,
        CASE stage WHEN 'live' THEN 'recording' END
    FROM {_LISTED}
    WHERE NOT EXISTS (SELECT FROM vods WHERE vods.twitch_vod_id = listed.twitch_vod_id)
    ORDER BY twitch_vod_id
    ON CONFLICT (twitch_vod_id) DO NOTHING
"""


def _listed_values(entry: Entry) -> dict[str, Any]:
    listed, looks = entry.listed, entry.looks
    return {
        "twitch_vod_id": listed.vod_id,
        "channel": listed.channel,
        "kind": listed.kind,
        "title": _storable(listed.title),
        "description": _storable(listed.description) if listed.description else None,
        "date": _moment(listed.started_at),
        "duration_seconds": looks.duration_seconds,
        "stream_id": listed.stream_id,
        "vanishes_at": _moment(entry.vanishes_at),
        "stage": "live" if entry.is_recording else "queued",
        "first_seen_at": _moment(looks.first_at),
        "length_grew_at": _moment(looks.grew_at),
    }


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _storable(text: str) -> str:
    """PostgreSQL's texts hold no NUL and no half of a surrogate pair."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


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
            "title": _storable(title),
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
    """What had been begun of its upload counts no more: its file, here or in the archive, waits
    to be uploaded, and without one it is fetched again. Whoever works on it loses it."""
    connection.execute(
        """
        UPDATE vods SET problem = NULL, problem_code = NULL, waiting_for = NULL,
            next_try_at = NULL, uncertain_since = NULL, missing_since = NULL,
            cancel_reason = NULL, upload_attempts = 0, polls = 0, video_id = NULL,
            worker_id = NULL, lease_expires_at = NULL, claim = claim + 1,
            stage = CASE WHEN has_file(vods) THEN 'downloaded' ELSE 'queued' END
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
