"""Each VOD is in one worker's hands at a time, and whoever has lost it writes nothing more."""

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
from vodtender.errors import LeaseLost
from vodtender.model.change import Change
from vodtender.model.vod import FileRecord, Stage, Standing, Vod
from vodtender.store import claims, leases, overview, queue, uploads, workers
from vodtender.store.claims import Claim, Progress
from vodtender.store.database import Connection, Database, clock
from vodtender.store.queue import CHECKS, DOWNLOADS, UPLOADS

HOUR = timedelta(hours=1)


def take(
    connection: Connection, stages: Sequence[Stage] = DOWNLOADS, **different: Any
) -> Vod | None:
    arguments: dict[str, Any] = {
        "worker_id": WORKER,
        "directory_id": DIRECTORY,
        "lease_seconds": 60,
        "channels": ["alice", "bob"],
        **different,
    }
    return queue.take(connection, stages, **arguments)


def taken(connection: Connection, stages: Sequence[Stage] = DOWNLOADS, **different: Any) -> Vod:
    vod = take(connection, stages, **different)
    assert vod is not None
    return vod


def numbers_taken(connection: Connection, stages: Sequence[Stage] = DOWNLOADS) -> list[str]:
    """All that there is to take, in the order in which it is taken."""
    found = []
    while (vod := take(connection, stages)) is not None:
        found.append(vod.twitch_vod_id)
    return found


def live(connection: Connection, worker_id: str, directory_id: str) -> None:
    workers.register(
        connection,
        worker_id=worker_id,
        host="host",
        pid=1,
        version="1",
        directory_id=directory_id,
        directory="/data",
        channels=["alice"],
    )


def let_expire(connection: Connection, number: int = 1) -> None:
    connection.execute(
        "UPDATE vods SET lease_expires_at = now() - interval '1 second' WHERE twitch_vod_id = %s",
        (str(number),),
    )


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


# --- losing it --------------------------------------------------------------------------


def test_a_lease_that_has_run_out_by_the_databases_clock_frees_the_vod(
    connection: Connection,
) -> None:
    rows.insert(connection)
    claim = rows.claim_of(taken(connection))
    queue.wake(connection)
    assert rows.get(connection).stage is Stage.DOWNLOADING
    let_expire(connection)
    assert take(connection) is None
    queue.wake(connection)
    vod = taken(connection, worker_id="worker-2")
    assert (vod.stage, vod.claim) == (Stage.DOWNLOADING, claim.number + 2)


@pytest.mark.parametrize("name", ["downloading", "uploading", "verifying"])
def test_whoever_has_lost_it_can_write_nothing_more_even_if_it_takes_it_again(
    name: str, connection: Connection
) -> None:
    vod = rows.situation(connection, name)
    lost = rows.claim_of(vod)
    let_expire(connection)
    queue.wake(connection)
    stages = {"downloading": DOWNLOADS, "uploading": UPLOADS, "verifying": CHECKS}[name]
    again = taken(connection, stages)
    assert again.worker_id == lost.worker_id
    before = rows.raw(connection)
    change = Change(Standing(Stage.PUBLISHED, video_id="STALE"))
    attempts: list[Callable[[], object]] = [
        lambda: claims.renew(connection, lost, 60, None),
        lambda: claims.lock(connection, lost),
        lambda: claims.advance(connection, lost, Stage.UPLOADING),
        lambda: claims.settle(connection, lost, vod.stage, change),
    ]
    for attempt in attempts:
        with pytest.raises(LeaseLost):
            attempt()
    assert rows.raw(connection) == before
    claims.renew(connection, rows.claim_of(again), 60, None)


def test_another_worker_with_the_same_number_is_somebody_else(connection: Connection) -> None:
    rows.insert(connection)
    vod = taken(connection)
    with pytest.raises(LeaseLost):
        claims.renew(connection, Claim(vod.id, "worker-2", vod.claim), 60, None)


def test_what_is_late_but_nobody_elses_yet_may_still_be_stored(connection: Connection) -> None:
    rows.insert(connection)
    claim = rows.claim_of(taken(connection))
    let_expire(connection)
    file = FileRecord("/data/a_1.mp4", DIRECTORY, 10, "00", 77, 1.5, 2, ("gap",))
    claims.settle(
        connection, claim, Stage.DOWNLOADING, Change(Standing(Stage.DOWNLOADED), file=file)
    )
    vod = rows.get(connection)
    assert (vod.stage, vod.worker_id, vod.gaps) == (Stage.DOWNLOADED, None, ("gap",))
    assert (vod.file_sha256, vod.file_crc32) == ("00", 77)


