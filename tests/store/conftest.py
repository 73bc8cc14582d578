"""Connections as the store has them, to a database that is emptied for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from psycopg import sql

from tests.postgres import NewDatabase
from vodtender.store.database import Connection, Database, connect


@pytest.fixture(scope="session")
def shared_dsn(new_database: NewDatabase, migrated_template: str) -> Iterator[str]:
    """One database for all tests of a process; making one takes longer than most tests."""
    with new_database(migrated_template) as dsn:
        yield dsn


@pytest.fixture
def database_dsn(shared_dsn: str) -> str:
    """The shared database, with the whole schema and no rows."""
    with connect(shared_dsn) as connection:
        tables = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
            " AND tablename <> 'schema_migrations' ORDER BY tablename <> 'vods', tablename"
        ).fetchall()
        for row in tables:  # much faster than TRUNCATE while there is little in them
            connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(row["tablename"])))
    return shared_dsn


@pytest.fixture
def connection(database_dsn: str) -> Iterator[Connection]:
    """Each statement is a transaction."""
    with connect(database_dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture
def another(database_dsn: str) -> Iterator[Callable[[], Connection]]:
    """Further ones to the same database."""
    opened: list[Connection] = []

    def open_one() -> Connection:
        opened.append(connect(database_dsn, autocommit=True))
        return opened[-1]

    yield open_one
    for connection in opened:
        connection.close()


@pytest.fixture
def database(database_dsn: str) -> Iterator[Database]:
    """A pool to the same database."""
    database = Database(lambda: database_dsn, pool_size=10)
    yield database
    database.close()
