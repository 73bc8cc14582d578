"""What operators type in the middle of an upload, with a real one going on: whatever it is, one
complete video comes of it and never a second."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.pipeline.conftest import NewPublisher
from tests.pipeline.publisher import LAST, PUT, Publisher
from vodtender.errors import NotFound, Refused
from vodtender.model.vod import Stage, Vod
from vodtender.pipeline import download
from vodtender.pipeline.work import work_on_next
from vodtender.procedures import resolve, skip
from vodtender.procedures.reprocess import reprocess
from vodtender.procedures.retry import retry

ID = "1001"
Words = Callable[[Publisher], object]


def say_retry(publisher: Publisher) -> object:
    return retry(publisher.database, [ID], actor="alice", reason=None, dry_run=False)


def say_reprocess(publisher: Publisher) -> object:
    return reprocess(publisher.database, [ID], actor="alice", reason=None, dry_run=False)


def say_cancel_and_reprocess(publisher: Publisher) -> object:
    skip.cancel(publisher.database, [ID], actor="alice", reason=None, dry_run=False)
    return say_reprocess(publisher)


def say_not_uploaded(publisher: Publisher) -> object:
    return resolve.not_uploaded(publisher.database, ID, actor="alice", reason=None, dry_run=False)


def say_uploaded(publisher: Publisher, video_id: str) -> object:
    return resolve.uploaded(
        publisher.database, ID, video_id, actor="alice", reason=None, dry_run=False
    )


WORDS: dict[str, Words] = {
    "retry": say_retry,
    "reprocess": say_reprocess,
    "cancel, reprocess": say_cancel_and_reprocess,
}


def finish(publisher: Publisher) -> Vod:
    """All the work there is, downloads too."""
    for _ in range(5):
        publisher.hasten()
        work_on_next(publisher.place, download.LANE)
        vod = publisher.publish()
        if vod.stage in (Stage.PUBLISHED, Stage.FAILED):
            break
    return publisher.vod()


def break_off_before_the_last_chunk(publisher: Publisher) -> None:
    publisher.world.faults.status(503, **PUT, skip=LAST - 1)
    publisher.upload()
    publisher.world.faults.clear()
    assert publisher.vod().stage is Stage.UPLOADING


def lose_the_last_answer(publisher: Publisher) -> None:
    """The video is there, and neither session nor list shows it."""
    publisher.world.youtube.listing_lag_seconds = 1e6
    publisher.world.faults.lose_answer(**PUT, skip=LAST)
    publisher.upload()
    publisher.world.faults.clear()
    publisher.world.youtube.expire_sessions(410)
    assert publisher.vod().stage is Stage.FINALIZING


def show_all(publisher: Publisher) -> None:
    publisher.world.youtube.listing_lag_seconds = 0
    for video in publisher.world.youtube.videos:
        video.listed_after = 0


@pytest.mark.parametrize("words", WORDS)
def test_an_upload_that_broke_off_goes_on_in_its_session(publisher: Publisher, words: str) -> None:
    path = publisher.add()
    break_off_before_the_last_chunk(publisher)
    WORDS[words](publisher)
    assert finish(publisher).stage is Stage.PUBLISHED
    publisher.assert_one_whole_video(path)
    assert publisher.sessions_opened == 1


@pytest.mark.parametrize("words", WORDS)
def test_an_upload_that_may_have_taken_effect_is_not_repeated(
    publisher: Publisher, words: str
) -> None:
    path = publisher.add()
    lose_the_last_answer(publisher)
    WORDS[words](publisher)
    finish(publisher)
    assert publisher.sessions_opened == 1
    show_all(publisher)
    assert finish(publisher).stage is Stage.PUBLISHED
    publisher.assert_one_whole_video(path)
    assert publisher.sessions_opened == 1


@pytest.mark.parametrize("words", ["reprocess", "cancel, reprocess"])
def test_while_it_is_being_sent(new_publisher: NewPublisher, words: str) -> None:
    publisher = new_publisher(LEASE_SECONDS="1")
    publisher.log_in()
    path = publisher.add()
    gate = publisher.world.faults.hold_answer(**PUT, skip=1)
    with publisher.in_background():
        gate.wait_reached()
        WORDS[words](publisher)
        gate.release()
    assert finish(publisher).stage is Stage.PUBLISHED
    publisher.assert_one_whole_video(path)
    assert publisher.sessions_opened == 1


def test_a_cancelled_upload_stops_before_the_video_is_complete(new_publisher: NewPublisher) -> None:
    publisher = new_publisher(LEASE_SECONDS="1")
    publisher.log_in()
    publisher.add()
    gate = publisher.world.faults.hold_answer(**PUT, skip=LAST - 1)
    with publisher.in_background():
        gate.wait_reached()
        tally = skip.cancel(publisher.database, [ID], actor="a", reason="boring", dry_run=False)
        wait_for_heartbeats(publisher)
        gate.release()
    assert skip.still_ending(publisher.database, tally, 10) == []
    vod = publisher.vod()
    assert (vod.stage, vod.problem) == (Stage.SKIPPED, "boring")
    assert publisher.world.youtube.videos == []
    assert publisher.uploads()[0].session_uri is not None


def wait_for_heartbeats(publisher: Publisher) -> None:
    """Two, in fact: with the second, the worker has taken in what the first has told it."""
    deadline = time.monotonic() + 10
    for _ in range(2):
        before = publisher.vod().lease_expires_at
        while publisher.vod().lease_expires_at == before:
            assert time.monotonic() < deadline
            time.sleep(0.02)


class TestPublished:
    def test_reprocess_finds_it_on_youtube_and_changes_nothing_there(
        self, publisher: Publisher
    ) -> None:
        path = publisher.add()
        before = publisher.publish()
        say_reprocess(publisher)
        after = finish(publisher)
        assert (after.stage, after.youtube_url) == (Stage.PUBLISHED, before.youtube_url)
        publisher.assert_one_whole_video(path)
        assert publisher.sessions_opened == 1

    def test_one_that_was_deleted_there_is_uploaded_again_when_the_operator_says_so(
        self, publisher: Publisher
    ) -> None:
        publisher.add()
        first = publisher.publish()
        publisher.world.youtube.videos[0].deleted = True
        say_reprocess(publisher)
        work_on_next(publisher.place, download.LANE)
        publisher.upload()
        assert "YouTube does not show the video" in (publisher.vod().problem or "")
        say_not_uploaded(publisher)
        second = finish(publisher)
        assert second.stage is Stage.PUBLISHED
        assert second.video_id != first.video_id
        assert publisher.sessions_opened == 2


class TestResolve:
    def test_uploaded_settles_it_once_youtube_has_processed_the_video(
        self, publisher: Publisher
    ) -> None:
        path = publisher.add()
        lose_the_last_answer(publisher)
        [video] = publisher.world.youtube.videos
        say_uploaded(publisher, video.id)
        vod = publisher.publish()
        assert (vod.stage, vod.video_id) == (Stage.PUBLISHED, video.id)
        publisher.assert_one_whole_video(path)

    def test_not_uploaded_uploads_it_with_a_session_of_its_own(self, publisher: Publisher) -> None:
        path = publisher.add()
        break_off_before_the_last_chunk(publisher)
        say_not_uploaded(publisher)
        assert publisher.publish().stage is Stage.PUBLISHED
        publisher.assert_one_whole_video(path)
        assert publisher.sessions_opened == 2

    def test_not_uploaded_is_not_believed_where_youtube_shows_the_video(
        self, publisher: Publisher
    ) -> None:
        path = publisher.add()
        lose_the_last_answer(publisher)
        show_all(publisher)
        say_not_uploaded(publisher)
        assert publisher.publish().stage is Stage.PUBLISHED
        publisher.assert_one_whole_video(path)
        assert publisher.sessions_opened == 1

    def test_a_vod_that_was_uploaded_elsewhere_keeps_its_file_until_youtube_confirms(
        self, publisher: Publisher
    ) -> None:
        publisher.add("1002")
        other = publisher.publish("1002")
        assert other.video_id is not None
        path: Path = publisher.add()
        say_uploaded(publisher, other.video_id)
        assert path.exists()
        assert publisher.publish().stage is Stage.PUBLISHED
        assert publisher.sessions_opened == 1


class TestDoubts:
    """What is said of a video before it is taken for the VOD's."""

    def look(self, publisher: Publisher, video_id: str, vod_id: str = ID) -> resolve.Look:
        settings = publisher.place.settings
        return resolve.look_at(publisher.database, settings, vod_id, video_id)

    def test_none_about_a_video_that_plays_as_long_or_not_yet(self, publisher: Publisher) -> None:
        publisher.add()
        lose_the_last_answer(publisher)
        [video] = publisher.world.youtube.videos
        assert self.look(publisher, video.id) == resolve.Look()
        video.duration_seconds = 61
        assert self.look(publisher, video.id) == resolve.Look()

    def test_another_length(self, publisher: Publisher) -> None:
        publisher.add()
        lose_the_last_answer(publisher)
        [video] = publisher.world.youtube.videos
        video.duration_seconds = 600
        assert self.look(publisher, video.id).doubt == (
            f"The video {video.id} plays for 600 s, the VOD for 60 s."
        )

    def test_no_such_video(self, publisher: Publisher) -> None:
        publisher.add()
        assert self.look(publisher, "0123456789_").doubt == (
            "YouTube shows no video 0123456789_ to account 'default'."
        )

    def test_youtube_out_of_reach_is_no_doubt(self, new_publisher: NewPublisher) -> None:
        publisher = new_publisher()
        publisher.add()
        look = self.look(publisher, "0123456789_")
        assert look.doubt == ""
        assert "nobody has logged in" in look.unasked

    def test_what_makes_no_sense_is_refused_before_anybody_is_asked(
        self, publisher: Publisher
    ) -> None:
        publisher.add()
        publisher.publish()
        with pytest.raises(Refused, match="YouTube has confirmed that"):
            self.look(publisher, "0123456789_")
        with pytest.raises(NotFound):
            self.look(publisher, "0123456789_", "9")