def test_a_result_that_comes_from_another_stage_is_not_stored(connection: Connection) -> None:
    rows.insert(connection)
    claim = rows.claim_of(taken(connection))
    with pytest.raises(LeaseLost):
        claims.settle(connection, claim, Stage.UPLOADING, Change(Standing(Stage.PUBLISHED)))


def test_a_worker_that_leaves_gives_back_what_it_has_and_nothing_else(
    connection: Connection,
) -> None:
    rows.situation(connection, "downloading", 1)
    rows.situation(connection, "uploading", 2)
    rows.situation(connection, "verifying", 3)
    rows.insert(connection, 4)
    taken(connection, worker_id="worker-2")
    assert claims.release_all(connection, WORKER) == 3
    stages = [rows.get(connection, number).stage for number in (1, 2, 3, 4)]
    assert stages == ["queued", "uploading", "verifying", "downloading"]
    assert rows.get(connection, 4).worker_id == "worker-2"
    assert claims.release_all(connection, WORKER) == 0


def test_giving_back_does_not_wait_for_whoever_edits(
    connection: Connection, another: Callable[[], Connection]
) -> None:
    rows.situation(connection, "downloading", 1)
    rows.situation(connection, "uploading", 2)
    operator = another()
    with operator.transaction():
        operator.execute("UPDATE vods SET processing_error = 'x' WHERE twitch_vod_id = '1'")
        assert claims.release_all(connection, WORKER) == 1
    assert {rows.get(connection, n).worker_id for n in (1, 2)} == {None}


@pytest.mark.parametrize("name", ["downloading", "uploading", "verifying"])
def test_what_was_to_be_cancelled_is_though_its_worker_died(
    name: str, connection: Connection
) -> None:
    rows.situation(connection, name)
    connection.execute("UPDATE vods SET cancel_reason = 'not wanted'")
    let_expire(connection)
    queue.wake(connection)
    row = rows.raw(connection)
    assert (row["stage"], row["processing_error"]) == ("skipped", "not wanted")
    assert row["cancel_reason"] is None
    rows.assert_shown_as_promised(row)


def test_a_cancel_reaches_the_worker_with_its_next_heartbeat(connection: Connection) -> None:
    rows.insert(connection)
    claim = rows.claim_of(taken(connection))
    assert claims.renew(connection, claim, 60, None) is None
    connection.execute("UPDATE vods SET cancel_reason = 'not wanted'")
    assert claims.renew(connection, claim, 60, None) == "not wanted"
    assert claims.lock(connection, claim) == "not wanted"


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


# --- settling ---------------------------------------------------------------------------


def test_progress_is_shown_for_the_claim_that_is_and_goes_with_it(connection: Connection) -> None:
    rows.insert(connection)
    claim = rows.claim_of(taken(connection))
    claims.renew(connection, claim, 60, Progress("download", "segments", 10, 100, 5.0))
    claims.renew(connection, claim, 60, Progress("download", "segments", 20, 100, 5.0))
    (moving,) = overview.transfers(connection)
    assert (moving.bytes_done, moving.bytes_total, moving.worker_id) == (20, 100, WORKER)
    let_expire(connection)
    queue.wake(connection)
    assert not overview.transfers(connection)
    again = rows.claim_of(taken(connection))
    assert not overview.transfers(connection), "what the other claim reported is over"
    claims.renew(connection, again, 60, Progress("download", "segments", 1, 100, None))
    assert overview.transfers(connection)[0].started_at > moving.started_at
    claims.settle(connection, again, Stage.DOWNLOADING, Change(Standing(Stage.QUEUED)))
    assert not overview.transfers(connection)
    assert connection.execute("SELECT FROM transfers").rowcount == 0


def upload_of(vod_id: int, part: int, video_id: str | None) -> uploads.Upload:
    return uploads.Upload(
        vod_id, part, 3, "default", "project", "m", "sealed", 10, None, 5, NOW, video_id
    )


