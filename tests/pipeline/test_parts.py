"""What is too long for YouTube: refused with a word, or cut into parts of which each is there
once."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.pipeline.conftest import NewPublisher
from tests.pipeline.publisher import POST, PUT, Publisher
from tests.sandbox.videos import Outcome, Video
from vodtender.clients import ffmpeg
from vodtender.model import youtube_parts
from vodtender.model.vod import Stage, Waiting

SECONDS = 12.0


@pytest.fixture(scope="session")
def long_video(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Twelve seconds, a key frame in each; the tests below hold that for long."""
    path = tmp_path_factory.mktemp("long") / "long.mp4"
    source = ["-f", "lavfi", "-i", f"testsrc=size=320x180:rate=10:duration={SECONDS}"]
    coding = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "10", "-pix_fmt", "yuv420p"]
    command = [str(ffmpeg.find()), *ffmpeg.QUIET, *source, *coding, "-bitexact", str(path)]
    subprocess.run(command, check=True)
    return path.read_bytes()


@pytest.fixture
def short_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """YouTube takes five seconds at most."""
    monkeypatch.setattr(youtube_parts, "LONGEST_SECONDS", 5.0)
    monkeypatch.setattr(youtube_parts, "_AIM_SECONDS", 4.5)


@pytest.fixture
def splitting(
    new_publisher: NewPublisher, short_limits: None, long_video: bytes, tmp_path: Path
) -> Iterator[Publisher]:
    """A worker that splits, and one long VOD."""
    publisher = new_publisher(YT_SPLIT="1")
    publisher.log_in()
    publisher.world.youtube.save_to = tmp_path / "youtube"
    publisher.world.youtube.save_to.mkdir()
    publisher.add(content=long_video, seconds=SECONDS)
    yield publisher
    assert not publisher.world.youtube.complaints


def assert_three_parts(publisher: Publisher) -> None:
    videos = sorted(publisher.world.youtube.videos, key=lambda video: video.title)
    assert [video.title for video in videos] == [f"A stream ({n}/3)" for n in (1, 2, 3)]
    markers = [video.description.splitlines()[-1] for video in videos]
    assert markers == [f"vodtender:1001/{n}" for n in (1, 2, 3)]
    assert [seconds(video) for video in videos] == pytest.approx([4, 4, 4], abs=0.2)


def seconds(video: Video) -> float:
    assert video.path is not None
    return ffmpeg.duration_seconds(video.path)


def packets(paths: list[Path]) -> list[str]:
    """A checksum of each picture, as it is stored."""
    found = []
    for path in paths:
        command = [str(ffmpeg.find()), *ffmpeg.QUIET, "-i", str(path), "-c", "copy"]
        done = subprocess.run([*command, "-f", "framemd5", "-"], check=True, capture_output=True)
        lines = done.stdout.decode().splitlines()
        found += [line.rpartition(",")[2].strip() for line in lines if not line.startswith("#")]
    return found


def test_without_the_setting_it_is_refused_and_the_setting_named(
    new_publisher: NewPublisher, short_limits: None, long_video: bytes
) -> None:
    publisher = new_publisher()
    publisher.log_in()
    path = publisher.add(content=long_video, seconds=SECONDS)
    publisher.upload()
    vod = publisher.vod()
    assert (vod.stage, vod.download_state) == (Stage.FAILED, "failed")
    assert "YouTube takes at most 12 h and 256 GB" in (vod.processing_error or "")
    assert "YT_SPLIT=1" in (vod.processing_error or "")
    assert "vodtender retry 1001" in (vod.processing_error or "")
    assert path.exists()
    assert (publisher.sessions_opened, publisher.attempts) == (0, 0)
    publisher.restart(YT_SPLIT="1")
    publisher.sql("UPDATE vods SET processing_error = NULL")
    assert publisher.publish().stage is Stage.PUBLISHED
    assert len(publisher.world.youtube.videos) == 3


def test_each_part_is_there_once_and_no_picture_is_missing(splitting: Publisher) -> None:
    whole = packets([Path(splitting.vod().downloaded_path or "")])
    vod = splitting.publish()
    assert vod.stage is Stage.PUBLISHED
    assert_three_parts(splitting)
    assert packets([video.path for video in splitting.world.youtube.videos if video.path]) == whole
    assert vod.youtube_url == splitting.world.youtube.videos[0].url
    assert splitting.attempts == 3
    assert list((splitting.root / "in-progress").glob("1001*")) == []


