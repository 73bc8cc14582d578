"""Who gets which VOD next, and what there is to do."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import pytest

from tests.store import rows
from tests.store.rows import DIRECTORY, NOW, WORKER
from tests.store.taking import live, take, taken
from vodtender.model.vod import Stage
from vodtender.store import claims, queue
from vodtender.store.database import Connection, Database, clock
from vodtender.store.queue import CHECKS, DOWNLOADS, UPLOADS

HOUR = timedelta(hours=1)


def numbers_taken(connection: Connection, stages: Sequence[Stage] = DOWNLOADS) -> list[str]:
    """All that there is to take, in the order in which it is taken."""
    found = []
    while (vod := take(connection, stages)) is not None:
        found.append(vod.twitch_vod_id)
    return found


# --- taking -----------------------------------------------------------------------------


def test_many_workers_at_once_take_each_vod_once(database: Database) -> None:
    with database.transaction() as connection:
        for number in range(60):
            rows.insert(connection, number, channel="alice" if number % 3 else "bob")
    start = threading.Barrier(8)

    def work(worker: int) -> list[str]:
        start.wait()
        found: list[str] = []
        while True:
            with database.transaction() as connection:
                vod = take(connection, worker_id=f"worker-{worker}")
            if vod is None:
                return found
            assert vod.worker_id == f"worker-{worker}"
            found.append(vod.twitch_vod_id)

    with ThreadPoolExecutor(8) as pool:
        found = [number for taken in pool.map(work, range(8)) for number in taken]
    assert sorted(found, key=int) == [str(number) for number in range(60)]


def test_a_worker_takes_what_another_one_leaves_without_waiting_for_it(
    connection: Connection, another: Callable[[], Connection]
) -> None:
    rows.insert(connection, 1, channel="alice")
    rows.insert(connection, 2, channel="bob")
    first, second = another(), another()
    with first.transaction():
        assert taken(first).twitch_vod_id == "1"
        assert taken(second).twitch_vod_id == "2"
        assert take(second) is None


def test_a_claim_that_is_undone_was_none(connection: Connection, database: Database) -> None:
    rows.insert(connection)
    with database.transaction(keep=False) as undone:
        assert take(undone) is not None
    assert taken(connection).claim == 1


def test_downloads_go_by_priority_and_then_by_what_vanishes_soonest(
    connection: Connection,
) -> None:
    rows.insert(connection, 1, vanishes_at=None)
    rows.insert(connection, 2, vanishes_at=NOW + 2 * HOUR)
    rows.insert(connection, 3, vanishes_at=NOW + HOUR, channel="bob")
    rows.insert(connection, 4, vanishes_at=NOW + 3 * HOUR)
    rows.insert(connection, 5, vanishes_at=NOW + 9 * HOUR, priority=1, channel="bob")
    rows.insert(connection, 6, vanishes_at=NOW + HOUR, priority=-1)
    rows.insert(connection, 7, vanishes_at=NOW + 3 * HOUR)
    assert numbers_taken(connection) == ["5", "3", "2", "4", "7", "1", "6"]


def test_uploads_go_by_priority_and_then_by_age(connection: Connection) -> None:
    held = rows.SITUATIONS["downloaded"].columns
    rows.insert(connection, 1, **{**held, "date": NOW})
    rows.insert(connection, 2, **{**held, "date": NOW - HOUR, "channel": "bob"})
    rows.insert(connection, 3, **{**held, "date": NOW - 2 * HOUR, "stage": "uploading"})
    rows.insert(connection, 4, **{**held, "date": None})
    rows.insert(connection, 5, **{**held, "date": None, "priority": 3})
    assert numbers_taken(connection, UPLOADS) == ["5", "3", "2", "1", "4"]


@pytest.mark.parametrize(
    ("stages", "wanted"),
    [
        (DOWNLOADS, {"queued"}),
        (UPLOADS, {"downloaded", "uploading"}),
        (CHECKS, {"finalizing", "verifying"}),
    ],
)
def test_each_kind_of_work_takes_its_stages_and_nothing_that_waits_or_is_kept(
    stages: Sequence[Stage], wanted: set[str], connection: Connection
) -> None:
    for number, name in enumerate(rows.SITUATIONS, 1):
        rows.situation(connection, name, number)
    connection.execute(
        "UPDATE vods SET worker_id = NULL, lease_expires_at = NULL WHERE stage <> 'downloading'"
    )
    connection.execute("UPDATE vods SET next_try_at = NULL WHERE stage = 'finalizing'")
    names = list(rows.SITUATIONS)
    assert {names[int(n) - 1] for n in numbers_taken(connection, stages)} == wanted


def test_only_the_channels_that_are_asked_for_are_worked_on(connection: Connection) -> None:
    rows.insert(connection, 1, channel="alice")
    rows.insert(connection, 2, channel="")
    assert take(connection, channels=["bob"]) is None
    assert take(connection, channels=[]) is None
    assert taken(connection, channels=["", "bob"]).twitch_vod_id == "2"


def test_what_is_to_be_avoided_is_left_to_others(connection: Connection) -> None:
    first = rows.insert(connection, 1)
    rows.insert(connection, 2)
    assert taken(connection, avoiding=[first.id]).twitch_vod_id == "2"
    assert take(connection, avoiding=[first.id]) is None
    assert taken(connection).twitch_vod_id == "1"


def test_what_comes_down_shows_no_error_of_earlier(connection: Connection) -> None:
    rows.insert(connection, problem="Twitch answered 503", problem_code="server_error")
    assert rows.get(connection).download_state == "failed"
    assert taken(connection).processing_error is None
    rows.assert_shown_as_promised(rows.raw(connection))


def test_an_upload_shows_why_it_was_held_until_its_bytes_move(connection: Connection) -> None:
    rows.situation(connection, "held")
    connection.execute("UPDATE vods SET next_try_at = NULL")
    vod = taken(connection, UPLOADS)
    assert "quota" in (vod.processing_error or "")
    claims.advance(connection, rows.claim_of(vod), Stage.UPLOADING)
    assert rows.get(connection).processing_error is None


def test_a_vod_that_is_not_to_be_uploaded_is_still_asked_about_when_it_was(
    connection: Connection,
) -> None:
    rows.situation(connection, "verifying")
    connection.execute(
        "UPDATE vods SET skip_upload = true, worker_id = NULL, lease_expires_at = NULL"
    )
    assert taken(connection, CHECKS).stage is Stage.VERIFYING


# --- where the file lies ----------------------------------------------------------------


def test_an_upload_is_left_to_the_worker_that_has_the_file_while_it_lives(
    connection: Connection,
) -> None:
    rows.situation(connection, "downloaded")
    live(connection, "worker-2", "directory-2")
    live(connection, WORKER, DIRECTORY)
    assert take(connection, UPLOADS, directory_id="directory-2") is None
    assert not queue.is_any_left(connection, UPLOADS, "alice", directory_id="directory-2")
    connection.execute(
        "UPDATE workers SET heartbeat_at = now() - interval '10 minutes' WHERE worker_id = %s",
        (WORKER,),
    )
    assert queue.is_any_left(connection, UPLOADS, "alice", directory_id="directory-2")
    assert taken(connection, UPLOADS, directory_id="directory-2").directory_id == DIRECTORY


def test_two_workers_of_one_directory_upload_each_others_files(connection: Connection) -> None:
    live(connection, "worker-2", DIRECTORY)
    live(connection, WORKER, DIRECTORY)
    rows.situation(connection, "downloaded")
    assert take(connection, UPLOADS, worker_id="worker-2") is not None


def test_many_files_of_others_do_not_hide_the_one_that_is_here(connection: Connection) -> None:
    live(connection, "worker-2", "directory-2")
    for number in range(1, 30):
        rows.insert(
            connection,
            number,
            **{**rows.SITUATIONS["downloaded"].columns, "directory_id": "directory-2"},
        )
    rows.insert(connection, 30, **{**rows.SITUATIONS["downloaded"].columns, "date": NOW})
    assert taken(connection, UPLOADS).twitch_vod_id == "30"


@pytest.mark.parametrize("name", ["verifying", "finalizing"])
def test_whoever_is_there_asks_what_became_of_an_upload(name: str, connection: Connection) -> None:
    live(connection, WORKER, DIRECTORY)
    rows.situation(connection, name)
    connection.execute(
        "UPDATE vods SET worker_id = NULL, lease_expires_at = NULL, next_try_at = NULL"
    )
    assert take(connection, CHECKS, directory_id="directory-2") is not None


# --- waiting ----------------------------------------------------------------------------


def test_what_has_waited_long_enough_is_ready_and_the_rest_is_not(connection: Connection) -> None:
    now = clock(connection)
    rows.insert(connection, 1, next_try_at=now - HOUR, waiting_for="backoff", problem="x")
    rows.insert(connection, 2, next_try_at=now + HOUR, waiting_for="backoff", problem="x")
    assert take(connection) is None
    queue.wake(connection)
    assert numbers_taken(connection) == ["1"]
    assert rows.get(connection, 1).waiting_for is None


def test_a_vod_that_no_listing_shows_any_more_is_looked_at_itself(connection: Connection) -> None:
    rows.situation(connection, "live")
    queue.wake(connection)
    assert taken(connection).twitch_vod_id == "1"


def test_a_thousand_are_woken_at_once_and_the_others_next_time(connection: Connection) -> None:
    connection.execute(
        """
        INSERT INTO vods (twitch_vod_id, channel, next_try_at)
        SELECT n::text, 'alice', now() - make_interval(secs => n)
        FROM generate_series(1, 1200) AS n
        """
    )
    waiting = "SELECT count(*) AS n FROM vods WHERE next_try_at IS NOT NULL"
    left = []
    for _ in range(2):
        queue.wake(connection)
        row = connection.execute(waiting).fetchone()
        assert row is not None
        left.append(row["n"])
    assert left == [200, 0]


def outlook(connection: Connection, **different: Any) -> set[str]:
    """What there is to do."""
    arguments: dict[str, Any] = {
        "worker_id": WORKER,
        "directory_id": DIRECTORY,
        "channels": ["alice"],
        **different,
    }
    return {name for name, found in asdict(queue.outlook(connection, **arguments)).items() if found}


def test_the_outlook_is_what_can_be_taken_and_what_soon_can(connection: Connection) -> None:
    assert outlook(connection) == set()
    for number, name in enumerate(["kept", "published", "failed", "skipped", "held"], 1):
        rows.situation(connection, name, number)
    assert outlook(connection) == set()
    rows.situation(connection, "downloading", 6)
    assert outlook(connection) == {"in_hand"}
    assert outlook(connection, worker_id="worker-2") == set()
    large = rows.insert(connection, 7)
    rows.situation(connection, "downloaded", 8)
    rows.insert(connection, 9, stage="verifying", video_id="V")
    later = clock(connection) + HOUR
    rows.insert(connection, 10, next_try_at=later, waiting_for="backoff", problem="x")
    rest = {"uploads", "checks", "short_waits", "in_hand"}
    assert outlook(connection) == {"downloads", *rest}
    assert outlook(connection, too_large=[large.id]) == {"too_large", *rest}
    assert outlook(connection, channels=["bob"]) == {"short_waits", "in_hand"}


def test_what_is_due_is_to_be_taken_and_no_longer_waited_for(connection: Connection) -> None:
    due = clock(connection) - HOUR
    rows.insert(connection, next_try_at=due, waiting_for="backoff", problem="x")
    found = queue.outlook(connection, worker_id=WORKER, directory_id=DIRECTORY, channels=["alice"])
    assert (found.downloads, found.short_waits) == (True, False)


@pytest.mark.parametrize(
    ("waiting_for", "left"), [(None, True), ("backoff", True), ("cooldown", False)]
)
def test_something_is_left_when_it_can_go_now_or_soon(
    waiting_for: str | None, left: bool, connection: Connection
) -> None:
    until = None if waiting_for is None else clock(connection) + HOUR
    rows.insert(connection, next_try_at=until, waiting_for=waiting_for)
    assert queue.is_any_left(connection, DOWNLOADS, "alice", directory_id=DIRECTORY) is left
    assert not queue.is_any_left(connection, UPLOADS, "alice", directory_id=DIRECTORY)
    assert not queue.is_any_left(connection, DOWNLOADS, "bob", directory_id=DIRECTORY)
