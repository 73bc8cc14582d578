"""The finished files that lie in a directory."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql
from psycopg.rows import class_row

from vodtender.model.vod import Vod
from vodtender.store.database import Connection
from vodtender.store.vods import COLUMNS

_SELECT = sql.SQL("SELECT {} FROM vods ").format(
    sql.SQL(", ").join(sql.Identifier("vods", name) for name in COLUMNS)
)


def in_directory(connection: Connection, directory_id: str) -> list[Vod]:
    """Every VOD whose file lies in this directory."""
    query = _SELECT + sql.SQL(
        "WHERE downloaded_path IS NOT NULL AND directory_id = %s ORDER BY downloaded_at, id"
    )
    with connection.cursor(row_factory=class_row(Vod)) as cursor:
        return cursor.execute(query, (directory_id,)).fetchall()


def lock(connection: Connection, vod_id: int) -> Vod | None:
    """One VOD with a file, which nobody else changes until the transaction ends; None if it is
    in somebody's hands or has no file."""
    query = _SELECT + sql.SQL(
        "WHERE id = %s AND downloaded_path IS NOT NULL FOR UPDATE SKIP LOCKED"
    )
    with connection.cursor(row_factory=class_row(Vod)) as cursor:
        return cursor.execute(query, (vod_id,)).fetchone()


def lock_without(connection: Connection, twitch_vod_id: str) -> bool:
    """Whether it is a VOD without a file that nobody works on; then nobody does until the
    transaction ends."""
    query = (
        "SELECT FROM vods WHERE twitch_vod_id = %s AND downloaded_path IS NULL"
        " AND worker_id IS NULL FOR UPDATE SKIP LOCKED"
    )
    return connection.execute(query, (twitch_vod_id,)).fetchone() is not None


def in_work(connection: Connection, twitch_vod_ids: Sequence[str]) -> set[str]:
    """Which of these VODs somebody works on, or did and has not been found dead yet."""
    rows = connection.execute(
        "SELECT twitch_vod_id FROM vods WHERE twitch_vod_id = ANY(%s) AND worker_id IS NOT NULL",
        (list(twitch_vod_ids),),
    )
    return {row["twitch_vod_id"] for row in rows}


def removed(connection: Connection, vod_id: int) -> None:
    """The file is no more."""
    connection.execute(
        "UPDATE vods SET downloaded_path = NULL, directory_id = NULL, file_removed_at = now()"
        " WHERE id = %s",
        (vod_id,),
    )


def fetch_again(connection: Connection, vod_id: int, problem: str) -> bool:
    """Back into the queue, because its only file is gone; False if somebody works on it."""
    return bool(
        connection.execute(
            """
            UPDATE vods SET stage = 'queued', problem = %s, problem_code = 'file_gone',
                downloaded_path = NULL, directory_id = NULL, download_attempts = 0,
                next_try_at = NULL, recheck = true
            WHERE id = %s AND worker_id IS NULL AND stage IN ('downloaded', 'uploading')
            """,
            (problem, vod_id),
        ).rowcount
    )
