"""What is stored of the breakers, and what operators' edits of `kv` do to it."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from tests.store import rows
from tests.store.statement import Statement
from vodtender.model.breaker import Breaker, BreakerPolicy, Direction
from vodtender.model.settlement import Settlement, Signal
from vodtender.model.vod import Stage, Standing
from vodtender.store import breaker, claims, vods
from vodtender.store.database import Connection, clock

COOLDOWN = timedelta(minutes=5)
POLICY = BreakerPolicy(3, COOLDOWN)


def learn(
    connection: Connection,
    signal: Signal,
    number: int = 1,
    direction: Direction = "download",
    channel: str = "alice",
) -> tuple[str, str]:
    vod = vods.get(connection, str(number)) or rows.insert(connection, number, channel=channel)
    return breaker.learn(
        connection, channel, signal, direction=direction, vod_id=vod.id, policy=POLICY
    )


def fail(
    connection: Connection,
    *numbers: int,
    direction: Direction = "download",
    channel: str = "alice",
) -> str:
    """The state after these have failed."""
    for number in numbers:
        state = learn(connection, Signal.FAILURE, number, direction, channel)[1]
    return state


def said(connection: Connection, channel: str = "alice") -> dict[str, str]:
    found = connection.execute("SELECT key, value FROM kv WHERE channel = %s", (channel,))
    return {row["key"]: row["value"] for row in found}


# --- counting ---------------------------------------------------------------------------


def test_nothing_is_stored_of_a_channel_that_goes_well(connection: Connection) -> None:
    assert breaker.get(connection, "alice") == Breaker("alice")
    assert learn(connection, Signal.SUCCESS) == ("closed", "closed")
    assert said(connection) == {}


def test_different_vods_that_fail_in_a_row_open_it(connection: Connection) -> None:
    assert fail(connection, 1, 2) == "closed"
    assert said(connection) == {"circuit_failures": "2"}
    assert learn(connection, Signal.FAILURE, 3) == ("closed", "open")
    stored = said(connection)
    assert (stored["circuit_state"], stored["circuit_failures"]) == ("open", "3")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", stored["circuit_open_until"])
    left = datetime.fromisoformat(stored["circuit_open_until"]) - clock(connection)
    assert COOLDOWN - timedelta(seconds=30) < left <= COOLDOWN
    assert breaker.get(connection, "alice").direction == "download"


def test_one_bad_vod_never_halts_a_channel(connection: Connection) -> None:
    for _ in range(20):
        assert fail(connection, 1) == "closed"
    assert said(connection) == {"circuit_failures": "1"}


def test_what_says_nothing_changes_nothing(connection: Connection) -> None:
    fail(connection, 1, 2)
    assert learn(connection, Signal.NOTHING, 3) == ("closed", "closed")
    assert breaker.get(connection, "alice").failures == 2


def test_a_success_ends_the_row_of_failures(connection: Connection) -> None:
    fail(connection, 1, 2)
    learn(connection, Signal.SUCCESS, 3)
    assert said(connection) == {}
    assert fail(connection, 4, 5) == "closed"


def test_a_success_of_one_direction_does_not_excuse_the_other(connection: Connection) -> None:
    """Twitch can be in trouble while YouTube takes what is there already."""
    for number in (1, 2):
        fail(connection, number)
        learn(connection, Signal.SUCCESS, 10 + number, "upload")
    assert breaker.get(connection, "alice").failures == 2
    assert fail(connection, 3) == "open"


def test_failures_of_two_directions_are_not_added_up(connection: Connection) -> None:
    fail(connection, 1, 2)
    assert fail(connection, 3, 4, direction="upload") == "closed"
    assert breaker.get(connection, "alice").failures == 2


def test_each_channel_has_its_own(connection: Connection) -> None:
    fail(connection, 1, 2, 3)
    fail(connection, 4, channel="bob")
    learn(connection, Signal.SUCCESS, 5, channel="bob")
    states = {name: found.state for name, found in breaker.all_breakers(connection).items()}
    assert states == {"alice": "open"}


def test_many_failures_at_once_are_counted_one_by_one(
    connection: Connection, another: Callable[[], Connection]
) -> None:
    for number in (1, 2, 3):
        rows.insert(connection, number)
    first, second = another(), another()
    with first.transaction():
        fail(first, 1)
        waiting = Statement(second, "SELECT pg_advisory_xact_lock(hashtext('breakers'))")
        waiting.wait_until_it_waits(connection)
        fail(first, 2)
    waiting.join()
    assert fail(second, 3) == "open"


# --- half-open --------------------------------------------------------------------------


def half_open(connection: Connection, direction: Direction = "download") -> claims.Claim:
    """Three have failed, the rest is over, and a fourth is out as the probe."""
    fail(connection, 1, 2, 3, direction=direction)
    connection.execute("UPDATE kv SET value = '2020-01-01T00:00:00Z' WHERE key LIKE '%until'")
    vod = rows.insert(connection, 4)
    connection.execute(
        "UPDATE vods SET stage = 'downloading', worker_id = 'worker-1', claim = 1,"
        " lease_expires_at = now() + interval '1 minute' WHERE id = %s",
        (vod.id,),
    )
    claim = claims.Claim(vod.id, "worker-1", 1)
    breaker.begin_probe(connection, "alice", claim, direction)
    return claim


def test_while_the_probe_is_worked_on_there_is_no_other(connection: Connection) -> None:
    claim = half_open(connection)
    assert breaker.get(connection, "alice").state == "half-open"
    assert breaker.probe_is_out(connection, "alice")
    claims.settle(connection, claim, Stage.DOWNLOADING, Settlement(Standing(Stage.QUEUED)))
    assert not breaker.probe_is_out(connection, "alice"), "it came to nothing"


@pytest.mark.parametrize("end", ["its lease ended", "another took it", "it was deleted"])
def test_a_probe_whose_worker_is_gone_is_none(end: str, connection: Connection) -> None:
    half_open(connection)
    connection.execute(
        {
            "its lease ended": "UPDATE vods SET lease_expires_at = now() WHERE claim = 1",
            "another took it": "UPDATE vods SET claim = 3 WHERE claim = 1",
            "it was deleted": "DELETE FROM vods WHERE claim = 1",
        }[end]
    )
    assert not breaker.probe_is_out(connection, "alice")


def test_what_the_other_direction_does_leaves_the_probe_the_only_one(
    connection: Connection,
) -> None:
    half_open(connection)
    assert learn(connection, Signal.SUCCESS, 9, "upload") == ("half-open", "half-open")
    assert breaker.probe_is_out(connection, "alice")


def test_the_probes_success_closes_it_and_forgets_everything(connection: Connection) -> None:
    half_open(connection)
    assert learn(connection, Signal.SUCCESS, 4) == ("half-open", "closed")
    assert said(connection) == {}
    for table in ("breakers", "breaker_failures"):
        assert connection.execute(f"SELECT FROM {table}".encode()).rowcount == 0


def test_the_probes_failure_opens_it_again(connection: Connection) -> None:
    half_open(connection)
    assert fail(connection, 4) == "open"
    stored = breaker.get(connection, "alice")
    assert not stored.may_probe(clock(connection))
    assert stored.failures == 4


def test_the_next_probe_is_none_of_those_that_have_failed(connection: Connection) -> None:
    fail(connection, 1, 2, 3)
    failed = breaker.failed_ids(connection, "alice")
    assert sorted(failed) == sorted(rows.get(connection, number).id for number in (1, 2, 3))


# --- operators --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM kv WHERE key IN ('circuit_state', 'circuit_failures', 'circuit_open_until')",
        "UPDATE kv SET value='closed' WHERE key='circuit_state'",
        "DELETE FROM kv WHERE key = 'circuit_state'",
        "DELETE FROM kv",
        "UPDATE kv SET value='Closed!' WHERE key='circuit_state'",
    ],
)
def test_whoever_closes_it_by_hand_begins_the_count_anew(
    statement: str, connection: Connection
) -> None:
    fail(connection, 1, 2, 3)
    connection.execute(statement.encode())
    assert breaker.get(connection, "alice").state == "closed"
    assert fail(connection, 4, 5) == "closed"
    assert fail(connection, 6) == "open"


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM kv WHERE key = 'circuit_failures'",
        "UPDATE kv SET value = '0' WHERE key = 'circuit_failures'",
    ],
)
def test_whoever_wipes_the_count_begins_it_anew(statement: str, connection: Connection) -> None:
    fail(connection, 1, 2)
    connection.execute(statement.encode())
    assert fail(connection, 3, 4) == "closed"
    assert fail(connection, 5) == "open"


def test_it_can_be_opened_by_hand(connection: Connection) -> None:
    connection.execute(
        "INSERT INTO kv (channel, key, value) VALUES ('alice', 'circuit_state', 'open'),"
        " ('alice', 'circuit_open_until', '2999-01-01T00:00:00Z')"
    )
    opened = breaker.get(connection, "alice")
    assert opened.state == "open"
    assert not opened.may_probe(clock(connection))


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("circuit_state", "ajar", Breaker("alice")),
        ("circuit_failures", "many", Breaker("alice")),
        ("circuit_failures", "-1", Breaker("alice")),
        ("circuit_failures", "²", Breaker("alice")),
        ("circuit_open_until", "soon", Breaker("alice")),
        (
            "circuit_open_until",
            "2026-11-23 10:00:00",
            Breaker("alice", open_until=datetime(2026, 11, 23, 10, tzinfo=UTC)),
        ),
    ],
)
def test_whatever_is_typed_into_kv_can_be_read(
    key: str, value: str, wanted: Breaker, connection: Connection
) -> None:
    connection.execute(
        "INSERT INTO kv (channel, key, value) VALUES ('alice', %s, %s)", (key, value)
    )
    assert breaker.get(connection, "alice") == wanted


def test_an_operator_and_a_worker_never_wait_for_each_other_crosswise(
    connection: Connection, another: Callable[[], Connection]
) -> None:
    """The statements of the runbook touch the rows in another order than a worker does."""
    half_open(connection)
    worker, operator = another(), another()
    with worker.transaction():
        breaker.lock(worker)
        by_hand = Statement(
            operator,
            "UPDATE kv SET value='closed' WHERE key='circuit_state';"
            "DELETE FROM kv WHERE key IN ('circuit_failures', 'circuit_open_until')",
        )
        by_hand.wait_until_it_waits(connection)
        assert fail(worker, 4) == "open"
    by_hand.join()
    assert breaker.get(connection, "alice").state == "closed"


def test_closing_one_by_hand_wakes_the_workers(
    connection: Connection, another: Callable[[], Connection]
) -> None:
    fail(connection, 1, 2, 3)
    listener = another()
    listener.execute("LISTEN vodtender")
    connection.execute("UPDATE kv SET value='closed' WHERE key='circuit_state'")
    assert list(listener.notifies(timeout=5, stop_after=1))
