"""What would tell that the database is damaged. Every function reads, and changes nothing.

Each looks at the tables themselves and never at an index alone, for a damaged index hides what
it does not hold. A table that cannot be read is a defect, not an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
from psycopg import errors as pg
from psycopg.rows import DictRow

from vodtender.store import lost_rows, sizes
from vodtender.store.database import Connection, first_line


@dataclass(frozen=True, slots=True)
class Defect:
    """What is wrong, and with what. `mend` is SQL that puts it right, where there is any."""

    target: str
    problem: str
    mend: str = ""


def without_indexes(connection: Connection) -> None:
    """For the rest of the transaction, queries read the tables themselves."""
    for name in ("enable_indexscan", "enable_indexonlyscan", "enable_bitmapscan"):
        connection.execute("SELECT set_config(%s, 'off', true)", (name,))


def unreadable(connection: Connection) -> Iterator[Defect]:
    """Tables of which not every value of every row can be read."""
    for table in sizes.tables(connection):
        query = (
            "SELECT count(*) FILTER (WHERE whole_row::text IS NULL) AS n"
            f" FROM {table.name} AS whole_row"
        )
        yield from _counted(connection, table.name, query, "rows are nothing")


def vanished(connection: Connection) -> Iterator[Defect]:
    """Rows that an index knows and the table has no more: pages of zeros are no damage to
    PostgreSQL."""
    lost_rows.prefer_indexes(connection)
    for table in lost_rows.indexed(connection):
        counts = lost_rows.counts(table).as_string(connection)
        query = f"SELECT greatest(known - there, 0) AS n FROM ({counts}) AS counts"
        yield from _counted(connection, table.name, query, "rows are gone that its index knows")


def nulls(connection: Connection) -> Iterator[Defect]:
    """Columns that must have a value and do not, the VODs' numbers among them."""
    for row in _rows(connection, _REQUIRED):
        # By a function, since the planner knows that such a column IS NULL nowhere.
        query = f"SELECT count(*) AS n FROM {row['name']} WHERE num_nulls({row['column']}) > 0"
        target = f"{row['name']}.{row['column']}"
        yield from _counted(connection, target, query, "rows have no value there")


def duplicates(connection: Connection) -> Iterator[Defect]:
    """What must be there once only, and is there several times."""
    for row in _rows(connection, _UNIQUE):
        keys = ", ".join(row["keys"])
        wanted = [] if row["nulls_equal"] else [f"num_nulls({keys}) = 0"]
        wanted += [row["predicate"]] if row["predicate"] else []
        where = f"WHERE {' AND '.join(wanted)}" if wanted else ""
        query = (
            f"SELECT count(*) AS n FROM (SELECT FROM {row['name']} {where}"
            f" GROUP BY {keys} HAVING count(*) > 1) AS several"
        )
        target = f"{row['name']} ({keys})"
        yield from _counted(connection, target, query, "values are there more than once")


def broken_references(connection: Connection) -> Iterator[Defect]:
    """Rows that refer to a row that is not there."""
    for row in _rows(connection, _REFERENCES):
        pairs = list(zip(row["columns"], row["referred"], strict=True))
        there = " AND ".join(f"r.{referred} = t.{column}" for column, referred in pairs)
        columns = ", ".join(f"t.{column}" for column, _ in pairs)
        query = (
            f"SELECT count(*) AS n FROM {row['name']} t WHERE num_nulls({columns}) = 0"
            f" AND NOT EXISTS (SELECT FROM {row['other']} r WHERE {there})"
        )
        target = f"{row['name']}, constraint {row['constraint']}"
        yield from _counted(
            connection, target, query, f"rows refer to a row of {row['other']} that is not there"
        )


def broken_checks(connection: Connection) -> Iterator[Defect]:
    """Rows that a CHECK constraint should not have let in."""
    for row in _rows(connection, _CHECKS):
        query = f"SELECT count(*) AS n FROM {row['name']} WHERE NOT ({row['expression']})"
        target = f"{row['name']}, constraint {row['constraint']}"
        yield from _counted(connection, target, query, "rows do not satisfy it")


def not_validated(connection: Connection) -> Iterator[Defect]:
    """Constraints that hold for new rows only."""
    for row in _rows(connection, _NOT_VALIDATED):
        yield Defect(
            f"{row['name']}, constraint {row['constraint']}",
            "was never checked against the rows that were there before it",
            f"ALTER TABLE {row['name']} VALIDATE CONSTRAINT {row['constraint']}",
        )


