"""What lies in the archive, and who may move it there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import datetime

from psycopg import sql
from psycopg.rows import class_row

from vodtender.model.archive import ArchivedFile
from vodtender.model.vod import Vod
from vodtender.store.database import Connection
from vodtender.store.vods import COLUMNS

_COLUMNS = sql.SQL(", ").join(sql.Identifier(field.name) for field in fields(ArchivedFile))
_VALUES = sql.SQL(", ").join(sql.Placeholder(field.name) for field in fields(ArchivedFile))
_SELECT = sql.SQL("SELECT {} FROM archived_files ").format(_COLUMNS)
_VOD_COLUMNS = sql.SQL(", ").join(sql.Identifier("vods", name) for name in COLUMNS)


@dataclass(frozen=True, slots=True)
class Totals:
    """How much there is. `amiss` are lost or damaged, and not in the other figures; `waiting`
    are still to be uploaded to YouTube."""

    files: int
    size_bytes: int
    amiss: int
    waiting: int
    last_at: datetime | None


def get(connection: Connection, vod_id: str) -> ArchivedFile | None:
    """The copy of a VOD's file (by its Twitch number), if there ever was one."""
    with connection.cursor(row_factory=class_row(ArchivedFile)) as cursor:
        return cursor.execute(_SELECT + sql.SQL("WHERE vod_id = %s"), (vod_id,)).fetchone()


def find(connection: Connection, vod_ids: Iterable[str] | None = None) -> list[ArchivedFile]:
    """All copies, or those of these VODs, what was archived last before others."""
    query = _SELECT + sql.SQL(
        "WHERE %(ids)s::text[] IS NULL OR vod_id = ANY(%(ids)s) ORDER BY archived_at DESC, vod_id"
    )
    wanted = None if vod_ids is None else list(vod_ids)
    with connection.cursor(row_factory=class_row(ArchivedFile)) as cursor:
        return cursor.execute(query, {"ids": wanted}).fetchall()


def by_check(connection: Connection, limit: int | None) -> list[ArchivedFile]:
    """Those that were looked at longest ago."""
    query = _SELECT + sql.SQL("ORDER BY checked_at, vod_id LIMIT %s")
    with connection.cursor(row_factory=class_row(ArchivedFile)) as cursor:
        return cursor.execute(query, (limit,)).fetchall()


def put(connection: Connection, copy: ArchivedFile) -> None:
    """Remembers a copy, instead of an earlier one of the same VOD."""
    sets = sql.SQL(", ").join(
        sql.SQL("{0} = excluded.{0}").format(sql.Identifier(field.name))
        for field in fields(ArchivedFile)
    )
    connection.execute(
        sql.SQL(
            "INSERT INTO archived_files ({}) VALUES ({}) ON CONFLICT (vod_id) DO UPDATE SET {}"
        ).format(_COLUMNS, _VALUES, sets),
        {field.name: getattr(copy, field.name) for field in fields(ArchivedFile)},
    )


def looked(connection: Connection, copy: ArchivedFile, problem: str | None) -> bool:
    """Remembers what a look at a copy has shown; False when the copy is another by now."""
    return bool(
        connection.execute(
            "UPDATE archived_files SET checked_at = now(), problem = %s"
            " WHERE vod_id = %s AND place = %s AND sha256 = %s",
            (problem, copy.vod_id, copy.place, copy.sha256),
        ).rowcount
    )


def asked(connection: Connection, copy: ArchivedFile, tier: str) -> None:
    """Remembers that it was asked for."""
    connection.execute(
        "UPDATE archived_files SET asked_at = now(), asked_tier = %s"
        " WHERE vod_id = %s AND place = %s",
        (tier, copy.vod_id, copy.place),
    )


def totals(connection: Connection) -> Totals:
    """See `Totals`."""
    with connection.cursor(row_factory=class_row(Totals)) as cursor:
        found = cursor.execute(
            """
            SELECT count(*) FILTER (WHERE a.problem IS NULL) AS files,
                coalesce(sum(size_bytes) FILTER (WHERE a.problem IS NULL), 0)::bigint AS size_bytes,
                count(*) FILTER (WHERE a.problem IS NOT NULL) AS amiss,
                (SELECT count(*) FROM vods JOIN archived_files AS c ON c.vod_id = twitch_vod_id
                    WHERE stage = 'downloaded' AND downloaded_path IS NULL) AS waiting,
                max(archived_at) AS last_at
            FROM archived_files AS a
            """
        ).fetchone()
    assert found is not None
    return found


# --- claiming a VOD while its file is moved -----------------------------------------------


def claim(
    connection: Connection,
    vod_id: int,
    worker_id: str,
    *,
    directory_id: str | None,
    lease_seconds: float,
) -> Vod | None:
    """Takes a VOD whose file lies in this directory (None: on no disk), unless somebody has it
    in hand."""
    query = sql.SQL(
        """
        UPDATE vods SET worker_id = %(worker_id)s, claim = claim + 1,
            lease_expires_at = now() + make_interval(secs => %(lease_seconds)s)
        WHERE id = (SELECT id FROM vods WHERE id = %(id)s AND worker_id IS NULL
            AND directory_id IS NOT DISTINCT FROM %(directory_id)s::text
            AND (downloaded_path IS NULL) = (%(directory_id)s::text IS NULL)
            FOR UPDATE SKIP LOCKED)
        RETURNING {}
        """
    ).format(_VOD_COLUMNS)
    known = {
        "id": vod_id,
        "worker_id": worker_id,
        "directory_id": directory_id,
        "lease_seconds": lease_seconds,
    }
    with connection.cursor(row_factory=class_row(Vod)) as cursor:
        return cursor.execute(query, known).fetchone()


def put_back(connection: Connection, vod_id: int, path: str, directory_id: str) -> None:
    """The file lies on a disk again, and is what it was."""
    connection.execute(
        "UPDATE vods SET downloaded_path = %s, directory_id = %s, downloaded_at = now(),"
        " file_removed_at = NULL WHERE id = %s",
        (path, directory_id, vod_id),
    )


def is_on_disk(connection: Connection, vod_id: str) -> bool:
    """Whether that VOD (by its Twitch number) has a file on some disk."""
    row = connection.execute(
        "SELECT FROM vods WHERE twitch_vod_id = %s AND downloaded_path IS NOT NULL", (vod_id,)
    ).fetchone()
    return row is not None
