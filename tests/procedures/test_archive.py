"""The archive: a file goes only when its copy is proven and the database knows where it lies."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.cold import DAY, MIB, NOW, Cold, sha256
from tests.s3 import S3, Fault
from tests.soak.relay import Badness, Relay
from vodtender.errors import (
    AuthExpired,
    Locked,
    NotFound,
    Refused,
    Rejected,
    SettingsError,
    Transient,
    VodtenderError,
)
from vodtender.model.s3_location import S3Location
from vodtender.model.vod import Stage
from vodtender.pipeline import prune
from vodtender.pipeline.archive_directory import MARKER
from vodtender.pipeline.archive_shelf import LostCopyError
from vodtender.procedures import archive as procedure
from vodtender.procedures import archive_copies as copies
from vodtender.procedures.archive import Run

GLACIER = "GLACIER"


@pytest.fixture(params=["in_s3", "in_directory"])
def cold(request: pytest.FixtureRequest) -> Cold:
    found: Cold = request.getfixturevalue(request.param)
    return found


def archived_bytes(cold: Cold, vod_id: str) -> bytes:
    copy = cold.copy(vod_id)
    assert copy is not None
    if not copy.place.startswith("s3://"):
        return Path(copy.place).read_bytes()
    from vodtender.clients.s3 import open_store

    store, at = open_store(cold.settings), S3Location.parse(copy.place)
    store.ask_for(at, tier="Standard", days=1)
    return store.get(at)


def fetch(cold: Cold, vod_id: str, **more: Any) -> copies.Fetched:
    known: dict[str, Any] = {"tier": None, "wait": False, "dry_run": False, "actor": "op@host"}
    return copies.fetch(cold.database, cold.settings, vod_id, **(known | more))


def verify(cold: Cold, *vod_ids: str, read: bool = False) -> dict[str, str | None]:
    found = copies.verify(
        cold.database, cold.settings, vod_ids, limit=None, read=read, actor="op@host"
    )
    return {copy.vod_id: copy.problem for copy in found}


# --- moving -----------------------------------------------------------------------------


def test_a_file_goes_when_its_copy_is_proven_and_all_of_that_is_noted(cold: Cold) -> None:
    path = cold.add("1")
    cold.add("2", created_at=NOW - 6 * DAY)
    cold.add("3", Stage.DOWNLOADED)
    assert cold.fates() == {"1": "moved", "2": "stays", "3": "stays"}
    assert not path.exists()
    assert archived_bytes(cold, "1") == cold.contents["1"]
    copy, vod = cold.copy("1"), cold.vod("1")
    assert copy is not None
    assert copy.is_copy_of(vod)
    assert (vod.downloaded_path, vod.directory_id, vod.stage) == (None, None, Stage.PUBLISHED)
    assert vod.file_removed_at is not None
    assert vod.worker_id is None
    assert cold.audit() == [("archive", "1"), ("prune", "1")]
    (before, after, reason), _ = cold.query("SELECT before, after, reason FROM audit ORDER BY id")
    assert (before["file"], after["archived_to"], reason) == (str(path), copy.place, "why not")


def test_the_object_has_its_class_and_says_whose_it_is(in_s3: Cold, s3: S3) -> None:
    in_s3.add("1")
    in_s3.run()
    assert s3.keys() == ["vods/title_1.mp4"]
    found = s3.store.head(s3.at("vods/title_1.mp4"))
    assert found is not None
    assert found.storage_class == GLACIER
    assert (found.metadata["vod-id"], found.metadata["sha256"]) == (
        "1",
        in_s3.vod("1").file_sha256,
    )


def test_any_name_of_a_class_goes_to_the_store(in_s3: Cold, s3: S3) -> None:
    in_s3.settings = replace(in_s3.settings, archive_storage_class="COLDLINE")
    in_s3.add("1")
    s3.faults(Fault(operation="Create", code="InvalidStorageClass", status=400))
    done = in_s3.run()
    assert isinstance(done.failure, Rejected)
    assert "storage class" in done.failure.hint
    assert in_s3.path("1").exists()


def test_the_second_time_there_is_nothing_to_do(in_directory: Cold) -> None:
    in_directory.add("1")
    in_directory.run()
    assert in_directory.fates() == {}
    assert len(in_directory.audit()) == 2


def test_a_plan_changes_nothing(cold: Cold) -> None:
    path = cold.add("1", date=NOW - 20 * DAY)
    cold.add("2", Stage.DOWNLOADED)
    planned = procedure.plan(cold.database, cold.settings, include_waiting=True, limit=1)
    assert [file.vod_id for file in planned.going] == ["1"]
    planned = procedure.plan(cold.database, cold.settings, include_waiting=True, limit=None)
    assert [file.vod_id for file in planned.going] == ["1", "2"]
    assert path.exists()
    assert cold.audit() == []
    assert any("fetched back" in line for line in planned.costs) == (
        planned.storage_class == GLACIER
    )


def test_a_limit_takes_the_oldest_streams_first(in_directory: Cold) -> None:
    in_directory.add("1", date=NOW - 20 * DAY)
    in_directory.add("2", date=NOW - 30 * DAY)
    assert in_directory.fates(limit=1) == {"2": "moved"}
    assert in_directory.fates(limit=1) == {"1": "moved"}


def test_waiting_ones_go_when_that_is_wanted_and_stay_ready_for_their_upload(
    in_directory: Cold,
) -> None:
    in_directory.add("1", Stage.DOWNLOADED)
    in_directory.add("2", Stage.UPLOADING)
    assert in_directory.fates(include_waiting=True) == {"1": "moved", "2": "stays"}
    vod = in_directory.vod("1")
    assert (vod.stage, vod.processed, vod.download_state) == (Stage.DOWNLOADED, True, "complete")
    assert vod.downloaded_path is None


def test_an_operator_who_clears_an_error_does_not_have_an_archived_vod_fetched_from_twitch(
    in_directory: Cold,
) -> None:
    in_directory.add("1", Stage.FAILED)
    in_directory.run(include_waiting=True)
    with in_directory.database.transaction() as connection:
        connection.execute("UPDATE vods SET processing_error = 'x' WHERE twitch_vod_id = '1'")
        connection.execute("UPDATE vods SET processing_error = NULL WHERE twitch_vod_id = '1'")
    assert in_directory.vod("1").stage is Stage.DOWNLOADED
    with in_directory.database.transaction() as connection:
        connection.execute("UPDATE archived_files SET problem = 'lost'")
        connection.execute("UPDATE vods SET processing_error = 'x' WHERE twitch_vod_id = '1'")
        connection.execute("UPDATE vods SET processing_error = NULL WHERE twitch_vod_id = '1'")
    assert in_directory.vod("1").stage is Stage.QUEUED


def test_a_name_that_something_else_has_is_not_overwritten(cold: Cold, tmp_path: Path) -> None:
    cold.add("1")
    cold.run()
    first = cold.contents["1"]
    with cold.database.transaction() as connection:
        connection.execute("DELETE FROM vods")
    cold.contents["1"] = Random("again").randbytes(1000)
    cold.add("1", size=1001)
    cold.run()
    copy = cold.copy("1")
    assert copy is not None
    assert copy.sha256[:12] in copy.place
    assert archived_bytes(cold, "1") == cold.contents["1"] != first


def test_what_is_there_already_is_not_sent_again(in_s3: Cold, s3: S3) -> None:
    """As after a death between the last part and the database, and after a fetch."""
    in_s3.add("1")
    in_s3.run()
    fetched = fetch(in_s3, "1")
    assert fetched.path == in_s3.path("1")
    s3.faults()
    in_s3.settings = replace(in_s3.settings, archive_age_days=0)
    assert in_s3.fates() == {"1": "moved"}
    assert "UploadPart" not in s3.seen()
    with in_s3.database.transaction() as connection:
        connection.execute("DELETE FROM archived_files")
        connection.execute("DELETE FROM vods")
    in_s3.add("1")
    s3.faults()
    assert in_s3.fates() == {"1": "moved"}
    assert "UploadPart" not in s3.seen()


def test_what_was_fetched_back_stays_a_while(in_directory: Cold) -> None:
    in_directory.add("1")
    in_directory.run()
    assert fetch(in_directory, "1").path == in_directory.path("1")
    assert in_directory.fates() == {"1": "stays"}


# --- together with others -----------------------------------------------------------------


def test_two_runs_at_once_move_each_file_once(in_directory: Cold) -> None:
    for number in range(1, 9):
        in_directory.add(str(number))
    outcomes: list[Run] = []
    together = threading.Barrier(2)

    def go() -> None:
        together.wait(10)
        outcomes.append(in_directory.run())

    threads = [threading.Thread(target=go) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    moved = [file.vod_id for run in outcomes for file in run.files if file.fate == "moved"]
    assert sorted(moved) == [str(number) for number in range(1, 9)]
    assert not any(run.failed or run.failure for run in outcomes)
    assert len([line for line in in_directory.audit() if line[0] == "archive"]) == 8


def test_pruning_leaves_alone_what_is_being_moved(in_s3: Cold, s3: S3) -> None:
    path = in_s3.add("1", date=NOW - 100 * DAY)
    verdicts: list[str] = []

    def prune_now(*_: object) -> None:
        if not verdicts:
            (one,) = prune.prune(
                in_s3.database,
                in_s3.directory,
                prune.by_settings(replace(in_s3.settings, archive_s3_url=None)),
                actor="d",
                dry_run=False,
            )
            verdicts.append(one.why)
            assert path.exists()

    in_s3.run(tell=prune_now)
    assert verdicts == ["it is being worked on"]
    assert not path.exists()


def test_who_edits_the_vod_meanwhile_keeps_the_file_here(in_s3: Cold) -> None:
    path = in_s3.add("1")

    def edit(*_: object) -> None:
        with in_s3.database.transaction() as connection:
            connection.execute(
                "UPDATE vods SET download_state = 'pending' WHERE twitch_vod_id = '1'"
                " AND download_state <> 'pending'"
            )

    done = in_s3.run(tell=edit)
    assert [(file.fate, file.why) for file in done.files] == [
        ("stays", "somebody has changed the VOD meanwhile")
    ]
    assert path.exists()
    assert in_s3.copy("1") is None


def test_a_worker_that_has_it_in_hand_is_waited_for_another_day(in_directory: Cold) -> None:
    path = in_directory.add("1", worker_id="w", lease_expires_at=NOW + DAY)
    assert in_directory.fates() == {"1": "stays"}
    assert path.exists()
    assert (
        procedure.plan(
            in_directory.database, in_directory.settings, include_waiting=False, limit=None
        ).going
        == []
    )


def test_what_a_killed_run_had_in_hand_is_planned_and_moved_at_once(in_directory: Cold) -> None:
    killed = "host-1-archive-abc"
    os.close(in_directory.directory.register(killed))
    path = in_directory.add("1", worker_id=killed, lease_expires_at=NOW + DAY)
    planned = procedure.plan(
        in_directory.database, in_directory.settings, include_waiting=False, limit=None
    )
    assert [file.vod_id for file in planned.going] == ["1"]
    assert in_directory.vod("1").worker_id == killed  # a plan changes nothing
    assert in_directory.fates() == {"1": "moved"}
    assert not path.exists()


def test_autoclean_leaves_files_to_the_archive_until_their_time_is_over(in_directory: Cold) -> None:
    """A week on this disk, then the archive; what it has not taken goes after thirty days."""
    in_directory.add("1", created_at=NOW - 20 * DAY)
    in_directory.add("2", created_at=NOW - 31 * DAY)
    in_directory.add("3", Stage.DOWNLOADED, created_at=NOW - 90 * DAY)
    assert pruned(in_directory) == {"1": "stays", "2": "removed", "3": "stays"}
    assert in_directory.fates() == {"1": "moved", "3": "stays"}
    fetch(in_directory, "1")
    assert pruned(in_directory) == {"1": "stays", "3": "stays"}
    with in_directory.database.transaction() as connection:
        connection.execute("UPDATE vods SET downloaded_at = now() - interval '8 days'")
    assert pruned(in_directory) == {"1": "removed", "3": "stays"}


def test_an_archived_file_that_is_deleted_by_hand_is_not_fetched_from_twitch(
    in_directory: Cold,
) -> None:
    in_directory.add("1", Stage.DOWNLOADED)
    in_directory.run(include_waiting=True)
    found = fetch(in_directory, "1")
    assert found.path is not None
    found.path.unlink()
    assert pruned(in_directory) == {"1": "gone"}
    vod = in_directory.vod("1")
    assert (vod.stage, vod.downloaded_path) == (Stage.DOWNLOADED, None)


def pruned(cold: Cold) -> dict[str, str]:
    found = prune.prune(
        cold.database,
        cold.directory,
        prune.by_settings(cold.settings),
        actor="daemon",
        dry_run=False,
    )
    return {one.vod_id: one.fate.value for one in found}


# --- what goes wrong ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(operation="UploadPart", code="SlowDown", status=503), Transient),
        (Fault(operation="UploadPart", flip=True), Transient),
        (Fault(operation="Complete", loses=True), Transient),
        (Fault(operation="Create", code="InvalidAccessKeyId", status=403), AuthExpired),
        (Fault(operation="HeadObject", code="AccessDenied", status=403), AuthExpired),
        (Fault(operation="Create", code="NoSuchBucket", status=404), NotFound),
    ],
)
def test_without_a_proven_copy_the_file_stays(
    in_s3: Cold, s3: S3, monkeypatch: pytest.MonkeyPatch, fault: Fault, kind: type[VodtenderError]
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    path = in_s3.add("1")
    s3.faults(fault)
    done = in_s3.run()
    assert len(done.failed) == 1
    if kind is Transient:
        assert done.failure is None
    else:
        assert isinstance(done.failure, kind)
    assert sha256(path) == in_s3.vod("1").file_sha256
    assert in_s3.copy("1") is None
    assert in_s3.audit() == []
    assert in_s3.vod("1").worker_id is None
    s3.faults()
    assert in_s3.fates() == {"1": "moved"}


def test_an_upload_that_was_cut_off_goes_on_where_it_was(
    in_s3: Cold, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(procedure, "_PARTS_IN_MEMORY", 1)
    in_s3.add("1", size=17 * MIB)
    s3.faults(Fault(operation="UploadPart", code="SlowDown", status=503, skip=2))
    assert in_s3.fates() == {"1": "failed"}
    s3.faults()
    assert in_s3.fates() == {"1": "moved"}
    assert s3.seen().count("UploadPart") == 1
    assert archived_bytes(in_s3, "1") == in_s3.contents["1"]


def test_what_was_begun_and_is_not_gone_on_with_is_swept_away(in_s3: Cold, s3: S3) -> None:
    def begun() -> list[str]:
        found = s3.store.client.list_multipart_uploads(Bucket=s3.bucket)
        return sorted(one["Key"] for one in found.get("Uploads", []))

    in_s3.add("1")
    in_s3.add("2", Stage.UPLOADING)
    for name in ("title_1.mp4", "title_1.mp4", "title_2.mp4", "title_3.mp4", "other"):
        s3.store.client.create_multipart_upload(Bucket=s3.bucket, Key=f"vods/{name}")
    assert in_s3.fates() == {"1": "moved", "2": "stays"}
    assert begun() == ["vods/other", "vods/title_2.mp4"]


def test_connections_that_are_cut_in_the_middle_of_parts(in_s3: Cold, s3: S3) -> None:
    where = urlsplit(s3.endpoint)
    relay = Relay(
        lambda: socket.create_connection((where.hostname or "", where.port or 0)),
        Badness(cut=0.002),
        Random(4),
    )
    path = in_s3.add("1", size=17 * MIB)
    in_s3.settings = replace(in_s3.settings, aws_endpoint_url=f"http://127.0.0.1:{relay.port}")
    try:
        for _ in range(20):
            assert path.exists()
            if in_s3.fates() == {"1": "moved"}:
                break
        assert relay.cuts
    finally:
        relay.close()
    in_s3.settings = replace(in_s3.settings, aws_endpoint_url=s3.endpoint)
    assert archived_bytes(in_s3, "1") == in_s3.contents["1"]


def test_what_concerns_one_file_does_not_keep_the_others(in_directory: Cold) -> None:
    path = in_directory.add("1")
    in_directory.add("2")
    path.write_bytes(b"x" * 1000)
    done = in_directory.run()
    assert {file.vod_id: file.fate for file in done.files} == {"1": "failed", "2": "moved"}
    assert done.failure is None
    assert "not what it was" in done.failed[0].why
    assert path.read_bytes() == b"x" * 1000
    assert in_directory.copy("1") is None


@pytest.mark.parametrize("recorded", [{}, {"file_crc32": None}], ids=["crc32", "sha256"])
def test_a_file_in_which_one_bit_has_flipped_stays(
    in_s3: Cold, s3: S3, recorded: dict[str, Any]
) -> None:
    path = in_s3.add("1", size=8 * MIB + 1, **recorded)
    rotten = bytearray(in_s3.contents["1"])
    rotten[5 * MIB] ^= 4
    path.write_bytes(rotten)
    done = in_s3.run()
    assert [file.fate for file in done.files] == ["failed"]
    assert "not what it was" in done.failed[0].why
    assert path.read_bytes() == rotten
    assert in_s3.copy("1") is None
    assert s3.keys() == []
    path.write_bytes(in_s3.contents["1"])
    assert in_s3.fates() == {"1": "moved"}
    assert archived_bytes(in_s3, "1") == in_s3.contents["1"]


def test_a_file_that_changes_while_it_is_archived_stays(cold: Cold) -> None:
    path = cold.add("1")

    def change(_phase: str, _done: int, _total: int) -> None:
        path.write_bytes(b"y" * 1000)

    done = cold.run(tell=change)
    assert [file.fate for file in done.files] in (["stays"], ["failed"])
    assert path.read_bytes() == b"y" * 1000
    assert cold.vod("1").downloaded_path == str(path)


def test_a_file_of_another_size_or_a_link_stays(in_directory: Cold, tmp_path: Path) -> None:
    in_directory.add("1").write_bytes(b"longer" * 1000)
    link = in_directory.add("2")
    link.rename(tmp_path / "elsewhere")
    link.symlink_to(tmp_path / "elsewhere")
    assert in_directory.fates() == {"1": "stays", "2": "stays"}


def test_after_no_access_no_other_file_is_tried(in_s3: Cold, s3: S3) -> None:
    for number in range(1, 6):
        in_s3.add(str(number))
    in_s3.settings = replace(in_s3.settings, archive_concurrency=1)
    s3.faults(Fault(operation="Create", code="InvalidAccessKeyId", status=403))
    done = in_s3.run()
    assert isinstance(done.failure, AuthExpired)
    assert len(done.failed) == 1
    assert s3.seen().count("Create") == 1


def test_a_store_that_stays_away_is_not_tried_for_every_file(
    in_s3: Cold, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    for number in range(1, 9):
        in_s3.add(str(number))
    in_s3.settings = replace(in_s3.settings, archive_concurrency=1)
    s3.faults(Fault(operation="Create", code="SlowDown", status=503))
    done = in_s3.run()
    assert isinstance(done.failure, Transient)
    assert len(done.failed) == 3


def test_no_archive_is_said(in_directory: Cold) -> None:
    settings = replace(in_directory.settings, archive_s3_url=None, archive_dir=None)
    with pytest.raises(SettingsError) as caught:
        procedure.plan(in_directory.database, settings, include_waiting=False, limit=None)
    assert caught.value.code == "no_archive"


# --- a directory and its disk ---------------------------------------------------------------


def test_a_directory_on_the_same_disk_is_not_taken_for_an_archive(
    in_directory: Cold, shelf: Path
) -> None:
    """That is how a disk looks that is not mounted."""
    path = in_directory.add("1")
    (shelf / MARKER).unlink()
    with pytest.raises(Refused) as caught:
        in_directory.run()
    assert caught.value.code == "archive_not_mounted"
    assert f"touch {shelf / MARKER}" in caught.value.hint
    assert path.exists()
    assert list(shelf.iterdir()) == []


def test_an_archive_whose_disk_was_taken_away_is_refused_and_nothing_counts_as_lost(
    in_directory: Cold, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_directory.add("1")
    in_directory.add("2", created_at=NOW - DAY)
    in_directory.run()
    away = shelf.rename(shelf.with_name("unmounted"))
    for is_there in (False, True):
        if is_there:
            shelf.mkdir()
        with pytest.raises((Refused, SettingsError)):
            in_directory.run()
        with pytest.raises(Refused):
            verify(in_directory)
        with pytest.raises(Refused):
            fetch(in_directory, "1")
    copy = in_directory.copy("1")
    assert copy is not None
    assert copy.problem is None
    shelf.rmdir()
    away.rename(shelf)
    assert verify(in_directory) == {"1": None}


def test_a_copy_to_a_directory_goes_on_where_it_was_and_is_proven_whole(
    in_directory: Cold, shelf: Path
) -> None:
    in_directory.add("1", size=3 * MIB)
    half = in_directory.contents["1"][: MIB + 5]
    (shelf / ".tmp-title_1.mp4").write_bytes(half)
    assert in_directory.fates() == {"1": "moved"}
    assert archived_bytes(in_directory, "1") == in_directory.contents["1"]
    in_directory.add("2", size=3 * MIB)
    (shelf / ".tmp-title_2.mp4").write_bytes(b"garbage" * 1000)
    assert in_directory.fates() == {"2": "failed"}
    assert in_directory.path("2").exists()
    assert in_directory.fates() == {"2": "moved"}
    assert archived_bytes(in_directory, "2") == in_directory.contents["2"]
    assert {path.name for path in shelf.iterdir()} == {MARKER, "title_1.mp4", "title_2.mp4"}


def test_a_full_archive_ends_the_run(
    in_directory: Cold, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = in_directory.add("1", size=1 << 20)
    in_directory.query("SELECT 1")
    with in_directory.database.transaction() as connection:
        connection.execute("UPDATE vods SET file_size_bytes = %s", (1 << 20,))
    from vodtender.pipeline.archive_directory import ArchiveDirectory

    def full(_self: object, _size: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ArchiveDirectory, "_need_room", full)
    done = in_directory.run()
    assert done.failure is not None
    assert done.failure.code == "archive_full"
    assert path.exists()


# --- having it back -------------------------------------------------------------------------


def test_a_file_comes_back_as_it_was(cold: Cold) -> None:
    path = cold.add("1")
    cold.run()
    found = fetch(cold, "1")
    assert found.path == path
    assert path.read_bytes() == cold.contents["1"]
    vod = cold.vod("1")
    assert (vod.downloaded_path, vod.directory_id) == (str(path), cold.directory.id)
    assert vod.worker_id is None
    assert cold.copy("1") is not None
    assert cold.audit()[-1] == ("archive fetch", "1")
    assert fetch(cold, "1").was_here
    assert not list(cold.directory.works())


def test_what_is_nowhere_or_in_hand_cannot_be_had(in_directory: Cold) -> None:
    in_directory.add("1")
    for vod_id in ("1", "2"):
        with pytest.raises(NotFound):
            fetch(in_directory, vod_id)
    in_directory.run()
    with in_directory.database.transaction() as connection:
        connection.execute(
            "UPDATE vods SET worker_id = 'w', lease_expires_at = now() + interval '1 day'"
        )
    with pytest.raises(Locked):
        fetch(in_directory, "1")


def test_a_disk_that_is_full_is_said_and_nothing_is_left(
    cold: Cold, monkeypatch: pytest.MonkeyPatch
) -> None:
    cold.add("1")
    cold.run()
    settings, cold.settings = cold.settings, replace(cold.settings, disk_reserve=1 << 60)
    with pytest.raises(VodtenderError) as caught:
        fetch(cold, "1")
    assert caught.value.code == "disk_full"
    cold.settings = settings

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "utime", full)
        with pytest.raises(VodtenderError) as caught:
            fetch(cold, "1")
    assert caught.value.code == "disk_full"
    assert not cold.path("1").exists()
    assert not list(cold.directory.root.rglob("*.tmp"))
    assert cold.vod("1").downloaded_path is None


def test_a_lost_copy_is_noted_when_it_is_wanted(cold: Cold, s3: S3) -> None:
    cold.add("1")
    cold.run()
    copy = cold.copy("1")
    assert copy is not None
    lose(copy.place, s3)
    with pytest.raises(LostCopyError):
        fetch(cold, "1")
    copy = cold.copy("1")
    assert copy is not None
    assert copy.problem is not None


def lose(place: str, s3: S3) -> None:
    if place.startswith("s3://"):
        s3.store.delete(S3Location.parse(place))
    else:
        Path(place).unlink()


# --- is it still there? ---------------------------------------------------------------------


def test_a_copy_that_has_vanished_or_was_changed_is_found_and_one_that_is_back_is_good_again(
    cold: Cold, s3: S3
) -> None:
    for number in ("1", "2", "3"):
        cold.add(number)
    cold.run()
    assert verify(cold) == {"1": None, "2": None, "3": None}
    places = {number: cold.copy(number).place for number in ("1", "2", "3")}  # type: ignore[union-attr]
    lose(places["1"], s3)
    spoil(places["2"], s3)
    found = verify(cold)
    assert found["1"] == "it is not there any more"
    assert "checksum is another" in (found["2"] or "")
    assert found["3"] is None
    assert sorted(line for line in cold.audit() if line[0] == "archive verify") == [
        ("archive verify", "1"),
        ("archive verify", "2"),
    ]
    assert verify(cold, "3") == {"3": None}
    with pytest.raises(NotFound):
        verify(cold, "9")
    states = {one.copy.vod_id: one.state for one in copies.listed(cold.database)}
    assert states == {"1": "lost", "2": "lost", "3": "archived"}


def spoil(place: str, s3: S3) -> None:
    if place.startswith("s3://"):
        s3.store.client.put_object(
            Bucket=S3Location.parse(place).bucket,
            Key=S3Location.parse(place).key,
            Body=b"z" * 1000,
            ChecksumAlgorithm="CRC32",
        )
    else:
        Path(place).write_bytes(b"z" * 1000)


def test_reading_to_the_end_is_possible_where_the_class_allows_it(in_s3: Cold, s3: S3) -> None:
    in_s3.settings = replace(in_s3.settings, archive_storage_class="GLACIER_IR")
    in_s3.add("1")
    in_s3.run()
    s3.faults()
    assert verify(in_s3, read=True) == {"1": None}
    assert "GetObject" in s3.seen()


def test_those_looked_at_longest_ago_come_first(in_directory: Cold) -> None:
    for number in ("1", "2"):
        in_directory.add(number)
    in_directory.run()
    with in_directory.database.transaction() as connection:
        connection.execute(
            "UPDATE archived_files SET checked_at = now() - interval '1 day' WHERE vod_id = '2'"
        )
    (first,) = copies.verify(
        in_directory.database,
        in_directory.settings,
        (),
        limit=1,
        read=False,
        actor="me",
    )
    assert first.vod_id == "2"


# --- slow classes ---------------------------------------------------------------------------


@pytest.fixture
def slow(s3: S3) -> Iterator[None]:
    """Objects in slow classes come up at the second look after they were asked for."""
    s3.thaw_after(2)
    yield
    s3.thaw_after(0)


def test_a_slow_class_is_asked_once_and_says_when(in_s3: Cold, s3: S3, slow: None) -> None:
    in_s3.add("1")
    in_s3.run()
    s3.faults()
    found = fetch(in_s3, "1")
    assert found.path is None
    assert found.thawing is not None
    assert found.thawing.ready_by is not None
    assert timedelta(hours=4) < found.thawing.ready_by - NOW < timedelta(hours=6)
    assert s3.seen().count("Restore") == 1
    copy = in_s3.copy("1")
    assert copy is not None
    assert copy.asked_tier == "standard"
    for _ in range(4):
        found = fetch(in_s3, "1", tier="bulk")
        if found.path is not None:
            break
    assert found.path == in_s3.path("1")
    assert s3.seen().count("Restore") == 1


def test_a_tier_that_the_class_does_not_have_is_refused(in_s3: Cold, slow: None) -> None:
    in_s3.settings = replace(in_s3.settings, archive_storage_class="DEEP_ARCHIVE")
    in_s3.add("1")
    in_s3.run()
    with pytest.raises(Refused) as caught:
        fetch(in_s3, "1", tier="expedited")
    assert caught.value.code == "s3_tier"
    assert "--tier standard" in caught.value.hint


def test_waiting_for_it(in_s3: Cold, s3: S3, slow: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "_LOOK_AGAIN_SECONDS", 0.0)
    in_s3.add("1")
    in_s3.run()
    assert fetch(in_s3, "1", wait=True).path == in_s3.path("1")
