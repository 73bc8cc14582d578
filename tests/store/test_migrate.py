"""Migrations: once, forward only, whole or not at all, and only in a database of our own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from tests.old_postgres import old_postgres
from vodtender import __version__
from vodtender.clients.postgres.server import EmbeddedServer
from vodtender.errors import DatabaseUnavailable, Exit
from vodtender.store import migrate as migrate_module
from vodtender.store.database import connect
from vodtender.store.migrate import (
    Migration,
    check,
    migrate,
    migrate_connection,
    migrations,
    pending,
)

_PATIENCE_SECONDS = 20.0


def step(version: int, statements: str, oldest: int = 1) -> Migration:
    return Migration(version, f"{version:04}_step.sql", oldest, statements)


def ask(dsn: str, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        cursor = connection.execute(query, parameters)
        return [] if cursor.description is None else cursor.fetchall()


def everything_in(dsn: str) -> list[tuple[Any, ...]]:
    """Every object and every row of a database, to see that nothing was touched."""
    found = ask(
        dsn,
        "SELECT relname::text, relkind::text, relnatts::text FROM pg_class"
        " WHERE relnamespace = 'public'::regnamespace ORDER BY 1",
    )
    for name, kind, _ in list(found):
        if kind == "r":
            found += ask(dsn, sql.SQL("SELECT t::text FROM {} t").format(_named(name)).as_string())
    return found


def _named(table: str) -> sql.Identifier:
    return sql.Identifier(table)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


# --- the files --------------------------------------------------------------------------


def test_the_files_are_numbered_without_gaps_and_serve_no_program_newer_than_themselves() -> None:
    steps = migrations()
    assert [one.version for one in steps] == list(range(1, len(steps) + 1))
    assert all(1 <= one.oldest_program <= one.version for one in steps)


def test_an_empty_database_gets_all_of_them_in_order(empty_database_dsn: str) -> None:
    names = tuple(one.name for one in migrations())
    assert migrate(empty_database_dsn) == names
    recorded = ask(
        empty_database_dsn, "SELECT name, applied_by FROM schema_migrations ORDER BY version"
    )
    assert recorded == [(name, __version__) for name in names]


def test_the_second_time_there_is_nothing_to_do(database_dsn: str) -> None:
    assert migrate(database_dsn) == ()


def test_pending_lists_what_is_missing_and_applies_nothing(empty_database_dsn: str) -> None:
    with connect(empty_database_dsn, autocommit=True) as connection:
        assert pending(connection) == tuple(one.name for one in migrations())
        assert everything_in(empty_database_dsn) == []
        migrate_connection(connection, migrations()[:2])
        assert pending(connection) == tuple(one.name for one in migrations()[2:])


# --- once -------------------------------------------------------------------------------


def test_each_is_applied_once_however_many_start_together(empty_database_dsn: str) -> None:
    together = threading.Barrier(8)

    def start(_number: int) -> tuple[str, ...]:
        together.wait(_PATIENCE_SECONDS)
        return migrate(empty_database_dsn)

    with ThreadPoolExecutor(8) as pool:
        applied = list(pool.map(start, range(8)))
    assert sorted(name for names in applied for name in names) == [one.name for one in migrations()]
    count = ask(empty_database_dsn, "SELECT count(*) FROM schema_migrations")
    assert count == [(len(migrations()),)]


def test_when_one_dies_in_the_middle_the_next_in_line_does_it_whole(
    empty_database_dsn: str, postgres_server: EmbeddedServer, request: pytest.FixtureRequest
) -> None:
    """The first is inside its migration and the second waits for it when the first is killed."""
    gate = psycopg.connect(empty_database_dsn)
    request.addfinalizer(gate.close)
    gate.execute("SELECT pg_advisory_xact_lock(4711)")
    slow = step(1, "CREATE TABLE half (n int); SELECT pg_advisory_xact_lock(4711)")
    outcomes: dict[str, object] = {}

    def run(name: str) -> None:
        try:
            outcomes[name] = migrate(empty_database_dsn, [slow])
        except DatabaseUnavailable as error:
            outcomes[name] = error

    def waiting() -> list[int]:
        found = ask(
            postgres_server.admin_dsn,
            "SELECT pid FROM pg_stat_activity WHERE datname = %s AND wait_event = 'advisory'",
            gate.info.dbname,
        )
        return [pid for (pid,) in found]

    one, two = (threading.Thread(target=run, args=(name,)) for name in ("one", "two"))
    one.start()
    wait_until(lambda: len(waiting()) == 1)
    (first,) = waiting()
    two.start()
    wait_until(lambda: len(waiting()) == 2)
    ask(postgres_server.admin_dsn, "SELECT pg_terminate_backend(%s)", first)
    gate.close()
    one.join(_PATIENCE_SECONDS)
    two.join(_PATIENCE_SECONDS)
    assert isinstance(outcomes["one"], DatabaseUnavailable)
    assert outcomes["two"] == ("0001_step.sql",)
    assert ask(empty_database_dsn, "SELECT count(*) FROM half") == [(0,)]


# --- whole or not at all ----------------------------------------------------------------


@pytest.fixture
def failed(empty_database_dsn: str) -> str:
    """A database in which the second of three migrations has failed."""
    steps = [
        step(1, "CREATE TABLE one (n int)"),
        step(
            2,
            "CREATE TABLE two (n int); INSERT INTO one VALUES (1); ALTER TABLE one ADD m int;"
            " SELECT 1 / 0",
        ),
        step(3, "CREATE TABLE three (n int)"),
    ]
    with pytest.raises(DatabaseUnavailable) as caught:
        migrate(empty_database_dsn, steps)
    assert caught.value.code == "migration_failed"
    assert "0002_step.sql" in caught.value.message
    assert "division by zero" in caught.value.message
    return empty_database_dsn


def test_a_failing_migration_leaves_nothing_of_itself_behind(failed: str) -> None:
    tables = ask(failed, "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
    assert tables == [("one",), ("schema_migrations",)]
    assert ask(failed, "SELECT * FROM one") == []
    assert ask(
        failed, "SELECT attname FROM pg_attribute WHERE attrelid = 'one'::regclass AND attnum > 0"
    ) == [("n",)]
    assert ask(failed, "SELECT version FROM schema_migrations") == [(1,)]


def test_once_mended_it_goes_on_where_it_stopped(failed: str) -> None:
    mended = [step(1, "SELECT 1 / 0"), step(2, "CREATE TABLE two (n int)"), step(3, "SELECT 1")]
    assert migrate(failed, mended) == ("0002_step.sql", "0003_step.sql")


# --- forward only, and who may still use it ---------------------------------------------


def expanded(dsn: str, oldest: int) -> None:
    """A newer release has been here, whose newest migration serves programs from `oldest` on."""
    steps = [
        step(1, "CREATE TABLE vods (id int, title text)"),
        step(2, "ALTER TABLE vods ADD name text", oldest),
        step(3, "ALTER TABLE vods ADD more text", 1),
    ]
    migrate(dsn, steps)


OLD_PROGRAM = [step(1, "CREATE TABLE vods (id int, title text)")]


def test_an_older_program_works_with_a_schema_that_was_only_expanded(
    empty_database_dsn: str,
) -> None:
    expanded(empty_database_dsn, oldest=1)
    before = everything_in(empty_database_dsn)
    assert migrate(empty_database_dsn, OLD_PROGRAM) == ()
    assert everything_in(empty_database_dsn) == before, "nothing is taken back"
    ask(empty_database_dsn, "INSERT INTO vods (id, title) VALUES (1, 'as the old program does')")
    with connect(empty_database_dsn) as connection:
        assert check(connection, newest_known=1).version == 3


def test_an_older_program_refuses_a_schema_that_was_contracted(empty_database_dsn: str) -> None:
    """Also when a later migration would serve it: what was taken away stays away."""
    expanded(empty_database_dsn, oldest=2)
    before = everything_in(empty_database_dsn)
    with pytest.raises(DatabaseUnavailable, match="schema 3 of a newer vodtender") as caught:
        migrate(empty_database_dsn, OLD_PROGRAM)
    assert (caught.value.code, caught.value.exit) == ("schema_newer", Exit.DATABASE)
    assert "newer" in caught.value.hint
    assert everything_in(empty_database_dsn) == before


def test_the_program_that_the_schema_asks_for_is_new_enough(empty_database_dsn: str) -> None:
    expanded(empty_database_dsn, oldest=2)
    assert migrate(empty_database_dsn, [*OLD_PROGRAM, step(2, "SELECT 1 / 0")]) == ()


def test_our_own_program_refuses_a_database_of_the_future(database_dsn: str) -> None:
    ask(
        database_dsn,
        "INSERT INTO schema_migrations (version, name, oldest_program, applied_by)"
        " VALUES (9000, '9000_future.sql', 9000, '99')",
    )
    with pytest.raises(DatabaseUnavailable) as caught:
        migrate(database_dsn)
    assert caught.value.code == "schema_newer"


# --- not ours ---------------------------------------------------------------------------

GO_SYSTEM = """
    CREATE TABLE vods (id serial PRIMARY KEY, twitch_vod_id text UNIQUE, title text,
        downloaded_path text, download_state text, processed boolean DEFAULT false,
        processing_error text, youtube_url text, channel text NOT NULL DEFAULT '');
    CREATE TABLE kv (channel text NOT NULL DEFAULT '', key text, value text,
        PRIMARY KEY (channel, key));
    CREATE TABLE chat_messages (id serial PRIMARY KEY, message text,
        vod_id text NOT NULL REFERENCES vods (twitch_vod_id));
    INSERT INTO vods (twitch_vod_id, title) VALUES ('123', 'precious');
    INSERT INTO kv (key, value) VALUES ('circuit_state', 'open');
