"""After the upload: YouTube processes the video, and only then may the file go."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.pipeline.conftest import NewPublisher
from tests.pipeline.publisher import LAST, PUT, Publisher
from tests.sandbox.accounts import SCOPE_READONLY, SCOPE_UPLOAD
from tests.sandbox.videos import Outcome
from vodtender.model.vod import Stage, Waiting

API = "/youtube/v3/*"
LONG_AGO = datetime.now(UTC) - timedelta(days=30)


def uploaded(publisher: Publisher) -> None:
    publisher.upload()
    assert publisher.vod().stage is Stage.VERIFYING


def look(publisher: Publisher) -> Stage:
    publisher.hasten()
    assert publisher.verify()
    return publisher.vod().stage


def test_processing_takes_hours_and_is_asked_after_ever_more_rarely(publisher: Publisher) -> None:
    path = publisher.add(date=LONG_AGO)
    publisher.world.youtube.outcome = Outcome(polls=40)
    uploaded(publisher)
    vod = publisher.vod()
    assert (vod.processed, vod.processing_error) == (True, None)
    assert vod.youtube_url == publisher.world.youtube.videos[0].url
    pauses = []
    while look(publisher) is Stage.VERIFYING:
        vod = publisher.vod()
        assert vod.waiting_for is Waiting.PROCESSING
        assert path.exists()
        assert vod.next_try_at is not None
        pauses.append((vod.next_try_at - datetime.now(UTC)).total_seconds())
    assert len(pauses) == 40
    assert pauses[0] == pytest.approx(3, abs=1)
    assert max(pauses) == pytest.approx(600, abs=1)
    assert publisher.vod().stage is Stage.PUBLISHED
    assert publisher.units == publisher.world.youtube.units_used[publisher.world.google.client_id]


@pytest.mark.parametrize(
    ("outcome", "why"),
    [
        (Outcome("rejected", "duplicate"), "duplicate"),
        (Outcome("rejected", "length"), "length"),
        (Outcome("failed", "codec"), "codec"),
        (Outcome("deleted"), "deleted"),
    ],
)
def test_a_video_that_youtube_refuses_fails_the_vod_and_keeps_its_file(
    new_publisher: NewPublisher, outcome: Outcome, why: str
) -> None:
    publisher = new_publisher(RETAIN_KEEP_NEWER_THAN_DAYS="0")
    publisher.log_in()
    path = publisher.add(date=LONG_AGO)
    publisher.world.youtube.outcome = outcome
    uploaded(publisher)
    video = publisher.world.youtube.videos[0]
    assert look(publisher) is Stage.VERIFYING
    assert look(publisher) is Stage.FAILED
    vod = publisher.vod()
    assert (vod.processed, vod.download_state, vod.youtube_url) == (True, "failed", None)
    assert vod.processing_error is not None
    assert vod.processing_error.startswith(f"YouTube does not accept the video {video.id}: {why}")
    assert f" {vod.twitch_vod_id}" in vod.processing_error, "what to type"
    assert path.exists()


def test_a_refused_video_is_uploaded_again_when_an_operator_asks(publisher: Publisher) -> None:
    publisher.add()
    publisher.world.youtube.outcomes = [Outcome("failed", "codec", polls=0)]
    uploaded(publisher)
    assert look(publisher) is Stage.FAILED
    publisher.sql("UPDATE vods SET processing_error = NULL")
    assert publisher.publish().stage is Stage.PUBLISHED
    assert publisher.vod().youtube_url == publisher.world.youtube.videos[1].url


def test_of_two_uploads_of_which_one_was_not_to_be_seen_the_first_counts(
    publisher: Publisher,
) -> None:
    """The worst case: absent for longer than the wait, so it was uploaded again."""
    path = publisher.add()
    youtube = publisher.world.youtube
    youtube.reject_duplicates = True
    publisher.world.faults.lose_answer(**PUT, skip=LAST)
    publisher.upload()
    [first] = youtube.videos
    youtube.listing_hides = {first.id}
    for session in youtube.sessions:
        session.expire()
    look(publisher)
    publisher.pass_time(publisher.place.settings.upload_absence_wait)
    look(publisher)
    publisher.upload()
    assert len(youtube.videos) == 2
    youtube.listing_hides = set()
    assert publisher.publish().stage is Stage.PUBLISHED
    assert publisher.vod().youtube_url == first.url
    assert path.exists()


# --- missing ------------------------------------------------------------------------------


def test_one_answer_without_the_video_is_not_believed(publisher: Publisher) -> None:
    """Not after hours of processing either."""
    publisher.add()
    publisher.world.youtube.outcome = Outcome(polls=20)
    uploaded(publisher)
    for _ in range(15):
        look(publisher)
    nothing = {"kind": "youtube#videoListResponse", "items": []}
    publisher.world.faults.json(200, nothing, path="*/videos")
    assert look(publisher) is Stage.VERIFYING
    assert "YouTube does not show the video" in (publisher.vod().problem or "")
    assert look(publisher) is Stage.VERIFYING
    assert publisher.vod().problem is None
    assert publisher.publish().stage is Stage.PUBLISHED


def test_a_video_that_stays_away_was_deleted(publisher: Publisher) -> None:
    path = publisher.add()
    uploaded(publisher)
    publisher.world.youtube.videos[0].deleted = True
    look(publisher)
    publisher.pass_time(publisher.place.settings.upload_absence_wait - timedelta(minutes=1))
    assert look(publisher) is Stage.VERIFYING
    publisher.pass_time(timedelta(minutes=1))
    assert look(publisher) is Stage.FAILED
    vod = publisher.vod()
    assert vod.youtube_url is None
    assert "vodtender retry 1001" in (vod.processing_error or "")
    assert path.exists()
    publisher.sql("UPDATE vods SET processing_error = NULL")
    assert publisher.publish().stage is Stage.PUBLISHED
    publisher.assert_one_whole_video(path)


@pytest.mark.parametrize("status", [400, 404])
def test_a_question_that_is_refused_says_nothing_about_the_video(
    publisher: Publisher, status: int
) -> None:
    publisher.add()
    uploaded(publisher)
    error = {"error": {"code": status, "errors": [{"reason": "processingDetailsNotAvailable"}]}}
    publisher.world.faults.json(status, error, path="*/videos")
    assert look(publisher) is Stage.VERIFYING
    assert publisher.publish().stage is Stage.PUBLISHED


def test_a_used_up_quota_makes_the_look_wait(publisher: Publisher) -> None:
    publisher.add()
    uploaded(publisher)
    publisher.world.faults.google("quotaExceeded", path="*/videos")
    assert look(publisher) is Stage.VERIFYING
    assert publisher.vod().waiting_for is Waiting.QUOTA
    assert publisher.publish().stage is Stage.PUBLISHED


# --- the file -----------------------------------------------------------------------------


def test_the_file_goes_once_it_is_processed_and_not_before(new_publisher: NewPublisher) -> None:
    publisher = new_publisher(RETAIN_KEEP_NEWER_THAN_DAYS="0")
    publisher.log_in()
    path = publisher.add(date=LONG_AGO)
    uploaded(publisher)
    assert look(publisher) is Stage.VERIFYING
    assert path.exists()
    assert look(publisher) is Stage.PUBLISHED
    assert not path.exists()
    vod = publisher.vod()
    assert vod.downloaded_path is None
    assert vod.file_removed_at is not None
    assert not publisher.download()


@pytest.mark.parametrize(
    "setting",
    [
        {"BACKFILL_AUTOCLEAN": "0"},
        {"RETENTION_DRY_RUN": "1"},
        {"RETAIN_KEEP_NEWER_THAN_DAYS": "60"},
        {"RETENTION_KEEP_DAYS": "60"},
        {"RETENTION_KEEP_COUNT": "1"},
    ],
)
def test_the_settings_keep_it(new_publisher: NewPublisher, setting: dict[str, str]) -> None:
    publisher = new_publisher(**{"RETAIN_KEEP_NEWER_THAN_DAYS": "0", **setting})
    publisher.log_in()
    path = publisher.add(date=LONG_AGO)
    assert publisher.publish().stage is Stage.PUBLISHED
    assert path.exists()


def test_a_file_deleted_by_hand_while_youtube_processes_changes_nothing(
    publisher: Publisher,
) -> None:
    path = publisher.add()
    uploaded(publisher)
    path.unlink()
    assert publisher.publish().stage is Stage.PUBLISHED


# --- the playlist -------------------------------------------------------------------------


def test_the_video_is_put_on_the_playlist_once(new_publisher: NewPublisher) -> None:
    publisher = new_publisher(YT_PLAYLIST_ID="PLmine")
    publisher.log_in()
    playlist = publisher.world.youtube.add_playlist(publisher.world.account, "PLmine")
    publisher.add()
    publisher.world.faults.lose_answer(path="*/playlistItems", method="POST")
    assert publisher.publish().stage is Stage.PUBLISHED
    assert playlist.video_ids == [publisher.world.youtube.videos[0].id]


@pytest.mark.parametrize("whose", ["nobody's", "another account's", "not ours to change"])
def test_a_playlist_that_cannot_be_used_does_not_hold_the_vod_up(
    new_publisher: NewPublisher, whose: str
) -> None:
    publisher = new_publisher(YT_PLAYLIST_ID="PLtheirs")
    other = publisher.world.google.add_account("other")
    if whose == "another account's":
        publisher.world.youtube.add_playlist(other, "PLtheirs")
    if whose == "not ours to change":
        publisher.world.account.scopes = (SCOPE_UPLOAD, SCOPE_READONLY)
        publisher.world.youtube.add_playlist(publisher.world.account, "PLtheirs")
    publisher.log_in()
    publisher.add("1001")
    publisher.add("1002")
    assert publisher.publish("1001").stage is Stage.PUBLISHED
    assert publisher.publish("1002").stage is Stage.PUBLISHED
