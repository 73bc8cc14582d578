"""Connections as the store has them, to a database that is emptied for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.postgres import NewDatabase
from vodtender.store.database import Connection, Database, connect


@pytest.fixture(scope="session")
def shared_dsn(new_database: NewDatabase, migrated_template: str) -> Iterator[str]:
    """One database for all tests of a process; making one takes longer than most tests."""
    with new_database(migrated_template) as dsn:
        yield dsn


@pytest.fixture(scope="session")
def kept_connection(shared_dsn: str) -> Iterator[Connection]:
    """One connection to it, since each that is opened anew has to read the catalog first."""
    with connect(shared_dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture
def database_dsn(shared_dsn: str, kept_connection: Connection) -> str:
    """The shared database, with the whole schema and no rows."""
    with kept_connection.transaction():
        tables = kept_connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
            " AND tablename <> 'schema_migrations' ORDER BY tablename <> 'vods', tablename"
        ).fetchall()
        query = "; ".join(f'DELETE FROM "{row["tablename"]}"' for row in tables)
        kept_connection.execute(query.encode())  # much faster than TRUNCATE of so little
    return shared_dsn


@pytest.fixture
def connection(database_dsn: str, kept_connection: Connection) -> Iterator[Connection]:
    """Each statement is a transaction."""
    yield kept_connection
    kept_connection.rollback()
    kept_connection.execute("DISCARD ALL")


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
