"""Fixtures: a real PostgreSQL per test worker, and a database of one's own per test.

`database_dsn` is a migrated database, cloned from a template; `empty_database_dsn` an empty one.
Both belong to role `vod`, as in production, and are dropped afterwards whoever is still in them.
"""

from __future__ import annotations

import importlib
import importlib.util
import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from vodtender.clients.postgres_server import EmbeddedServer, acquire
from vodtender.store.database import Database

_TEMPLATE = "migrated"
_numbers = itertools.count(1)

NewDatabase = Callable[[str], AbstractContextManager[str]]
AwayDatabase = Callable[[], AbstractContextManager[None]]


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """This worker's own server; it forgets its data with the machine, and is the faster for it."""
    with acquire(tmp_path_factory.mktemp("postgres"), timeout_seconds=60, durable=False) as server:
        yield server


@pytest.fixture(scope="session")
def new_database(postgres_server: EmbeddedServer) -> NewDatabase:
    """`with new_database(template) as dsn:` a database that exists for as long as the block."""

    @contextmanager
    def create(template: str) -> Iterator[str]:
        name = f"test_{next(_numbers)}"
        _create(postgres_server, name, template)
        try:
            yield make_conninfo(postgres_server.dsn, dbname=name)
        finally:
            _execute(
                postgres_server,
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)),
            )

    return create


@pytest.fixture(scope="session")
def migrated_template(postgres_server: EmbeddedServer) -> str:
    """The name of a database to which all migrations have been applied, once per worker."""
    _create(postgres_server, _TEMPLATE, "template0")
    if importlib.util.find_spec("vodtender.store.migrate") is not None:
        migrations = importlib.import_module("vodtender.store.migrate")
        migrations.migrate(make_conninfo(postgres_server.dsn, dbname=_TEMPLATE))
    return _TEMPLATE


@pytest.fixture
def database_dsn(new_database: NewDatabase, migrated_template: str) -> Iterator[str]:
    """A fresh database with the whole schema and no rows."""
    with new_database(migrated_template) as dsn:
        yield dsn


@pytest.fixture
def database(database_dsn: str) -> Iterator[Database]:
    """The same, opened as a command opens it."""
    opened = Database(lambda: database_dsn)
    yield opened
    opened.close()


@pytest.fixture
def empty_database_dsn(new_database: NewDatabase) -> Iterator[str]:
    """A fresh database without any table."""
    with new_database("template0") as dsn:
        yield dsn


@pytest.fixture
def database_away(database_dsn: str, postgres_server: EmbeddedServer) -> AwayDatabase:
    """`with database_away():` all connections are cut, and none can be made."""
    name = str(conninfo_to_dict(database_dsn)["dbname"])
    allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")

    @contextmanager
    def away() -> Iterator[None]:
        with psycopg.connect(postgres_server.admin_dsn, autocommit=True) as connection:
            connection.execute(allow.format(sql.Identifier(name), sql.Literal(False)))
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
            )
            try:
                yield
            finally:
                connection.execute(allow.format(sql.Identifier(name), sql.Literal(True)))

    return away


def _create(server: EmbeddedServer, name: str, template: str) -> None:
    statement = "CREATE DATABASE {} OWNER vod TEMPLATE {} STRATEGY file_copy"
    _execute(server, sql.SQL(statement).format(sql.Identifier(name), sql.Identifier(template)))


def _execute(server: EmbeddedServer, statement: sql.Composed) -> None:
    with psycopg.connect(server.admin_dsn, autocommit=True) as connection:
        connection.execute(statement)
