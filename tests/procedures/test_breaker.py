"""Closing and opening the circuit breakers by hand, on a real database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.archive import Archive
from tests.rows import add_vod, rows
from vodtender.errors import NotFound
from vodtender.model.breaker import Breaker, BreakerPolicy
from vodtender.model.settlement import Signal
from vodtender.procedures import breaker
from vodtender.store import breaker as store
from vodtender.store.database import Database

COOLDOWN = timedelta(minutes=5)
WHO: dict[str, Any] = {"actor": "op@host", "reason": "mended", "dry_run": False}


@pytest.fixture
def database(archive: Archive) -> Database:
    return archive.database


def fail(database: Database, channel: str, vod_id: int, threshold: int = 2) -> None:
    with database.transaction() as connection:
        store.learn(
            connection,
            channel,
            Signal.FAILURE,
            direction="download",
            vod_id=vod_id,
            policy=BreakerPolicy(threshold, COOLDOWN),
        )


def stored(database: Database, channel: str) -> Breaker:
    with database.transaction() as connection:
        return store.get(connection, channel)


@pytest.fixture
def opened(database: Database) -> Database:
    """Two VODs of alice have failed, and her breaker is open; bob has had one failure."""
    for vod in ("1", "2"):
        fail(database, "alice", add_vod(database, vod))
    fail(database, "bob", add_vod(database, "3", channel="bob"))
    return database


def test_standings_show_state_failures_and_which_vods_failed(opened: Database) -> None:
    alice, bob = breaker.standings(opened, breaker.channels(opened, None, []))
    assert (alice.breaker.channel, alice.breaker.state, alice.breaker.failures) == (
        "alice",
        "open",
        2,
    )
    assert alice.failed_vods == ["2", "1"]
    assert (bob.breaker.state, bob.breaker.failures, bob.failed_vods) == ("closed", 1, ["3"])


def test_channels_are_those_of_the_settings_and_those_of_the_database(opened: Database) -> None:
    assert breaker.channels(opened, None, ["zoe", "alice"]) == ["alice", "bob", "zoe"]
    assert breaker.channels(opened, "zoe", ["zoe"]) == ["zoe"]


def test_vods_whose_channel_is_not_known_yet_have_a_breaker_while_there_are_any(
    opened: Database,
) -> None:
    vod_id = add_vod(opened, "9", channel="")
    assert breaker.channels(opened, None, []) == ["", "alice", "bob"]
    with opened.transaction() as connection:
        connection.execute("UPDATE vods SET channel = 'zoe' WHERE id = %s", (vod_id,))
    assert breaker.channels(opened, None, []) == ["alice", "bob", "zoe"]


def test_a_channel_that_nobody_knows_is_refused(opened: Database) -> None:
    with pytest.raises(NotFound, match="nobody"):
        breaker.channels(opened, "nobody", ["zoe"])


def test_reset_closes_and_forgets_what_had_failed(opened: Database) -> None:
    changes = breaker.reset(opened, ["alice"], **WHO)
    assert [(c.target, c.before["state"], c.after["state"]) for c in changes] == [
        ("alice", "open", "closed")
    ]
    assert stored(opened, "alice") == Breaker("alice")
    assert rows(opened, "SELECT channel FROM breaker_failures") == [("bob",)]
    assert rows(opened, "SELECT * FROM breakers") == []
    assert rows(opened, "SELECT key FROM kv WHERE channel = 'alice'") == []


def test_after_a_reset_it_takes_the_whole_threshold_to_open_it_again(opened: Database) -> None:
    breaker.reset(opened, ["alice"], **WHO)
    fail(opened, "alice", add_vod(opened, "7"))
    assert stored(opened, "alice").state == "closed"
    fail(opened, "alice", add_vod(opened, "8"))
    assert stored(opened, "alice").state == "open"


def test_reset_of_a_closed_one_forgets_its_count(opened: Database) -> None:
    (change,) = breaker.reset(opened, ["bob"], **WHO)
    assert (change.before["failures"], change.after["failures"]) == (1, 0)
    assert rows(opened, "SELECT * FROM breaker_failures WHERE channel = 'bob'") == []


def test_each_change_leaves_one_line_in_the_audit(opened: Database) -> None:
    breaker.reset(opened, ["alice", "bob"], **WHO)
    lines = rows(
        opened, "SELECT actor, action, target, reason, before, after FROM audit ORDER BY 3"
    )
    assert [line[:4] for line in lines] == [
        ("op@host", "breaker reset", "alice", "mended"),
        ("op@host", "breaker reset", "bob", "mended"),
    ]
    assert lines[0][4]["state"] == "open"
    assert lines[0][5] == {"state": "closed", "failures": 0, "open_until": None}


def test_a_second_reset_has_nothing_to_do_and_says_so(opened: Database) -> None:
    breaker.reset(opened, ["alice"], **WHO)
    (change,) = breaker.reset(opened, ["alice"], **WHO)
    assert not change.changed
    assert change.note == "closed already"
    assert rows(opened, "SELECT count(*) FROM audit") == [(1,)]


def test_a_dry_run_shows_what_would_be_and_changes_nothing(opened: Database) -> None:
    before = stored(opened, "alice")
    (reset,) = breaker.reset(opened, ["alice"], **{**WHO, "dry_run": True})
    (trip,) = breaker.trip(
        opened, ["bob"], rest=None, cooldown=COOLDOWN, **{**WHO, "dry_run": True}
    )
    assert (reset.after["state"], trip.after["state"]) == ("closed", "open")
    assert stored(opened, "alice") == before
    assert stored(opened, "bob").state == "closed"
    assert rows(opened, "SELECT count(*) FROM audit") == [(0,)]


def test_trip_opens_for_as_long_as_was_said(database: Database) -> None:
    before = datetime.now(UTC)
    (change,) = breaker.trip(database, ["alice"], rest=timedelta(hours=2), cooldown=COOLDOWN, **WHO)
    assert (change.before["state"], change.after["state"]) == ("closed", "open")
    until = stored(database, "alice").open_until
    assert until is not None
    assert abs(until - before - timedelta(hours=2)) < timedelta(seconds=30)
    # What operators and the runbook's SQL read.
    assert dict(rows(database, "SELECT key, value FROM kv WHERE channel = 'alice'")) == {
        "circuit_state": "open",
        "circuit_failures": "0",
        "circuit_open_until": f"{until:%Y-%m-%dT%H:%M:%SZ}",
    }


def test_a_second_trip_has_nothing_to_do_unless_a_time_is_said(database: Database) -> None:
    breaker.trip(database, ["alice"], rest=None, cooldown=COOLDOWN, **WHO)
    (again,) = breaker.trip(database, ["alice"], rest=None, cooldown=COOLDOWN, **WHO)
    assert not again.changed
    assert again.note == "open already"
    (shorter,) = breaker.trip(
        database, ["alice"], rest=timedelta(seconds=1), cooldown=COOLDOWN, **WHO
    )
    assert shorter.after["open_until"] < shorter.before["open_until"]


def test_what_was_in_hand_when_it_was_tripped_does_not_close_it(database: Database) -> None:
    vod_id = add_vod(database, "1")
    breaker.trip(database, ["alice"], rest=None, cooldown=COOLDOWN, **WHO)
    with database.transaction() as connection:
        assert store.learn(
            connection,
            "alice",
            Signal.SUCCESS,
            direction="download",
            vod_id=vod_id,
            policy=BreakerPolicy(2, COOLDOWN),
        ) == ("open", "open")


def test_the_cause_is_what_opened_it(opened: Database) -> None:
    breaker.trip(
        opened,
        ["bob"],
        rest=None,
        cooldown=COOLDOWN,
        actor="op",
        reason="Twitch is down",
        dry_run=False,
    )
    standing = {s.breaker.channel: s for s in breaker.standings(opened, ["alice", "bob"])}
    assert standing["bob"].cause == "Twitch is down"


def test_what_an_operator_typed_into_kv_is_read_as_it_was_meant(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO kv (channel, key, value) VALUES ('alice', 'circuit_state', 'open'),"
            " ('alice', 'circuit_failures', 'many'), ('alice', 'circuit_open_until', 'tomorrow')"
        )
    (standing,) = breaker.standings(database, ["alice"])
    assert standing.breaker == Breaker("alice", "open", 0, None)
    (change,) = breaker.reset(database, ["alice"], **WHO)
    assert change.changed
    assert rows(database, "SELECT * FROM kv") == []


def test_two_operators_at_once_do_not_wait_for_each_other_for_ever(
    database: Database,
) -> None:
    import threading

    names = [f"channel{n}" for n in range(20)]
    other = Database(lambda: database.dsn)
    done = []

    def trip(on: Database, order: list[str]) -> None:
        done.append(breaker.trip(on, order, rest=None, cooldown=COOLDOWN, **WHO))

    threads = [
        threading.Thread(target=trip, args=args)
        for args in ((database, names), (other, names[::-1]))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    other.close()
    assert len(done) == 2
    assert rows(database, "SELECT count(*) FROM audit") == [(20,)]
