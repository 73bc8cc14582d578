"""Transactions, and what goes wrong with the database in our words."""

from __future__ import annotations

from contextlib import suppress

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.store import rows
from vodtender.errors import DatabaseUnavailable
from vodtender.store.database import Connection, Database, connect


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"dbname": "nowhere"}, '"nowhere" does not exist'),
        ({"user": "nobody"}, "nobody"),
        ({"port": "1"}, "failed"),
        ({"host": "/nowhere"}, "/nowhere"),
    ],
)
def test_a_database_that_cannot_be_had_says_why(
    changes: dict[str, str], said: str, database_dsn: str
) -> None:
    with pytest.raises(DatabaseUnavailable, match=said) as raised:
        connect(make_conninfo(database_dsn, **changes))
    assert raised.value.code == "database_unavailable"
    assert raised.value.hint


@pytest.mark.parametrize("dsn", ["colour=blue", "="])
def test_a_connection_string_that_is_none_says_so(dsn: str) -> None:
    with pytest.raises(DatabaseUnavailable) as raised:
        connect(dsn)
    assert raised.value.code == "dsn"


@pytest.mark.parametrize("statement", ["SELECT nothing", "SELECT 1 % s", "SELECT %s"])
def test_a_mistake_of_ours_is_not_taken_for_an_absent_database(
    statement: str, database: Database
) -> None:
    with pytest.raises(psycopg.ProgrammingError), database.transaction() as connection:
        connection.execute(statement.encode(), (1, 2))


def test_a_connection_that_breaks_is_told_from_a_mistake_and_replaced(
    database: Database, connection: Connection
) -> None:
    def break_it() -> None:
        with database.transaction() as broken:
            pid = broken.info.backend_pid
            connection.execute("SELECT pg_terminate_backend(%s)", (pid,))
            broken.execute("SELECT 1")

    with pytest.raises(DatabaseUnavailable):
        break_it()
    with database.transaction() as another:
        assert another.execute("SELECT 1 AS one").fetchone() == {"one": 1}


def test_a_failed_transaction_leaves_nothing(database: Database, connection: Connection) -> None:
    with suppress(ZeroDivisionError), database.transaction() as failing:
        rows.insert(failing)
        raise ZeroDivisionError
    assert connection.execute("SELECT FROM vods").rowcount == 0


def test_a_statement_that_takes_too_long_is_ended(database: Database) -> None:
    with (
        pytest.raises(DatabaseUnavailable, match="timeout"),
        database.transaction(timeout_seconds=0.05) as connection,
    ):
        connection.execute("SELECT pg_sleep(20)")


def test_nothing_that_a_transaction_sets_outlives_it(database_dsn: str) -> None:
    """Behind a pooler the next transaction may be somebody else's."""
    with connect(database_dsn, autocommit=True) as first:
        database = Database(lambda: database_dsn, first=first)
        settings = (
            "SELECT current_setting('statement_timeout') AS timeout,"
            " current_setting('vodtender.actor', true) AS actor"
        )
        with database.transaction(actor="eve@ops", timeout_seconds=7) as connection:
            assert connection.execute(settings).fetchone() == {"timeout": "7s", "actor": "eve@ops"}
        after = first.execute(settings).fetchone()
        assert after is not None
        assert (after["timeout"], after["actor"] or "") == ("0", "")