def invalid_indexes(connection: Connection) -> Iterator[Defect]:
    """Indexes that no query uses, because building them was broken off."""
    for index in sizes.indexes(connection):
        if not index.is_valid:
            what = "is left of a broken reindexing" if index.is_leftover else "was never completed"
            yield Defect(f"{index.table}, index {index.name}", what)


def wrong_counts(connection: Connection) -> Iterator[Defect]:
    """Where what `status` counts with is not what there is."""
    for row in _rows(connection, _COUNTS):
        yield Defect(
            f"vod_counts, {row['channel'] or 'no channel'}, {row['state']}",
            f"says {row['counted']} VODs and there are {row['there']}",
            "BEGIN; LOCK TABLE vods IN SHARE MODE; DELETE FROM vod_counts; INSERT INTO vod_counts"
            " SELECT channel, state, count(*) FROM vods GROUP BY 1, 2; COMMIT",
        )


def sequences_behind(connection: Connection) -> Iterator[Defect]:
    """Counters that will hand out a number that is taken: inserting rows would fail."""
    for row in _rows(connection, _SEQUENCES):
        found = _rows(
            connection,
            f"SELECT (SELECT max({row['column']}) FROM {row['name']}) AS highest,"
            f" (SELECT last_value + is_called::int FROM {row['sequence']}) AS next",
        )[0]
        if found["highest"] is not None and found["highest"] >= found["next"]:
            yield Defect(
                f"{row['name']}.{row['column']}",
                f"goes on with {found['next']}, and numbers up to {found['highest']} are taken",
                f"SELECT setval('{row['sequence']}', {found['highest']})",
            )


def checksum_failures(connection: Connection) -> Iterator[Defect]:
    """Pages that came from the disk other than they were written, as the server has met them."""
    for row in _rows(
        connection,
        "SELECT checksum_failures AS n, checksum_last_failure AS at FROM pg_stat_database"
        " WHERE datname = current_database() AND checksum_failures > 0",
    ):
        yield Defect(
            "the server's disk", f"returned {row['n']} damaged pages, the last at {row['at']}"
        )


# --- amcheck: https://www.postgresql.org/docs/current/amcheck.html ---------------------------


def amcheck_schema(connection: Connection) -> str | None:
    """Where the extension is, if it is in this database and our role may use it."""
    rows = _rows(
        connection,
        """
        SELECT quote_ident(n.nspname) AS name FROM pg_extension e
            JOIN pg_namespace n ON n.oid = e.extnamespace
            JOIN pg_proc p ON p.pronamespace = n.oid AND p.proname = 'bt_index_check'
        WHERE e.extname = 'amcheck' AND has_function_privilege(p.oid, 'EXECUTE') LIMIT 1
        """,
    )
    return rows[0]["name"] if rows else None


def add_amcheck(connection: Connection) -> bool:
    """Adds the extension in this transaction; False if the server has none, or our role may not.
    The caller rolls it back."""
    try:
        with connection.transaction():
            connection.execute("CREATE EXTENSION IF NOT EXISTS amcheck")
    except psycopg.Error as error:
        if connection.closed:
            raise
        if not isinstance(
            error, pg.InsufficientPrivilege | pg.FeatureNotSupported | pg.UndefinedFile
        ):
            raise
        return False
    return True


def damaged_pages(connection: Connection, schema: str) -> Iterator[Defect]:
    """Tables and indexes whose structure is broken, or whose index lacks a row."""
    for table in sizes.tables(connection):
        query = (
            f"SELECT count(*) AS n, min(msg) AS said"
            f" FROM {schema}.verify_heapam('{_quoted(table.name)}')"
        )
        yield from _counted(connection, table.name, query, "places are damaged")
    for row in _rows(connection, _BTREES):
        query = f"SELECT 0 AS n FROM {schema}.bt_index_check('{_quoted(row['name'])}', true)"
        yield from _counted(connection, f"index {row['name']}", query, "")


# --- The catalog's answers -------------------------------------------------------------------

_OURS = """
    c.relkind = 'r' AND c.relnamespace IN (SELECT oid FROM pg_namespace
        WHERE nspname <> 'information_schema' AND nspname !~ '^pg_')
"""

