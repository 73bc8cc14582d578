"""REINDEX CONCURRENTLY, and what it leaves when it is broken off."""

from __future__ import annotations

import psycopg
import pytest

from tests.maintained import Maintained
from vodtender.errors import Refused
from vodtender.procedures import upkeep
from vodtender.procedures.direct import Direct
from vodtender.procedures.reindex import reindex
from vodtender.procedures.upkeep import Outcome, Step, Tell

_SNAPSHOT = ("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "SELECT 1")

_WRITING = "INSERT INTO kv (key, value) VALUES ('open', '')"


def run(
    direct: Direct, *tables: str, tell: Tell = lambda _step: None, lock_seconds: float = 30
) -> Outcome:
    planned = upkeep.plan(direct, tables)
    return reindex(
        direct, planned, actor="someone", reason=None, tell=tell, lock_seconds=lock_seconds
    )


def broken(maintained: Maintained) -> list[str]:
    found = maintained.value(
        "SELECT coalesce(array_agg(indexrelid::regclass::text ORDER BY 1), '{}') FROM pg_index"
        " WHERE NOT indisvalid"
    )
    assert isinstance(found, list)
    return found


def break_off(maintained: Maintained, index: str) -> None:
    """REINDEX CONCURRENTLY as it ends when a limit of time is reached."""
    with (
        maintained.transaction(_WRITING),
        psycopg.connect(maintained.dsn, autocommit=True) as connection,
    ):
        connection.execute("SET lock_timeout = '100ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            connection.execute(f"REINDEX INDEX CONCURRENTLY {index}".encode())


def test_every_index_is_built_anew_and_the_archive_stays_as_it_is(maintained: Maintained) -> None:
    count = "SELECT count(*) FROM pg_indexes WHERE schemaname = 'public'"
    before = maintained.value(count)
    oid = maintained.value("SELECT 'vods_pkey'::regclass::oid::bigint")
    with maintained.direct() as direct:
        outcome = run(direct)
    assert (outcome.problems, outcome.removed) == ([], [])
    assert len(outcome.done) == before == maintained.value(count)
    assert maintained.value("SELECT 'vods_pkey'::regclass::oid::bigint") != oid
    assert broken(maintained) == []


def test_what_earlier_failures_left_is_removed_with_numbers_too(maintained: Maintained) -> None:
    break_off(maintained, "kv_pkey")
    break_off(maintained, "kv_pkey")
    assert broken(maintained) == ["kv_pkey_ccnew", "kv_pkey_ccnew1"]
    with maintained.direct() as direct:
        outcome = run(direct, "kv")
    assert sorted(outcome.removed) == ["kv_pkey_ccnew", "kv_pkey_ccnew1"]
    assert [one.name for one in outcome.done] == ["kv_pkey"]
    assert broken(maintained) == []


def test_the_old_index_that_a_failure_left_is_removed(maintained: Maintained) -> None:
    maintained.execute("CREATE INDEX kv_by_value_ccold2 ON kv (value)")
    maintained.execute(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'kv_by_value_ccold2'::regclass",
        admin=True,
    )
    with maintained.direct() as direct:
        assert run(direct, "kv").removed == ["kv_by_value_ccold2"]


def test_a_failure_after_the_exchange_is_cleared_up_too(maintained: Maintained) -> None:
    with maintained.direct() as direct:
        with maintained.transaction("SELECT * FROM kv"):
            assert run(direct, "kv", lock_seconds=0.1).problems[-1].name == "kv_pkey_ccold"
        assert run(direct, "kv").removed == ["kv_pkey_ccold"]


def test_an_index_that_is_only_called_so_stays(maintained: Maintained) -> None:
    maintained.execute("CREATE INDEX mine_ccnew ON kv (value)")
    with maintained.direct() as direct:
        outcome = run(direct, "kv")
    assert outcome.removed == []
    assert {one.name for one in outcome.done} == {"kv_pkey", "mine_ccnew"}


def test_an_index_that_was_never_completed_is(maintained: Maintained) -> None:
    maintained.execute("CREATE INDEX half ON kv (value)")
    maintained.execute(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'half'::regclass", admin=True
    )
    with maintained.direct() as direct:
        run(direct, "kv")
    assert broken(maintained) == []


def test_a_failure_leaves_nothing(maintained: Maintained) -> None:
    with maintained.transaction(*_SNAPSHOT), maintained.direct() as direct:
        outcome = run(direct, "kv", lock_seconds=0.2)
        assert [one.name for one in outcome.problems] == ["kv_pkey"]
        assert outcome.removed == ["kv_pkey_ccnew"]
        assert broken(maintained) == []
        with maintained.transaction("SELECT 1"):
            maintained.execute("INSERT INTO kv (key, value) VALUES ('a', 'b')")


def test_what_cannot_be_removed_now_is_named_and_goes_the_next_time(
    maintained: Maintained,
) -> None:
    with maintained.direct() as direct:
        with maintained.transaction(_WRITING):
            outcome = run(direct, "kv", lock_seconds=0.1)
            assert [one.name for one in outcome.problems] == ["kv_pkey", "kv_pkey_ccnew"]
        assert run(direct, "kv").removed == ["kv_pkey_ccnew"]
        assert broken(maintained) == []


def test_an_interruption_leaves_nothing(maintained: Maintained) -> None:
    """Ctrl-C reaches the main thread between any two statements, and in the middle of one."""

    def interrupt(step: Step) -> None:
        break_off(maintained, "kv_pkey")
        raise KeyboardInterrupt

    with maintained.direct() as direct, pytest.raises(KeyboardInterrupt):
        run(direct, "kv", tell=interrupt)
    assert broken(maintained) == []


def test_a_dump_that_runs_is_not_waited_for(maintained: Maintained) -> None:
    with (
        maintained.transaction(*_SNAPSHOT, application_name="pg_dump"),
        maintained.direct() as direct,
        pytest.raises(Refused, match="a dump"),
    ):
        run(direct, "kv")
    assert broken(maintained) == []
