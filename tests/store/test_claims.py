"""A claim on a VOD: kept alive, lost, given back, settled; who has none writes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.store import rows
from tests.store.rows import DIRECTORY, NOW, WORKER
from tests.store.taking import live, take, taken
from vodtender.errors import LeaseLost
from vodtender.model.settlement import Settlement
from vodtender.model.vod import FileRecord, Stage, Standing
from vodtender.store import claims, leases, overview, queue, uploads, workers
from vodtender.store.claims import Claim, Progress
from vodtender.store.database import Connection
from vodtender.store.queue import CHECKS, DOWNLOADS, UPLOADS


def let_expire(connection: Connection, number: int = 1) -> None:
    connection.execute(
        "UPDATE vods SET lease_expires_at = now() - interval '1 second' WHERE twitch_vod_id = %s",
        (str(number),),
    )


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
    settlement = Settlement(Standing(Stage.PUBLISHED, video_id="STALE"))
    attempts: list[Callable[[], object]] = [
        lambda: claims.renew(connection, lost, 60, None),
        lambda: claims.lock(connection, lost),
        lambda: claims.advance(connection, lost, Stage.UPLOADING),
        lambda: claims.settle(connection, lost, vod.stage, settlement),
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
        connection, claim, Stage.DOWNLOADING, Settlement(Standing(Stage.DOWNLOADED), file=file)
    )
    vod = rows.get(connection)
    assert (vod.stage, vod.worker_id, vod.gaps) == (Stage.DOWNLOADED, None, ("gap",))
    assert (vod.file_sha256, vod.file_crc32) == ("00", 77)


def test_a_result_that_comes_from_another_stage_is_not_stored(connection: Connection) -> None:
    rows.insert(connection)
    claim = rows.claim_of(taken(connection))
    with pytest.raises(LeaseLost):
        claims.settle(connection, claim, Stage.UPLOADING, Settlement(Standing(Stage.PUBLISHED)))


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
    claims.settle(connection, again, Stage.DOWNLOADING, Settlement(Standing(Stage.QUEUED)))
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
        Settlement(Standing(Stage.DOWNLOADED), **change),
    )
    assert [upload.part for upload in uploads.of_vod(connection, vod.id)] == left


def test_when_a_video_was_confirmed_is_known_of_that_video_only(connection: Connection) -> None:
    vod = rows.situation(connection, "verifying")
    claims.settle(
        connection,
        rows.claim_of(vod),
        Stage.VERIFYING,
        Settlement(Standing(Stage.PUBLISHED, video_id="VIDEO")),
    )
    assert rows.get(connection).published_at is not None
    connection.execute("UPDATE vods SET stage = 'queued'")
    again = taken(connection)
    claims.settle(
        connection,
        rows.claim_of(again),
        Stage.DOWNLOADING,
        Settlement(Standing(Stage.VERIFYING, video_id="VIDEO")),
    )
    assert rows.get(connection).published_at is not None
    another = taken(connection, CHECKS)
    claims.settle(
        connection,
        rows.claim_of(another),
        Stage.VERIFYING,
        Settlement(Standing(Stage.VERIFYING, video_id="OTHER")),
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
        Settlement(Standing(Stage.QUEUED), forget_file=True),
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