_REQUIRED = f"""
    SELECT c.oid::regclass::text AS name, quote_ident(a.attname) AS "column"
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE {_OURS} AND a.attnum > 0 AND NOT a.attisdropped
        AND (a.attnotnull OR (c.relname = 'vods' AND a.attname = 'twitch_vod_id'))
    ORDER BY 1, a.attnum
"""

_UNIQUE = f"""
    SELECT c.oid::regclass::text AS name, x.indnullsnotdistinct AS nulls_equal,
        ARRAY(SELECT pg_get_indexdef(x.indexrelid, n, true)
            FROM generate_series(1, x.indnkeyatts) AS n ORDER BY n) AS keys,
        pg_get_expr(x.indpred, x.indrelid) AS predicate
    FROM pg_index x JOIN pg_class c ON c.oid = x.indrelid
    WHERE {_OURS} AND x.indisunique ORDER BY 1, x.indexrelid
"""

_REFERENCES = f"""
    SELECT c.oid::regclass::text AS name, k.confrelid::regclass::text AS other,
        quote_ident(k.conname) AS constraint,
        ARRAY(SELECT quote_ident(a.attname) FROM unnest(k.conkey) WITH ORDINALITY AS u (n, place)
            JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.n
            ORDER BY place) AS columns,
        ARRAY(SELECT quote_ident(a.attname) FROM unnest(k.confkey) WITH ORDINALITY AS u (n, place)
            JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.n
            ORDER BY place) AS referred
    FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
    WHERE {_OURS} AND k.contype = 'f' ORDER BY 1, 3
"""

_CHECKS = f"""
    SELECT c.oid::regclass::text AS name, quote_ident(k.conname) AS constraint,
        pg_get_expr(k.conbin, k.conrelid) AS expression
    FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
    WHERE {_OURS} AND k.contype = 'c' ORDER BY 1, 2
"""

_NOT_VALIDATED = f"""
    SELECT c.oid::regclass::text AS name, quote_ident(k.conname) AS constraint
    FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
    WHERE {_OURS} AND NOT k.convalidated ORDER BY 1, 2
"""

_COUNTS = """
    SELECT channel, state, coalesce(counted, 0) AS counted, coalesce(there, 0) AS there
    FROM (SELECT channel, state, sum(n)::bigint AS counted FROM vod_counts GROUP BY 1, 2) AS sums
        FULL JOIN (SELECT channel, state, count(*) AS there FROM vods GROUP BY 1, 2) AS real
        USING (channel, state)
    WHERE coalesce(counted, 0) <> coalesce(there, 0) ORDER BY 1, 2
"""

_SEQUENCES = f"""
    SELECT c.oid::regclass::text AS name, quote_ident(a.attname) AS "column",
        pg_get_serial_sequence(c.oid::regclass::text, a.attname) AS sequence
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE {_OURS} AND a.attnum > 0 AND NOT a.attisdropped
        AND pg_get_serial_sequence(c.oid::regclass::text, a.attname) IS NOT NULL
    ORDER BY 1, 2
"""

_BTREES = f"""
    SELECT i.oid::regclass::text AS name FROM pg_index x
        JOIN pg_class c ON c.oid = x.indrelid JOIN pg_class i ON i.oid = x.indexrelid
        JOIN pg_am m ON m.oid = i.relam
    WHERE {_OURS} AND m.amname = 'btree' AND x.indisvalid AND x.indisready AND x.indislive
    ORDER BY 1
"""


def _rows(connection: Connection, query: str) -> list[DictRow]:
    return connection.execute(query.encode()).fetchall()


def _counted(connection: Connection, target: str, query: str, what: str) -> Iterator[Defect]:
    """A defect if `n` of the query's only row is not 0, or if it ends in an error."""
    try:
        with connection.transaction():
            row = _rows(connection, query)[0]
    except psycopg.Error as error:
        if connection.closed or isinstance(error, pg.LockNotAvailable | pg.QueryCanceled):
            raise
        yield Defect(target, first_line(error))
        return
    if row["n"]:
        said = f": {row['said']}" if row.get("said") else ""
        yield Defect(target, f"{row['n']} {what}{said}")


def _quoted(name: str) -> str:
    return name.replace("'", "''")
