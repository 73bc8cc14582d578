"""Fixtures: a real PostgreSQL per test worker, and a database of one's own per test.

`database_dsn` is a migrated database, `empty_database_dsn` an empty one. Both belong to role `vod`,
as in production, and are gone afterwards for whoever is still in them: the empty one is dropped,
the migrated one emptied and given another name, because making one takes longer than most tests.
"""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from vodtender.clients.postgres.server import EmbeddedServer, acquire
from vodtender.store.database import Database

_TEMPLATE = "migrated"
_GOING_SECONDS = 0.1
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
        name = _next_name()
        _create(postgres_server, name, template)
        try:
            yield make_conninfo(postgres_server.dsn, dbname=name)
        finally:
            _drop(postgres_server, name)

    return create


@pytest.fixture(scope="session")
def migrated_template(postgres_server: EmbeddedServer) -> str:
    """The name of a database to which all migrations have been applied, once per worker."""
    _create(postgres_server, _TEMPLATE, "template0")
    if importlib.util.find_spec("vodtender.store.migrate") is not None:
        migrations = importlib.import_module("vodtender.store.migrate")
        migrations.migrate(make_conninfo(postgres_server.dsn, dbname=_TEMPLATE))
    return _TEMPLATE


class Shelf:
    """Migrated databases that nobody uses. Only what is in every way as it was when it was made,
    but for rows and statistics, comes back to it. Into each leads a session that is kept, since
    one that is opened anew has to read the catalog first."""

    def __init__(self, server: EmbeddedServer, template: str) -> None:
        self._server = server
        self._template = template
        self._sessions: dict[str, psycopg.Connection[Any]] = {}
        self._names: list[str] = []
        with self._admin(template) as connection:
            self._schema = _schema(connection)

    def take(self) -> str:
        """The name of a database with the whole schema and no rows."""
        if self._names:
            return self._names.pop()
        name = _next_name()
        _create(self._server, name, self._template)
        self._sessions[name] = self._admin(name)
        return name

    def put_back(self, name: str) -> None:
        """Whoever is still in it loses the connection, and will not find it again."""
        session = self._sessions.pop(name)
        try:
            if not _is_left_alone(session):
                session.close()
                name = self._renamed(name)
                session = self._admin(name)
            if _schema(session) == self._schema:
                session.execute(_EMPTY)
                self._sessions[name] = session
                self._names.append(name)
                return
        except psycopg.Error:  # it is gone, or someone does not let go of it
            pass
        session.close()
        _drop(self._server, name)

    def close(self) -> None:
        """Ends the sessions."""
        for session in self._sessions.values():
            session.close()

    def _renamed(self, name: str) -> str:
        new = _next_name()
        with self._admin("postgres") as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
                (name,),
            )
            rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
            connection.execute(rename.format(sql.Identifier(name), sql.Identifier(new)))
        return new

    def _admin(self, name: str) -> psycopg.Connection[Any]:
        dsn = make_conninfo(self._server.admin_dsn, dbname=name)
        return psycopg.connect(dsn, autocommit=True)


def _is_left_alone(session: psycopg.Connection[Any]) -> bool:
    """Whether it is the only one in its database, or soon is: one that was closed a moment ago
    is seen for a moment yet."""
    query = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> %s"
    deadline = time.monotonic() + _GOING_SECONDS
    try:
        while session.execute(query, (session.info.backend_pid,)).rowcount:
            if time.monotonic() > deadline:
                return False
            time.sleep(_GOING_SECONDS / 20)
    except psycopg.Error:  # it has been ended itself
        return False
    return True


@pytest.fixture(scope="session")
def empty_databases(postgres_server: EmbeddedServer, migrated_template: str) -> Iterator[Shelf]:
    """This worker's migrated databases."""
    shelf = Shelf(postgres_server, migrated_template)
    yield shelf
    shelf.close()


@pytest.fixture
def database_dsn(empty_databases: Shelf, postgres_server: EmbeddedServer) -> Iterator[str]:
    """A database with the whole schema and no rows."""
    name = empty_databases.take()
    yield make_conninfo(postgres_server.dsn, dbname=name)
    empty_databases.put_back(name)


@pytest.fixture
def fresh_database_dsn(new_database: NewDatabase, migrated_template: str) -> Iterator[str]:
    """The same, never used before: for what looks at dead rows and statistics."""
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