"""
FOREIGN = {
    "the Go system": GO_SYSTEM,
    "the Go system with its migrations": GO_SYSTEM
    + "CREATE TABLE schema_migrations (version bigint PRIMARY KEY, dirty boolean NOT NULL);"
    "INSERT INTO schema_migrations VALUES (5, false)",
    "somebody's vods": "CREATE TABLE vods (anything int); INSERT INTO vods VALUES (7)",
    "a view that is called vods": "CREATE VIEW vods AS SELECT 1 AS n",
    "another program's schema_migrations": "CREATE TABLE schema_migrations (version text)",
}


@pytest.mark.parametrize("statements", FOREIGN.values(), ids=FOREIGN)
def test_a_foreign_database_is_refused_and_left_as_it_is(
    empty_database_dsn: str, statements: str
) -> None:
    ask(empty_database_dsn, statements)
    before = everything_in(empty_database_dsn)
    with pytest.raises(DatabaseUnavailable, match="belongs to another program") as caught:
        migrate(empty_database_dsn)
    assert (caught.value.code, caught.value.exit) == ("not_ours", Exit.DATABASE)
    assert "DB_DSN" in caught.value.hint
    assert everything_in(empty_database_dsn) == before


def test_a_table_that_is_in_the_way_is_named_and_left_as_it_is(empty_database_dsn: str) -> None:
    ask(empty_database_dsn, "CREATE TABLE kv (mine int); INSERT INTO kv VALUES (1)")
    before = everything_in(empty_database_dsn)
    with pytest.raises(DatabaseUnavailable, match='relation "kv" already exists'):
        migrate(empty_database_dsn)
    assert everything_in(empty_database_dsn) == before


def test_a_role_that_may_create_nothing_is_told_so(
    empty_database_dsn: str, postgres_server: EmbeddedServer
) -> None:
    ask(postgres_server.admin_dsn, "CREATE ROLE weak LOGIN PASSWORD 'weak'")
    try:
        with pytest.raises(DatabaseUnavailable, match="permission denied") as caught:
            migrate(make_conninfo(empty_database_dsn, user="weak", password="weak"))
    finally:
        ask(postgres_server.admin_dsn, "DROP ROLE weak")
    assert caught.value.code == "no_privilege"
    assert "OWNER TO" in caught.value.hint


def test_a_server_that_is_too_old_is_refused_by_its_version() -> None:
    with old_postgres("14.9") as dsn, pytest.raises(DatabaseUnavailable) as caught:
        migrate(dsn)
    assert caught.value.code == "server_too_old"
    assert "PostgreSQL 14; 15 or newer" in caught.value.message


def test_a_migration_waits_behind_no_dump(
    empty_database_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everybody who wants the table would wait behind it."""
    monkeypatch.setattr(migrate_module, "_LOCK_TIMEOUT_SECONDS", 0.2)
    steps = [step(1, "CREATE TABLE one (a int)"), step(2, "ALTER TABLE one ADD b int")]
    migrate(empty_database_dsn, steps[:1])
    with psycopg.connect(empty_database_dsn) as dump:
        dump.execute("SELECT * FROM one")
        with pytest.raises(DatabaseUnavailable) as caught:
            migrate(empty_database_dsn, steps)
        assert caught.value.code == "migration_waits"
    assert migrate(empty_database_dsn, steps) == (steps[1].name,)
