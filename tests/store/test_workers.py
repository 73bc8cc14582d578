"""Who works on the database, what it is told, and who changed what."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from tests.store import rows
from vodtender.store import audit, pause, workers
from vodtender.store.database import Connection, clock


def register(connection: Connection, worker_id: str) -> None:
    workers.register(
        connection,
        worker_id=worker_id,
        host="host",
        pid=1,
        version="1",
        directory_id="d",
        directory="/data",
        channels=[],
    )


def beat(connection: Connection, worker_id: str, **different: Any) -> bool | None:
    said: dict[str, Any] = {"disk_free_bytes": 1, "disk_total_bytes": 2, "downloads_paused": None}
    return workers.heartbeat(connection, worker_id, **{**said, **different})


# --- workers ----------------------------------------------------------------------------


def test_a_worker_is_known_from_its_start_to_its_end(connection: Connection) -> None:
    register(connection, "worker-1")
    register(connection, "worker-2")
    assert beat(connection, "worker-1", downloads_paused="the disk is full") is False
    found = {worker.worker_id: worker for worker in workers.find(connection)}
    assert set(found) == {"worker-1", "worker-2"}
    assert found["worker-1"].downloads_paused == "the disk is full"
    workers.remove(connection, "worker-1")
    assert [worker.worker_id for worker in workers.find(connection)] == ["worker-2"]


def test_one_that_was_not_heard_of_for_days_is_forgotten(connection: Connection) -> None:
    register(connection, "worker-1")
    connection.execute("UPDATE workers SET heartbeat_at = now() - interval '8 days'")
    register(connection, "worker-2")
    assert [worker.worker_id for worker in workers.find(connection)] == ["worker-2"]


def test_those_that_live_are_those_heard_of_lately(connection: Connection) -> None:
    register(connection, "worker-1")
    connection.execute("UPDATE workers SET heartbeat_at = now() - interval '5 minutes'")
    register(connection, "worker-2")
    lately = workers.find(connection, heard_within_seconds=60)
    assert [worker.worker_id for worker in lately] == ["worker-2"]
    (_, silent) = workers.find(connection)
    assert silent.seconds_since_heartbeat >= 300


def test_a_worker_learns_with_its_heartbeat_that_it_is_to_take_nothing_new(
    connection: Connection,
) -> None:
    register(connection, "worker-1")
    register(connection, "worker-2")
    workers.set_draining(connection, "worker-1")
    assert beat(connection, "worker-1") is True
    assert beat(connection, "worker-2") is False
    assert beat(connection, "worker-3") is None, "a restored database does not know it"


def test_what_a_silent_worker_has_is_not_in_its_hand(connection: Connection) -> None:
    rows.situation(connection, "downloading", 1)
    rows.situation(connection, "uploading", 2)
    connection.execute("UPDATE vods SET lease_expires_at = now() WHERE twitch_vod_id = '1'")
    assert workers.in_hand(connection) == {rows.WORKER: ["2"]}


# --- the pause --------------------------------------------------------------------------


def test_a_pause_has_a_reason_and_a_beginning_and_can_be_given_another_reason(
    connection: Connection,
) -> None:
    assert pause.get(connection) is None
    pause.begin(connection, "maintenance")
    first = pause.get(connection)
    assert first is not None
    assert first.reason == "maintenance"
    assert clock(connection) - first.since < timedelta(minutes=1)
    pause.begin(connection, "longer maintenance")
    second = pause.get(connection)
    assert second is not None
    assert (second.reason, second.since) == ("longer maintenance", first.since)
    pause.end(connection)
    pause.end(connection)
    assert pause.get(connection) is None


# --- the audit --------------------------------------------------------------------------


def test_lines_are_found_by_what_they_were_about_the_latest_first(connection: Connection) -> None:
    now = clock(connection)
    for number, (action, target) in enumerate(
        [("retry", "1"), ("breaker reset", "alice"), ("retry", "2"), ("breaker", "alice")]
    ):
        audit.record(
            connection,
            actor="eve@ops",
            action=action,
            target=target,
            before={"n": number},
            after={"at": now},
            reason=None,
        )
    assert [line.target for line in audit.find(connection)] == ["alice", "2", "alice", "1"]
    assert [line.before["n"] for line in audit.find(connection, target="alice")] == [3, 1]
    assert len(audit.find(connection, action="retry", limit=1)) == 1
    assert len(audit.find(connection, action="breaker")) == 2
    assert audit.find(connection, after=now + timedelta(hours=1)) == []
