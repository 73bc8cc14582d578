"""Counts of rows that show what has vanished without a trace.

To PostgreSQL a page of zeros is one that holds no rows, and no damage. But the indexes still know
of what was on it; and where the visibility map vouches for a row, they count it unseen.
"""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
from psycopg import errors as pg
from psycopg import sql

from vodtender.store.backups import Table, dumped_tables
from vodtender.store.database import Connection

# A sample is taken from the table itself, whatever the planner may and may not do. A mere count
# is answered by the smallest index that has all rows, where reading the table is not allowed.
_THERE = sql.SQL("SELECT count(*) AS there FROM ONLY {} TABLESAMPLE SYSTEM (100)")
_BOTH = sql.SQL("SELECT ({}) AS there, (SELECT count(*) FROM ONLY {}) AS known")


@dataclass(frozen=True, slots=True)
class Counted:
    """A table at one moment. `rows` are those that are in it, as a dump holds them; `lost` are
    those that an index knows beside them."""

    table: Table
    rows: int
    lost: int


def count(connection: Connection) -> list[Counted]:
    """Of every table that a dump holds, in the transaction that the caller has begun."""
    prefer_indexes(connection)
    with_index = set(indexed(connection))
    return [_counted(connection, one, one in with_index) for one in dumped_tables(connection)]


def _counted(connection: Connection, table: Table, has_index: bool) -> Counted:
    if has_index:
        try:
            with connection.transaction():
                row = connection.execute(counts(table)).fetchone()
            assert row is not None
            return Counted(table, row["there"], max(0, row["known"] - row["there"]))
        except psycopg.Error as error:
            if connection.closed or isinstance(error, pg.LockNotAvailable | pg.QueryCanceled):
                raise
    # There is no index; or it is damaged, and a dump has no need of it.
    row = connection.execute(_THERE.format(_identifier(table))).fetchone()
    assert row is not None
    return Counted(table, row["there"], 0)


def prefer_indexes(connection: Connection) -> None:
    """For the rest of the transaction, what an index can answer alone it answers alone."""
    connection.execute(
        "SELECT set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true),"
        " set_config('enable_indexscan', 'on', true),"
        " set_config('enable_indexonlyscan', 'on', true)"
    )


def indexed(connection: Connection) -> list[Table]:
    """Tables with an index that has all their rows and can mostly be asked without looking at them.
    Of a table that was not vacuumed yet it would look at each, which takes long and tells nothing.
    """
    rows = connection.execute(
        "SELECT DISTINCT nspname, c.relname FROM pg_index x JOIN pg_class c ON c.oid = x.indrelid"
        " JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_class i ON i.oid = x.indexrelid"
        " JOIN pg_am m ON m.oid = i.relam WHERE c.relkind = 'r' AND m.amname = 'btree'"
        " AND x.indpred IS NULL AND x.indisvalid AND 2 * c.relallvisible >= c.relpages"
        " AND nspname <> 'information_schema' AND nspname !~ '^pg_' ORDER BY nspname, c.relname"
    ).fetchall()
    return [Table(row["nspname"], row["relname"]) for row in rows]


def counts(table: Table) -> sql.Composed:
    """The query for `there`, the rows in the table, and `known`, those that its index counts; at
    one moment, after `prefer_indexes`."""
    at = _identifier(table)
    return _BOTH.format(_THERE.format(at), at)


def _identifier(table: Table) -> sql.Identifier:
    return sql.Identifier(table.schema, table.relation)