def test_the_cut_files_bear_no_name_that_a_search_for_finished_files_finds(
    splitting: Publisher,
) -> None:
    gate = splitting.world.faults.hold(**PUT)
    with splitting.in_background():
        gate.wait_reached()
        work = splitting.place.directory.work("1001")
        assert len([path for path in work.rglob("*") if path.suffix == ".video"]) == 3
        assert list(splitting.root.rglob("*.mp4")) == [Path(splitting.vod().downloaded_path or "")]


def test_parts_that_are_there_stay_whatever_happens_to_the_next(splitting: Publisher) -> None:
    splitting.world.faults.google("invalidTitle", **POST, skip=1)
    splitting.upload()
    assert splitting.vod().stage is Stage.FAILED
    splitting.sql("UPDATE vods SET processing_error = NULL")
    splitting.world.faults.google("quotaExceeded", **POST)
    splitting.upload()
    vod = splitting.vod()
    assert vod.waiting_for is Waiting.QUOTA
    assert vod.youtube_url is None
    splitting.pass_time(timedelta(days=1))
    assert splitting.publish().stage is Stage.PUBLISHED
    assert_three_parts(splitting)


@pytest.mark.parametrize("lost", ["nothing", "the rows", "the cut files"])
def test_after_a_crash_all_parts_are_found_again(splitting: Publisher, lost: str) -> None:
    gate = splitting.world.faults.hold_answer(**PUT, skip=1)
    with splitting.in_background():
        gate.wait_reached()
        splitting.take_away()
        gate.release()
    assert len(splitting.world.youtube.videos) == 2
    if lost == "the rows":
        splitting.sql("DELETE FROM uploads")
    if lost == "the cut files":
        for path in splitting.place.directory.work("1001").glob("parts-*"):
            shutil.rmtree(path)
    splitting.restart()
    assert splitting.publish().stage is Stage.PUBLISHED
    assert_three_parts(splitting)


def test_a_part_of_which_nobody_knows_does_not_cost_the_others(splitting: Publisher) -> None:
    splitting.world.faults.status(503, **PUT, skip=1)
    splitting.upload()
    assert splitting.vod().stage is Stage.FINALIZING
    splitting.world.youtube.expire_sessions()
    splitting.hasten()
    splitting.verify()
    splitting.pass_time(splitting.place.settings.upload_absence_wait)
    splitting.verify()
    assert splitting.vod().stage is Stage.DOWNLOADED
    splitting.world.youtube.listing_hides = {splitting.world.youtube.videos[0].id}
    assert splitting.publish().stage is Stage.PUBLISHED
    assert_three_parts(splitting)


def test_a_refused_part_is_named_and_the_only_one_to_be_uploaded_again(
    splitting: Publisher,
) -> None:
    fine = Outcome(polls=0)
    splitting.world.youtube.outcomes = [fine, Outcome("failed", "codec", polls=0), fine]
    assert splitting.publish().stage is Stage.FAILED
    second = splitting.world.youtube.videos[1]
    assert f"YouTube does not accept the video {second.id}: codec" in (
        splitting.vod().problem or ""
    )
    second.deleted = True
    splitting.sql("UPDATE vods SET processing_error = NULL")
    assert splitting.publish().stage is Stage.PUBLISHED
    assert_three_parts(splitting)
    assert splitting.attempts == 4


def test_a_published_vod_in_parts_that_is_asked_for_anew_is_found(splitting: Publisher) -> None:
    splitting.publish()
    splitting.sql("UPDATE vods SET processed = false")
    splitting.download()
    assert splitting.publish().stage is Stage.PUBLISHED
    assert_three_parts(splitting)


def test_cutting_waits_for_room_on_the_disk(splitting: Publisher) -> None:
    room = splitting.place.directory.room()
    splitting.restart(DISK_RESERVE=str(room.total_bytes))  # whatever others free meanwhile
    splitting.upload()
    vod = splitting.vod()
    assert (vod.stage, vod.problem_code) == (Stage.DOWNLOADED, "no_room")
    assert "GB are free" in (vod.problem or "")
    assert splitting.attempts == 0


def test_the_same_file_is_cut_into_the_same_parts(long_video: bytes, tmp_path: Path) -> None:
    """So that a session that was begun with one fits another."""
    source = tmp_path / "100% long.mp4"
    source.write_bytes(long_video)
    digests = []
    for name in ("a", "b %d"):
        parts = ffmpeg.split(ffmpeg.find(), source, [4.0, 8.0], tmp_path / name, lambda: False)
        digests.append([hashlib.sha256(part.read_bytes()).hexdigest() for part in parts])
    assert digests[0] == digests[1]
    assert len(set(digests[0])) == 3
