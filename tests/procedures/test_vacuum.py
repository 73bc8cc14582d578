"""VACUUM: what it clears, whom it disturbs, and what is in its way."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.maintained import Maintained
from vodtender.errors import Locked, NotFound, Refused
from vodtender.procedures import upkeep
from vodtender.procedures.direct import Direct
from vodtender.procedures.upkeep import Outcome, Plan, Step, Tell
from vodtender.procedures.vacuum import CATALOGS, vacuum
from vodtender.store import audit

_FILL = (
    "INSERT INTO kv (channel, key, value) SELECT n::text, 'k', repeat('x', 500)"
    " FROM generate_series(1, 2000) AS n"
)
_EMPTY = "DELETE FROM kv WHERE channel::int > 10"


def run(
    direct: Direct,
    planned: Plan,
    *,
    full: bool = False,
    tell: Tell = lambda _step: None,
    lock_seconds: float | None = None,
) -> Outcome:
    return vacuum(
        direct,
        planned,
        full=full,
        actor="someone",
        reason="a test",
        tell=tell,
        lock_seconds=lock_seconds,
    )


def of(outcome: Outcome, name: str) -> upkeep.Done:
    return next(one for one in outcome.done if one.name == name)


def test_every_table_and_the_systems_own_are_vacuumed_and_it_is_noted(
    maintained: Maintained,
) -> None:
    maintained.execute(_FILL, _EMPTY)
    with maintained.direct() as direct:
        outcome = run(direct, upkeep.plan(direct, []))
        assert outcome.problems == []
        cleared = of(outcome, "kv")
        assert (cleared.dead_rows_before, cleared.dead_rows_after) == (1990, 0)
        names = {one.name for one in outcome.done}
        assert {"vods", "kv", "chat_messages", "schema_migrations", CATALOGS} <= names
        with direct.database.transaction() as connection:
            (line,) = audit.find(connection)
    assert (line.actor, line.action, line.reason) == ("someone", "vacuum", "a test")
    assert maintained.value("SELECT reltuples FROM pg_class WHERE relname = 'kv'") == 10


def test_one_table_can_be_chosen(maintained: Maintained) -> None:
    with maintained.direct() as direct:
        outcome = run(direct, upkeep.plan(direct, ["kv"]))
        assert [one.name for one in outcome.done] == ["kv"]
        with pytest.raises(NotFound, match="no table nosuch"):
            upkeep.plan(direct, ["kv", "nosuch"])


def test_full_gives_the_room_back(maintained: Maintained) -> None:
    maintained.execute(_FILL, _EMPTY)
    with maintained.direct() as direct:
        done = of(run(direct, upkeep.plan(direct, ["kv"]), full=True), "kv")
    assert done.bytes_after < done.bytes_before / 5


def test_full_is_refused_where_the_disk_has_no_room_for_a_copy(maintained: Maintained) -> None:
    maintained.execute(_FILL)
    with maintained.direct() as direct:
        found = upkeep.plan(direct, ["kv"])
        assert found.room_needed_bytes > found.tables[0].total_bytes
        assert found.room_free_bytes is None, "another server's disk cannot be seen"
        full = Plan(found.tables, [], False, found.room_needed_bytes, found.room_needed_bytes - 1)
        with pytest.raises(Refused, match="largest table"):
            run(direct, full, full=True)


def test_the_embedded_servers_disk_can_be_seen(maintained: Maintained, tmp_path: Path) -> None:
    with maintained.direct() as direct:
        here = Direct(direct.database, direct.dsn, None, tmp_path)
        assert (upkeep.plan(here, []).room_free_bytes or 0) > 0


def test_what_a_dump_still_sees_stays_and_the_dump_is_named(maintained: Maintained) -> None:
    maintained.execute(_FILL)
    snapshot = ("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "SELECT 1")
    with maintained.transaction(*snapshot, application_name="pg_dump") as dump:
        maintained.execute(_EMPTY)
        with maintained.direct() as direct:
            planned = upkeep.plan(direct, ["kv"])
            outcome = run(direct, planned)
        (holder,) = outcome.holders
        assert (holder.pid, holder.is_dump) == (dump.info.backend_pid, True)
        assert planned.holders[0].pid == holder.pid
        assert of(outcome, "kv").dead_rows_after == 1990


def test_a_table_that_somebody_locks_is_left_and_the_others_are_not(
    maintained: Maintained,
) -> None:
    with maintained.transaction("LOCK TABLE kv IN SHARE UPDATE EXCLUSIVE MODE"):  # noqa: SIM117
        with maintained.direct() as direct:
            outcome = run(direct, upkeep.plan(direct, ["kv", "vods"]), lock_seconds=0.1)
    assert [one.name for one in outcome.problems] == ["kv"]
    assert of(outcome, "vods").problem is None


def test_full_waits_for_no_dump_so_that_nobody_waits_for_full(maintained: Maintained) -> None:
    with maintained.transaction("SELECT * FROM kv", application_name="pg_dump"):
        with maintained.direct() as direct:
            outcome = run(direct, upkeep.plan(direct, ["kv"]), full=True, lock_seconds=0.1)
        assert [one.name for one in outcome.problems] == ["kv"]
        maintained.execute("INSERT INTO kv (key, value) VALUES ('a', 'b')")


def test_two_vacuums_do_not_work_on_one_database(maintained: Maintained) -> None:
    with maintained.direct() as direct, maintained.direct() as other:
        planned = upkeep.plan(direct, ["kv"])

        def second(_step: Step) -> None:
            with pytest.raises(Locked, match="Another vodtender vacuum"):
                run(other, planned)

        assert run(direct, planned, tell=second).problems == []


def test_whoever_watches_sees_how_far_it_is(maintained: Maintained) -> None:
    maintained.execute(_FILL.replace("2000", "600"))
    name = maintained.value("SELECT current_database()")
    maintained.execute(
        f"ALTER ROLE vod IN DATABASE {name} SET vacuum_cost_delay = '20ms'",
        f"ALTER ROLE vod IN DATABASE {name} SET vacuum_cost_limit = 2",
        admin=True,
    )
    steps: list[Step] = []
    with maintained.direct() as direct:
        run(direct, upkeep.plan(direct, ["kv", "vods"]), tell=steps.append)
    seen = [step.progress for step in steps if step.what == "kv" and step.progress is not None]
    assert any(progress.phase == "scanning heap" and progress.total > 20 for progress in seen)
    assert all(0 <= progress.done <= progress.total for progress in seen)
    assert [(step.what, step.number, step.of) for step in steps if step.progress is None] == [
        ("kv", 1, 2),
        ("vods", 2, 2),
    ]
