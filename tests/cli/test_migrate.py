"""`vodtender migrate`, as it is typed."""

from __future__ import annotations

import json

import psycopg
import pytest

from tests.archive import Archive
from tests.cli.commands import Type
from tests.old_postgres import old_postgres
from vodtender.store.migrate import migrations

NAMES = [one.name for one in migrations()]


@pytest.fixture
def empty(empty_database_dsn: str, type_in: Type, monkeypatch: pytest.MonkeyPatch) -> Type:
    """Commands type into an empty database."""
    monkeypatch.setenv("DB_DSN", empty_database_dsn)
    return type_in


def test_a_dry_run_lists_what_is_pending_and_applies_nothing(empty: Type) -> None:
    for _ in range(2):
        ran = empty("migrate", "--dry-run")
        assert (ran.status, ran.err) == (0, "")
        assert ran.lines == [
            *(f"would apply {name}" for name in NAMES),
            "Nothing was changed (--dry-run).",
        ]


def test_it_lists_what_was_applied_and_the_second_time_there_is_nothing_to_do(
    empty: Type, empty_database_dsn: str
) -> None:
    newest = len(NAMES)
    ran = empty("migrate", "--reason", "update")
    assert ran.lines == [
        *(f"applied {name}" for name in NAMES),
        f"The schema was 0 and is {newest} now.",
    ]
    again = empty("migrate", "--json")
    assert again.document == {
        "dry_run": False,
        "schema_before": newest,
        "schema": newest,
        "applied": [],
        "pending": [],
    }
    with psycopg.connect(empty_database_dsn) as connection:
        audit = connection.execute("SELECT action, target, reason FROM audit").fetchall()
    assert audit == [("migrate", "schema", "update")]


def test_every_command_brings_an_empty_database_to_the_schema_first(empty: Type) -> None:
    assert empty("audit").out == "No change is recorded.\n"
    assert empty("migrate").lines == [f"The schema is {len(NAMES)}: nothing to do."]


@pytest.mark.parametrize("command", [("migrate",), ("migrate", "--dry-run"), ("breaker", "status")])
def test_a_database_of_a_newer_schema_exits_with_5(
    empty: Type, empty_database_dsn: str, command: tuple[str, ...]
) -> None:
    empty("migrate")
    with psycopg.connect(empty_database_dsn) as connection:
        connection.execute(
            "INSERT INTO schema_migrations (version, name, oldest_program, applied_by)"
            " VALUES (9000, '9000_future.sql', 9000, '99')"
        )
    ran = empty(*command, "--json")
    said = json.loads(ran.err)
    assert (ran.status, ran.out, said["error"], said["exit"]) == (5, "", "schema_newer", 5)
    assert "newer" in said["hint"]


def test_a_foreign_database_exits_with_5(empty: Type, empty_database_dsn: str) -> None:
    with psycopg.connect(empty_database_dsn) as connection:
        connection.execute("CREATE TABLE vods (theirs int)")
    ran = empty("migrate")
    assert ran.status == 5
    assert "belongs to another program" in ran.err


def test_a_server_that_is_too_old_exits_with_5(
    archive: Archive, type_in: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    with old_postgres("13.14") as dsn:
        monkeypatch.setenv("DB_DSN", dsn)
        ran = type_in("migrate")
    assert ran.status == 5
    assert "The server is PostgreSQL 13; 15 or newer is needed." in ran.err
    assert "secretpw" not in ran.err