def _drop(server: EmbeddedServer, name: str) -> None:
    statement = "DROP DATABASE IF EXISTS {} WITH (FORCE)"
    _execute(server, sql.SQL(statement).format(sql.Identifier(name)))


def _next_name() -> str:
    return f"test_{next(_numbers)}"


def _execute(server: EmbeddedServer, statement: sql.Composed) -> None:
    with psycopg.connect(server.admin_dsn, autocommit=True) as connection:
        connection.execute(statement)


# Past the triggers, which would only count and write down what is deleted at once. Much faster than
# TRUNCATE while there is little in them.
_EMPTY = """
    SET session_replication_role = replica;
    DO $$
    DECLARE name text;
    BEGIN
        FOR name IN SELECT tablename FROM pg_tables
                WHERE schemaname = 'public' AND tablename <> 'schema_migrations' LOOP
            EXECUTE format('DELETE FROM %I', name);
        END LOOP;
        PERFORM setval(seqrelid, seqstart, false) FROM pg_sequence;
    END $$
"""


def _schema(connection: psycopg.Connection[Any]) -> str:
    """The same for two databases with the same template of which no object was made, changed or
    removed since: each is told by the transaction that wrote it."""
    row = connection.execute(_SCHEMA).fetchone()
    assert row is not None
    return str(row[0])


_FIRST_OF_A_USER = 16384
_SCHEMA = f"""
    SELECT md5(string_agg(line, E'\\n' ORDER BY line)) FROM (
        SELECT concat_ws(' ', 'class', oid, xmin, relacl) FROM pg_class
            WHERE oid >= {_FIRST_OF_A_USER}
        UNION ALL SELECT concat_ws(' ', 'attribute', attrelid, attnum, xmin) FROM pg_attribute
            WHERE attrelid >= {_FIRST_OF_A_USER}
        UNION ALL SELECT concat_ws(' ', 'default', oid, xmin) FROM pg_attrdef
        UNION ALL SELECT concat_ws(' ', 'constraint', oid, xmin) FROM pg_constraint
        UNION ALL SELECT concat_ws(' ', 'index', indexrelid, xmin) FROM pg_index
            WHERE indexrelid >= {_FIRST_OF_A_USER}
        UNION ALL SELECT concat_ws(' ', 'trigger', oid, xmin) FROM pg_trigger
        UNION ALL SELECT concat_ws(' ', 'function', oid, xmin) FROM pg_proc
            WHERE oid >= {_FIRST_OF_A_USER}
        UNION ALL SELECT concat_ws(' ', 'type', oid, xmin) FROM pg_type
            WHERE oid >= {_FIRST_OF_A_USER}
        UNION ALL SELECT concat_ws(' ', 'schema', oid, xmin) FROM pg_namespace
            WHERE nspname !~ '^pg_'
        UNION ALL SELECT concat_ws(' ', 'extension', oid, xmin) FROM pg_extension
        UNION ALL SELECT concat_ws(' ', 'event trigger', oid, xmin) FROM pg_event_trigger
        UNION ALL SELECT concat_ws(' ', 'publication', oid, xmin) FROM pg_publication
        UNION ALL SELECT concat_ws(' ', 'setting', setconfig) FROM pg_db_role_setting s
            JOIN pg_database d ON d.oid = s.setdatabase WHERE datname = current_database()
        UNION ALL SELECT concat_ws(' ', 'database', datdba, datallowconn, datconnlimit, datacl)
            FROM pg_database WHERE datname = current_database()
        UNION ALL SELECT concat_ws(' ', 'migration', m) FROM schema_migrations m
    ) AS all_of_it (line)
"""


def overwrite(admin_dsn: str, table: str, at: int, data: bytes) -> None:
    """Spoils a table on the disk, of the database that the superuser's DSN leads to."""
    with psycopg.connect(admin_dsn, autocommit=True) as admin:
        admin.execute("CHECKPOINT")
        row = admin.execute(
            "SELECT current_setting('data_directory') || '/' || pg_relation_filepath(%s)", (table,)
        ).fetchone()
        assert row is not None
        with Path(row[0]).open("r+b") as file:
            file.seek(at)
            file.write(data)
        admin.execute("CREATE EXTENSION IF NOT EXISTS pg_buffercache")
        admin.execute("SELECT pg_buffercache_evict_relation(%s::regclass)", (table,))
        admin.execute("DROP EXTENSION pg_buffercache")
