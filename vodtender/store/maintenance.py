"""VACUUM and REINDEX: what may not be done in a transaction.

All of it wants a connection in autocommit mode that leads past any pooler and belongs to us
alone (`begin`). Nothing here waits for a lock for longer than that was told. Names are those of
`sizes`: as the server itself has quoted them.
"""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
from psycopg import errors as pg
from psycopg.rows import class_row

from vodtender.errors import Locked, SettingsError
from vodtender.store.database import Connection, first_line, translated
from vodtender.store.impatience import set_patience

_LOCK = 0x76616375  # "vacu"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a statement on one table is, as the server tells. `total` 0: it does not say."""

    phase: str
    done: int
    total: int


def begin(connection: Connection, *, lock_seconds: float) -> None:
    """Makes the connection fit for all that follows, and keeps other vacuums out.

    Raises:
        SettingsError: it leads through a pooler.
        Locked: another vacuum of ours runs.
    """
    with translated():
        if is_pooled(connection):
            raise SettingsError(
                "DB_DSN leads through a pooler, where neither a lock nor a limit of time can be"
                " relied upon.",
                hint="set DB_DIRECT_DSN to the way past it, straight to PostgreSQL",
                code="pooler",
            )
        set_patience(connection, lock_seconds, local=False)
        connection.execute("SELECT set_config('statement_timeout', '0', false)")
        row = connection.execute("SELECT pg_try_advisory_lock(%s) AS got", (_LOCK,)).fetchone()
        if row is None or not row["got"]:
            raise Locked(
                "Another vodtender vacuum is at work on this database.",
                hint="wait for it; who is connected: vodtender db connections",
            )


def is_pooled(connection: Connection) -> bool:
    """Whether somebody stands between: a pooler gives out process numbers of its own."""
    row = connection.execute("SELECT pg_backend_pid() AS pid").fetchone()
    return row is not None and row["pid"] != connection.info.backend_pid


def vacuum(connection: Connection, table: str, *, full: bool) -> str | None:
    """VACUUM (ANALYZE) one table; returns why not, if it could not be done.

    Raises:
        DatabaseUnavailable: the connection is lost.
    """
    return _tried(connection, f"VACUUM ({'FULL, ' if full else ''}ANALYZE) {table}")


def vacuum_catalogs(connection: Connection) -> str | None:
    """The same for the system's own tables in this database; none of them is waited for."""
    rows = connection.execute(
        """
        SELECT c.oid::regclass::text AS name FROM pg_class c
        WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relkind = 'r'
            AND NOT c.relisshared ORDER BY 1
        """
    ).fetchall()
    names = ", ".join(row["name"] for row in rows)
    return _tried(connection, f"VACUUM (ANALYZE, SKIP_LOCKED) {names}")


def may_vacuum_catalogs(connection: Connection) -> bool:
    """Whether our role owns the database, or is a superuser."""
    row = connection.execute(
        "SELECT pg_has_role(datdba, 'USAGE') AS may FROM pg_database"
        " WHERE datname = current_database()"
    ).fetchone()
    return row is not None and bool(row["may"])


def reindex(connection: Connection, index: str) -> str | None:
    """Builds one index anew while everybody reads and writes; returns why not, if it could not
    be done. It may have left something then: see `IndexSize.is_leftover`."""
    return _tried(connection, f"REINDEX INDEX CONCURRENTLY {index}")


def drop_leftover(connection: Connection, index: str) -> str | None:
    """Removes one; returns why not. One that somebody else is still building holds a lock, and
    so cannot be removed."""
    return _tried(connection, f"DROP INDEX CONCURRENTLY IF EXISTS {index}")


def largest_wal_bytes(connection: Connection) -> int:
    """How large the server lets its log grow between two checkpoints."""
    row = connection.execute(
        "SELECT pg_size_bytes(current_setting('max_wal_size')) AS n"
    ).fetchone()
    assert row is not None
    size: int = row["n"]
    return size


# --- Progress ------------------------------------------------------------------------------
# https://www.postgresql.org/docs/current/progress-reporting.html

_PROGRESS = """
    SELECT phase, done, total FROM (
        SELECT relid, datid, phase,
            CASE phase WHEN 'vacuuming heap' THEN heap_blks_vacuumed ELSE heap_blks_scanned END
                AS done, heap_blks_total AS total
        FROM pg_stat_progress_vacuum
        UNION ALL
        SELECT relid, datid, phase, heap_blks_scanned, heap_blks_total
        FROM pg_stat_progress_cluster
        UNION ALL
        SELECT relid, datid, phase,
            CASE WHEN blocks_total > 0 THEN blocks_done ELSE lockers_done END,
            CASE WHEN blocks_total > 0 THEN blocks_total ELSE lockers_total END
        FROM pg_stat_progress_create_index
        UNION ALL
        SELECT relid, datid, 'analyzing: ' || phase, sample_blks_scanned, sample_blks_total
        FROM pg_stat_progress_analyze
    ) AS all_of_them
    WHERE relid = to_regclass(%s)
        AND datid = (SELECT oid FROM pg_database WHERE datname = current_database())
    LIMIT 1
"""


def progress(connection: Connection, table: str) -> Progress | None:
    """What is being done to a table at this moment, and how far it is."""
    with connection.cursor(row_factory=class_row(Progress)) as cursor:
        return cursor.execute(_PROGRESS, (table,)).fetchone()


def _tried(connection: Connection, statement: str) -> str | None:
    """Executes it; returns the server's objection. Raises DatabaseUnavailable without one."""
    try:
        connection.execute(statement.encode())
    except psycopg.Error as error:
        if connection.closed:
            with translated():
                raise
        if isinstance(error, pg.LockNotAvailable):
            return "somebody holds a lock that was not waited for"
        return first_line(error)
    return None
