"""A worker is known to the others from its start to its end, and not a moment longer."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from tests.pipeline.publisher import place_for
from tests.postgres import AwayDatabase
from vodtender.config.load import load
from vodtender.daemon.chores import Chores
from vodtender.daemon.lanes import Bell, Gate
from vodtender.daemon.registration import registered
from vodtender.errors import DatabaseUnavailable
from vodtender.pipeline.workplace import Workplace
from vodtender.store import workers
from vodtender.store.database import Database


@pytest.fixture
def place(database_dsn: str, tmp_path: Path) -> Iterator[Workplace]:
    database = Database(lambda: database_dsn)
    yield place_for(load({"DATA_DIR": str(tmp_path)}), database, "worker-1")
    database.close()


@pytest.fixture
def chores(place: Workplace) -> Chores:
    return Chores(place, Gate(place), Bell())


def known(place: Workplace) -> list[str]:
    with place.database.transaction() as connection:
        return [worker.worker_id for worker in workers.find(connection)]


def test_a_worker_that_the_database_has_forgotten_makes_itself_known_again(
    place: Workplace, chores: Chores
) -> None:
    with registered(place):
        with place.database.transaction() as connection:
            workers.remove(connection, place.worker_id)
        chores.heartbeat()
        assert known(place) == ["worker-1"]


def test_a_heartbeat_that_comes_after_the_end_leaves_nothing_behind(
    place: Workplace, chores: Chores
) -> None:
    with registered(place):
        chores.heartbeat()
        place.stopping.set()
    chores.heartbeat()
    assert known(place) == []


def test_one_that_ended_without_its_database_is_found_dead_by_the_next(
    place: Workplace, database_away: AwayDatabase
) -> None:
    with ExitStack() as away, registered(place):
        away.enter_context(database_away())
    assert known(place) == ["worker-1"]
    other = replace(place, worker_id="worker-2")
    with registered(other):
        Chores(other, Gate(other), Bell()).heartbeat()
        assert known(place) == ["worker-2"]


def test_the_end_waits_for_a_chore_and_what_it_does_to_one_that_hangs_is_no_news(
    place: Workplace, chores: Chores, caplog: pytest.LogCaptureFixture
) -> None:
    """It could find the embedded database stopped, and would say that it is away."""
    begun, goes_on = threading.Event(), threading.Event()

    def chore() -> None:
        begun.set()
        goes_on.wait(10)
        raise DatabaseUnavailable("terminating connection due to administrator command")

    thread = threading.Thread(target=chores.guarded(chore))
    thread.start()
    assert begun.wait(10)
    place.stopping.set()
    chores.wait(0.01)
    assert thread.is_alive(), "for so long and no longer"
    goes_on.set()
    chores.wait(10)
    thread.join(10)
    chores.guarded(chore)()
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
