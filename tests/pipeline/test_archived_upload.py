"""A VOD that was archived before its upload goes up all the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.pipeline.conftest import NewPublisher
from tests.pipeline.publisher import BEGAN, Publisher, place_for
from tests.s3 import S3
from vodtender.config.load import load
from vodtender.model.archive import ArchivedFile
from vodtender.model.s3_location import S3Location
from vodtender.model.vod import Stage, Waiting
from vodtender.pipeline.archive_directory import MARKER
from vodtender.procedures import archive as procedure
from vodtender.store import archive
from vodtender.store.database import Database

Archived = tuple[Publisher, Path]


def move(publisher: Publisher) -> None:
    """As `vodtender archive --include-waiting` does it."""
    settings = load(publisher.environ)
    database = Database(lambda: publisher.environ["DB_DSN"], pool_size=4)
    try:
        done = procedure.run(
            database, settings, include_waiting=True, limit=None, actor="op", reason=None
        )
    finally:
        database.close()
    assert not done.failed


def copy(publisher: Publisher) -> ArchivedFile:
    with publisher.database.transaction() as connection:
        found = archive.get(connection, "1001")
    assert found is not None
    return found


@pytest.fixture
def archived(new_publisher: NewPublisher, tmp_path_factory: pytest.TempPathFactory) -> Archived:
    """A VOD in a directory's archive; where its file was."""
    root = tmp_path_factory.mktemp("archive")
    (root / MARKER).touch()
    return put_there(new_publisher, ARCHIVE_DIR=str(root))


@pytest.fixture
def in_glacier(new_publisher: NewPublisher, s3: S3) -> Iterator[Archived]:
    """The same in S3, in a class that takes two looks."""
    s3.thaw_after(2)
    yield put_there(new_publisher, **s3.environ, ARCHIVE_S3_URL=f"s3://{s3.bucket}/vods/")
    s3.thaw_after(0)


def put_there(new_publisher: NewPublisher, **settings: str) -> Archived:
    publisher = new_publisher(ARCHIVE_AGE_DAYS="0", DISK_RESERVE="0", **settings)
    publisher.log_in()
    path = publisher.add()
    keep = path.with_name("kept")
    keep.write_bytes(path.read_bytes())
    move(publisher)
    assert not path.exists()
    assert publisher.vod().stage is Stage.DOWNLOADED
    return publisher, keep


def test_its_file_is_fetched_back_and_it_goes_up_whole(archived: Archived) -> None:
    publisher, keep = archived
    assert publisher.publish().stage is Stage.PUBLISHED
    publisher.assert_one_whole_video(keep)
    vod = publisher.vod()
    assert vod.downloaded_path is not None
    assert Path(vod.downloaded_path).read_bytes() == keep.read_bytes()
    move(publisher)
    assert publisher.vod().downloaded_path is None
    assert Path(copy(publisher).place).read_bytes() == keep.read_bytes()


def test_a_slow_class_is_asked_and_waited_for(in_glacier: Archived, s3: S3) -> None:
    publisher, keep = in_glacier
    s3.faults()
    assert publisher.upload()
    vod = publisher.vod()
    assert (vod.stage, vod.state, vod.waiting_for) == (Stage.DOWNLOADED, "held", Waiting.ARCHIVE)
    assert "asked for from the archive (standard)" in (vod.processing_error or "")
    assert vod.upload_attempts == 0
    assert publisher.publish().stage is Stage.PUBLISHED
    assert s3.seen().count("Restore") == 1
    publisher.assert_one_whole_video(keep)


def test_nothing_is_fetched_for_an_account_that_has_to_wait(archived: Archived) -> None:
    publisher, _ = archived
    publisher.world.faults.google("quotaExceeded", path="*/upload/*", method="POST")
    publisher.add("1000", date=BEGAN - timedelta(days=1))
    publisher.upload()
    publisher.upload()
    assert publisher.vod("1000").waiting_for is Waiting.QUOTA
    assert publisher.vod("1001").waiting_for is Waiting.QUOTA
    assert publisher.vod("1001").downloaded_path is None


def test_a_copy_that_is_lost_is_fetched_from_twitch_again(archived: Archived) -> None:
    publisher, _ = archived
    Path(copy(publisher).place).unlink()
    publisher.upload()
    vod = publisher.vod()
    assert (vod.stage, vod.problem_code, vod.recheck) == (Stage.QUEUED, "file_gone", True)
    assert copy(publisher).problem is not None


def no_disk(publisher: Publisher) -> str:
    root = Path(publisher.environ["ARCHIVE_DIR"])
    root.rename(root.with_name("away"))
    return "archive_not_mounted"


def no_room(publisher: Publisher) -> str:
    publisher.environ["DISK_RESERVE"] = "900PB"
    publisher.place = place_for(load(publisher.environ), publisher.database, "worker-2")
    return "disk_full"


@pytest.mark.parametrize("happen", [no_disk, no_room])
def test_what_the_archive_or_the_disk_fails_with_is_waited_out(
    archived: Archived, happen: Callable[[Publisher], str]
) -> None:
    """It is no failure of the VOD, so neither its tries nor the breaker count it."""
    publisher, _ = archived
    code = happen(publisher)
    publisher.upload()
    vod = publisher.vod()
    assert (vod.stage, vod.problem_code, vod.waiting_for) == (
        Stage.DOWNLOADED,
        code,
        Waiting.COOLDOWN,
    )
    assert vod.upload_attempts == 0
    assert publisher.sql("SELECT * FROM breaker_failures") == []


def test_a_file_that_was_deleted_by_hand_comes_from_the_archive_and_not_from_twitch(
    archived: Archived,
) -> None:
    publisher, keep = archived
    publisher.sql("UPDATE vods SET download_state = 'pending'")
    assert publisher.download()
    assert publisher.vod().stage is Stage.DOWNLOADED
    publisher.publish()
    publisher.assert_one_whole_video(keep)


def test_an_object_of_a_store_is_found_whatever_the_settings_say_today(
    in_glacier: Archived, s3: S3
) -> None:
    publisher, keep = in_glacier
    del publisher.environ["ARCHIVE_S3_URL"]
    publisher.restart()
    s3.store.ask_for(S3Location.parse(copy(publisher).place), tier="Standard", days=1)
    assert publisher.publish().stage is Stage.PUBLISHED
    publisher.assert_one_whole_video(keep)
