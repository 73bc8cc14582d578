"""Telling daemons to finish, and waiting for it, on a real database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.archive import Archive
from tests.rows import add_vod, add_worker, rows
from vodtender.errors import Exit, NotFound, UsageError, VodtenderError
from vodtender.procedures import drain
from vodtender.procedures.drain import InHand
from vodtender.store.database import Database

WHO: dict[str, Any] = {"actor": "op@host", "reason": "update", "dry_run": False}


@pytest.fixture
def database(archive: Archive) -> Database:
    return archive.database


def told(database: Database) -> list[str]:
    found = rows(database, "SELECT worker_id FROM workers WHERE draining ORDER BY 1")
    return [name for (name,) in found]


def take(database: Database, vod: str, worker_id: str, lease: str = "1 minute") -> None:
    with database.transaction() as connection:
        connection.execute(
            "UPDATE vods SET worker_id = %s, lease_expires_at = now() + %s::interval"
            " WHERE twitch_vod_id = %s",
            (worker_id, lease, vod),
        )


def give_back(database: Database, vod: str) -> None:
    with database.transaction() as connection:
        connection.execute(
            "UPDATE vods SET worker_id = NULL, lease_expires_at = NULL WHERE twitch_vod_id = %s",
            (vod,),
        )


@pytest.fixture
def two(database: Database) -> Database:
    """Two daemons, of which `a` works on VOD 1."""
    add_worker(database, "a")
    add_worker(database, "b")
    add_vod(database, "1")
    take(database, "1", "a")
    return database


def test_one_daemon_is_told_and_the_other_is_not(two: Database) -> None:
    (change,) = drain.drain(two, worker_id="a", all_workers=False, **WHO)
    assert (change.target, change.before, change.after) == (
        "a",
        {"draining": False},
        {"draining": True},
    )
    assert change.note == "works on 1"
    assert told(two) == ["a"]
    assert rows(two, "SELECT actor, action, target, reason FROM audit") == [
        ("op@host", "drain", "a", "update")
    ]


def test_all_are_told(two: Database) -> None:
    changes = drain.drain(two, worker_id=None, all_workers=True, **WHO)
    assert sorted(change.target for change in changes) == told(two) == ["a", "b"]


def test_the_only_one_need_not_be_named(database: Database) -> None:
    add_worker(database, "a")
    (change,) = drain.drain(database, worker_id=None, all_workers=False, **WHO)
    assert change.target == "a"


def test_a_dead_one_is_not_taken_for_the_only_one_but_belongs_to_all(two: Database) -> None:
    with two.transaction() as connection:
        connection.execute(
            "UPDATE workers SET heartbeat_at = now() - interval '1 hour' WHERE worker_id = 'b'"
        )
    (change,) = drain.drain(two, worker_id=None, all_workers=False, **WHO)
    assert change.target == "a"
    dead = {c.target: c.note for c in drain.drain(two, worker_id=None, all_workers=True, **WHO)}[
        "b"
    ]
    assert dead == "not heard of for 3600 s; nothing in hand"


def test_of_several_one_must_be_named(two: Database) -> None:
    with pytest.raises(UsageError, match="--all") as caught:
        drain.drain(two, worker_id=None, all_workers=False, **WHO)
    assert "a" in caught.value.hint
    assert told(two) == []


def test_an_unknown_one_is_not_found(two: Database) -> None:
    with pytest.raises(NotFound, match="nobody"):
        drain.drain(two, worker_id="nobody", all_workers=False, **WHO)


def test_with_no_daemon_there_is_nothing_to_do(database: Database) -> None:
    assert drain.drain(database, worker_id=None, all_workers=True, **WHO) == []
    assert drain.drain(database, worker_id=None, all_workers=False, **WHO) == []


def test_the_second_time_there_is_nothing_to_do(two: Database) -> None:
    drain.drain(two, worker_id="a", all_workers=False, **WHO)
    (change,) = drain.drain(two, worker_id="a", all_workers=False, **WHO)
    assert not change.changed
    assert change.note == "draining already; works on 1"
    assert rows(two, "SELECT count(*) FROM audit") == [(1,)]


def test_a_dry_run_tells_nobody(two: Database) -> None:
    (change,) = drain.drain(two, worker_id="a", all_workers=False, **{**WHO, "dry_run": True})
    assert change.changed
    assert told(two) == []
    assert rows(two, "SELECT count(*) FROM audit") == [(0,)]


def wait(
    database: Database,
    *workers: str,
    timeout: float | None = None,
    between: Callable[[int], None] = lambda _look: None,
) -> list[list[InHand]]:
    """Waits, with `between` in the place of each pause; returns what was said on the way."""
    said: list[list[InHand]] = []
    looks = iter(range(1000))
    drain.wait(
        database,
        workers,
        timeout_seconds=timeout,
        on_change=said.append,
        pause=lambda _seconds: between(next(looks)),
    )
    return said


def test_waiting_ends_when_nothing_is_in_hand_any_more(two: Database) -> None:
    said = wait(two, "a", "b", between=lambda look: give_back(two, "1") if look == 3 else None)
    assert said == [[InHand("a", ("1",))]]


def test_waiting_follows_work_from_one_vod_to_the_next(two: Database) -> None:
    add_vod(two, "2")

    def between(look: int) -> None:
        if look == 2:
            give_back(two, "1")
            take(two, "2", "a")
        if look == 4:
            give_back(two, "2")

    assert wait(two, "a", between=between) == [[InHand("a", ("1",))], [InHand("a", ("2",))]]


def test_what_a_dead_daemon_held_is_waited_for_only_as_long_as_its_lease(two: Database) -> None:
    take(two, "1", "a", lease="-1 second")
    assert wait(two, "a") == []


def test_others_are_not_waited_for(two: Database) -> None:
    assert wait(two, "b") == []


def test_waiting_longer_than_the_timeout_is_a_failure_that_says_who_is_busy(two: Database) -> None:
    with pytest.raises(VodtenderError, match="a works on 1") as caught:
        wait(two, "a", timeout=0)
    assert caught.value.exit is Exit.FAILED
    assert caught.value.code == "timeout"