@pytest.mark.parametrize(
    ("change", "left"),
    [
        ({}, [1, 2, 3]),
        ({"forget_session": True}, [1, 2]),
        ({"forget_videos": ("V2",)}, [1, 3]),
        ({"forget_session": True, "forget_videos": ("V1", "V2")}, []),
    ],
)
def test_only_that_part_of_an_upload_is_forgotten_that_is_of_no_use(
    change: dict[str, Any], left: list[int], connection: Connection
) -> None:
    vod = rows.situation(connection, "uploading")
    for part, video_id in ((1, "V1"), (2, "V2"), (3, None)):
        uploads.put(connection, upload_of(vod.id, part, video_id))
    claims.settle(
        connection,
        rows.claim_of(vod),
        Stage.UPLOADING,
        Change(Standing(Stage.DOWNLOADED), **change),
    )
    assert [upload.part for upload in uploads.of_vod(connection, vod.id)] == left


def test_when_a_video_was_confirmed_is_known_of_that_video_only(connection: Connection) -> None:
    vod = rows.situation(connection, "verifying")
    claims.settle(
        connection,
        rows.claim_of(vod),
        Stage.VERIFYING,
        Change(Standing(Stage.PUBLISHED, video_id="VIDEO")),
    )
    assert rows.get(connection).published_at is not None
    connection.execute("UPDATE vods SET stage = 'queued'")
    again = taken(connection)
    claims.settle(
        connection,
        rows.claim_of(again),
        Stage.DOWNLOADING,
        Change(Standing(Stage.VERIFYING, video_id="VIDEO")),
    )
    assert rows.get(connection).published_at is not None
    another = taken(connection, CHECKS)
    claims.settle(
        connection,
        rows.claim_of(another),
        Stage.VERIFYING,
        Change(Standing(Stage.VERIFYING, video_id="OTHER")),
    )
    assert rows.get(connection).published_at is None


def test_a_file_that_is_gone_is_forgotten_where_it_lay_and_not_what_it_was(
    connection: Connection,
) -> None:
    vod = rows.situation(connection, "uploading")
    claims.settle(
        connection,
        rows.claim_of(vod),
        Stage.UPLOADING,
        Change(Standing(Stage.QUEUED), forget_file=True),
    )
    after = rows.get(connection)
    assert (after.downloaded_path, after.directory_id) == (None, None)
    assert (after.file_sha256, after.file_crc32) == (vod.file_sha256, vod.file_crc32)


def test_a_file_that_an_older_program_records_does_not_get_the_crc32_of_the_one_before(
    connection: Connection,
) -> None:
    vod = rows.situation(connection, "published")
    assert vod.file_crc32 is not None
    connection.execute("UPDATE vods SET file_sha256 = '00ff', file_size_bytes = 1")
    assert rows.get(connection).file_crc32 == vod.file_crc32
    connection.execute("UPDATE vods SET file_sha256 = 'ff00', file_size_bytes = 2")
    assert rows.get(connection).file_crc32 is None


# --- what it costs ----------------------------------------------------------------------


def test_no_heartbeat_touches_an_index(connection: Connection) -> None:
    """They come every few seconds for as long as anything moves."""
    vod = rows.situation(connection, "downloading")
    claim = rows.claim_of(vod)
    live(connection, WORKER, DIRECTORY)
    number = leases.take(connection, "prune", WORKER, 60)
    assert number is not None
    claims.renew(connection, claim, 60, Progress("download", "segments", 0, 100, None))
    connection.execute("SELECT pg_stat_force_next_flush()")  # or these would be counted too
    with connection.transaction():
        claims.renew(connection, claim, 60, Progress("download", "segments", 9, 100, 1.0))
        workers.heartbeat(
            connection, WORKER, disk_free_bytes=1, disk_total_bytes=2, downloads_paused=None
        )
        leases.renew(connection, "prune", WORKER, number, 60)
        for table in ("vods", "transfers", "workers", "leases"):
            row = connection.execute(
                """
                SELECT pg_stat_get_xact_tuples_updated(%(table)s::regclass) AS updated,
                    pg_stat_get_xact_tuples_hot_updated(%(table)s::regclass) AS hot
                """,
                {"table": table},
            ).fetchone()
            assert row is not None
            assert row["updated"] == row["hot"] > 0, table
