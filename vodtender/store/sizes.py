"""How much room the tables take, and how much of it is dead."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from vodtender.store.database import Connection

_NOT_SYSTEM = """
    n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
"""

_LEFTOVER = re.compile(r"_cc(?:new|old)[0-9]*\Z")
"""How REINDEX CONCURRENTLY calls what it builds and what it replaces. PostgreSQL adds a number
where the name is taken, by what an earlier failure has left, for instance."""


@dataclass(frozen=True, slots=True)
class TableSize:
    """One table. `name` can be typed in SQL; `rows` and `dead_rows` are the server's estimates."""

    name: str
    rows: int
    dead_rows: int
    table_bytes: int
    index_bytes: int
    toast_bytes: int
    total_bytes: int
    vacuumed_at: datetime | None
    is_ours: bool
    """Whether our role may vacuum it."""


@dataclass(frozen=True, slots=True)
class IndexSize:
    """One index. `name` and `table` can be typed in SQL."""

    name: str
    table: str
    total_bytes: int
    is_valid: bool
    is_ours: bool
    """Whether our role may build it anew."""

    @property
    def is_leftover(self) -> bool:
        """Whether it is what an interrupted REINDEX CONCURRENTLY has left: of no use to any
        query, and yet written to with every change."""
        return not self.is_valid and _LEFTOVER.search(self.name.strip('"')) is not None


def tables(connection: Connection) -> list[TableSize]:
    """All tables but the system's own, the biggest first."""
    with connection.cursor(row_factory=class_row(TableSize)) as cursor:
        return cursor.execute(
            f"""
            SELECT *, total_bytes - index_bytes - toast_bytes AS table_bytes FROM (
                SELECT {_name("c")} AS name,
                    coalesce(nullif(s.n_live_tup, 0), greatest(c.reltuples, 0)::bigint) AS rows,
                    coalesce(s.n_dead_tup, 0) AS dead_rows,
                    coalesce(pg_total_relation_size(c.oid), 0) AS total_bytes,
                    coalesce(pg_indexes_size(c.oid), 0) AS index_bytes,
                    coalesce(pg_total_relation_size(nullif(c.reltoastrelid, 0)), 0)
                        AS toast_bytes,
                    greatest(s.last_vacuum, s.last_autovacuum) AS vacuumed_at,
                    pg_has_role(c.relowner, 'USAGE') OR pg_has_role(d.datdba, 'USAGE') AS is_ours
                FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                    JOIN pg_database d ON d.datname = current_database()
                    LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid
                WHERE c.relkind IN ('r', 'm') AND {_NOT_SYSTEM}
            ) AS measured ORDER BY total_bytes DESC, name
            """
        ).fetchall()


def indexes(connection: Connection) -> list[IndexSize]:
    """All indexes of those tables, the biggest first."""
    with connection.cursor(row_factory=class_row(IndexSize)) as cursor:
        return cursor.execute(
            f"""
            SELECT {_name("i")} AS name, {_name("c")} AS "table",
                coalesce(pg_total_relation_size(i.oid), 0) AS total_bytes,
                x.indisvalid AND x.indisready AND x.indislive AS is_valid,
                pg_has_role(c.relowner, 'USAGE') AS is_ours
            FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
                JOIN pg_class c ON c.oid = x.indrelid
                JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.relkind IN ('r', 'm') AND {_NOT_SYSTEM}
            ORDER BY total_bytes DESC, name
            """
        ).fetchall()


def of_catalogs(connection: Connection) -> int:
    """Bytes of the system's own tables in this database."""
    row = connection.execute(
        "SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint AS n FROM pg_class"
        " WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind = 'r' AND NOT relisshared"
    ).fetchone()
    assert row is not None
    size: int = row["n"]
    return size


def of_database(connection: Connection) -> int:
    """Bytes of the whole database, the system's own tables included."""
    row = connection.execute("SELECT pg_database_size(current_database()) AS n").fetchone()
    assert row is not None
    size: int = row["n"]
    return size


def _name(relation: str) -> str:
    """A name as `regclass` writes it: with its schema only where that is needed."""
    return f"{relation}.oid::regclass::text"
