"""Uploads: what gets to YouTube, when, and for whom."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.pipeline.conftest import NewPublisher
from tests.pipeline.publisher import BEGAN, CHUNK, LAST, POST, PUT, Publisher, sha256
from vodtender.model.quota import ask_again_at, next_reset
from vodtender.model.vod import Stage, Waiting


def test_a_vod_arrives_once_and_byte_for_byte(publisher: Publisher) -> None:
    path = publisher.add()
    vod = publisher.publish()
    video = publisher.assert_one_whole_video(path)
    assert vod.stage is Stage.PUBLISHED
    assert (vod.processed, vod.download_state, vod.processing_error) == (True, "complete", None)
    assert vod.youtube_url == video.url
    assert publisher.sessions_opened == 1
    assert publisher.attempts == 1
    assert publisher.units == publisher.world.youtube.units_used[publisher.world.google.client_id]


def test_nothing_is_done_twice_when_asked_again(publisher: Publisher) -> None:
    path = publisher.add()
    publisher.publish()
    assert not publisher.upload()
    assert not publisher.verify()
    publisher.assert_one_whole_video(path)


def test_the_session_is_stored_before_the_first_byte(publisher: Publisher) -> None:
    publisher.add()
    gate = publisher.world.faults.hold(**PUT)
    with publisher.in_background():
        gate.wait_reached()
        [stored] = publisher.uploads()
        assert stored.session_uri is not None
        assert stored.sent_bytes == 0
        assert publisher.vod().stage is Stage.UPLOADING
        [session] = publisher.world.youtube.sessions
        assert session.received_bytes == 0


def test_the_last_chunk_is_announced_before_it_is_sent(publisher: Publisher) -> None:
    publisher.add()
    gate = publisher.world.faults.hold(**PUT, skip=LAST)
    with publisher.in_background():
        gate.wait_reached()
        [stored] = publisher.uploads()
        assert stored.sent_bytes == stored.size_bytes
        [session] = publisher.world.youtube.sessions
        assert session.received_bytes == LAST * CHUNK


# --- what the video is called -------------------------------------------------------------


def test_a_video_is_private_and_carries_what_the_settings_say(new_publisher: NewPublisher) -> None:
    publisher = new_publisher(
        YT_TAGS="twitch, a long tag",
        YT_CATEGORY_ID="24",
        YT_LANGUAGE="de",
        YT_TITLE_TEMPLATE="{channel}: {title} ({date})",
        YT_DESCRIPTION_TEMPLATE="{url}\\nfor {duration}",
    )
    publisher.log_in()
    publisher.add(title="A <b>stream</b>", seconds=3723.0)
    publisher.upload()
    [video] = publisher.world.youtube.videos
    assert video.metadata == {
        "snippet": {
            "title": f"alice: A bstream/b ({BEGAN:%Y-%m-%d})",
            "description": "https://www.twitch.tv/videos/1001\nfor 1:02:03\n\nvodtender:1001",
            "categoryId": "24",
            "tags": ["twitch", "a long tag"],
            "defaultLanguage": "de",
            "defaultAudioLanguage": "de",
        },
        "status": {"privacyStatus": "private", "selfDeclaredMadeForKids": False},
        "recordingDetails": {"recordingDate": f"{BEGAN:%Y-%m-%dT%H:%M:%SZ}"},
    }


@pytest.mark.parametrize("title", ["", "<>", "\u200b\u202e", "🎮" * 200, "\x07bell", "x" * 500])
def test_every_title_is_made_one_that_youtube_takes(publisher: Publisher, title: str) -> None:
    publisher.add(title=title)
    assert publisher.publish().stage is Stage.PUBLISHED
    [video] = publisher.world.youtube.videos
    assert 0 < len(video.title) <= 100


# --- the day's limits ---------------------------------------------------------------------


@pytest.mark.parametrize("reason", ["quotaExceeded", "uploadLimitExceeded"])
def test_a_used_up_quota_holds_uploads_until_midnight_in_california_and_nothing_else(
    publisher: Publisher, reason: str
) -> None:
    publisher.add("1001")
    publisher.publish()
    path = publisher.add("1002")
    publisher.add("1003")
    publisher.world.faults.google(reason, **POST)
    publisher.upload()
    opened = publisher.sessions_opened
    publisher.upload()
    for vod_id in ("1002", "1003"):
        vod = publisher.vod(vod_id)
        assert (vod.stage, vod.waiting_for) == (Stage.DOWNLOADED, Waiting.QUOTA)
        assert (vod.processed, vod.download_state) == (True, "complete")
        assert "quota" in (vod.processing_error or "")
        assert reason in (vod.processing_error or "")
        assert vod.next_try_at is not None
        until = ask_again_at if reason == "quotaExceeded" else next_reset
        assert abs(vod.next_try_at - until(datetime.now(UTC))) < timedelta(minutes=2)
    assert publisher.sessions_opened == opened
    assert publisher.vod("1001").stage is Stage.PUBLISHED
    publisher.pass_time(timedelta(days=1))
    publisher.upload()
    publisher.upload()
    assert publisher.world.youtube.videos[1].sha256 == sha256(path)
    assert len(publisher.world.youtube.videos) == 3


def test_clearing_the_error_ends_the_hold_at_once(publisher: Publisher) -> None:
    """The runbook's statement, as it stands there."""
    publisher.add("1001")
    publisher.add("1002")
    publisher.world.faults.google("quotaExceeded", **POST)
    publisher.upload()
    publisher.upload()
    publisher.sql("UPDATE vods SET processing_error=NULL WHERE processing_error LIKE %s", "%quota%")
    assert publisher.upload()
    assert publisher.upload()
    assert len(publisher.world.youtube.videos) == 2


def test_a_quota_that_ends_in_the_middle_of_an_upload_keeps_the_session(
    publisher: Publisher,
) -> None:
    path = publisher.add()
    publisher.world.faults.google("quotaExceeded", **PUT, skip=1)
    publisher.upload()
    vod = publisher.vod()
    assert (vod.stage, vod.waiting_for) == (Stage.UPLOADING, Waiting.QUOTA)
    publisher.pass_time(timedelta(days=1))
    assert publisher.publish().stage is Stage.PUBLISHED
    publisher.assert_one_whole_video(path)
    assert publisher.sessions_opened == 1


def test_what_was_begun_goes_on_while_the_account_is_held(publisher: Publisher) -> None:
    """It costs nothing more."""
    path = publisher.add("1001")
    publisher.add("1002", date=BEGAN + timedelta(hours=1))
    publisher.world.faults.status(503, **PUT, skip=1)
    publisher.upload()
    publisher.world.faults.google("uploadLimitExceeded", **POST)
    publisher.upload()
    assert publisher.vod("1002").waiting_for is Waiting.QUOTA
    publisher.sql("UPDATE vods SET next_try_at = NULL WHERE twitch_vod_id = '1001'")
    publisher.upload()
    publisher.assert_one_whole_video(path)


def test_our_own_limit_counts_attempts_and_is_named(new_publisher: NewPublisher) -> None:
    publisher = new_publisher(UPLOAD_DAILY_LIMIT="2")
    publisher.log_in()
    for vod_id in ("1001", "1002"):
        publisher.add(vod_id)
    publisher.world.faults.google("invalidTitle", **POST)
    publisher.upload()
    publisher.upload()
    publisher.add("1003")
    publisher.upload()
    assert publisher.vod("1001").stage is Stage.FAILED
    assert publisher.vod("1002").stage is Stage.VERIFYING
    held = publisher.vod("1003")
    assert held.waiting_for is Waiting.QUOTA
    assert "quota" in (held.processing_error or "")
    assert "2 of 2 uploads (UPLOAD_DAILY_LIMIT)" in (held.processing_error or "")
    assert publisher.sessions_opened == 2
    publisher.sql("UPDATE upload_attempts SET quota_day = quota_day - 1")
    publisher.hasten()
    publisher.upload()
    assert publisher.vod("1003").stage is Stage.VERIFYING


def test_later_edits_of_a_vod_change_nothing_in_the_ledger(new_publisher: NewPublisher) -> None:
    publisher = new_publisher(UPLOAD_DAILY_LIMIT="1")
    publisher.log_in()
    publisher.add("1001")
    publisher.publish()
    publisher.sql("UPDATE vods SET title = 'other'")
    publisher.sql("DELETE FROM vods")
    publisher.add("1002")
    publisher.upload()
    assert publisher.vod("1002").waiting_for is Waiting.QUOTA


def test_the_limit_for_old_vods_does_not_hold_new_ones(new_publisher: NewPublisher) -> None:
    publisher = new_publisher(BACKFILL_UPLOAD_DAILY_LIMIT="1")
    publisher.log_in()
    for vod_id, days in (("1001", 20), ("1002", 19), ("1003", 1)):
        publisher.add(vod_id, date=datetime.now(UTC) - timedelta(days=days))
    for _ in range(3):
        publisher.upload()
    stages = {vod_id: publisher.vod(vod_id).stage for vod_id in ("1001", "1002", "1003")}
    assert stages == {
        "1001": Stage.VERIFYING,
        "1002": Stage.DOWNLOADED,
        "1003": Stage.VERIFYING,
    }
    assert "BACKFILL_UPLOAD_DAILY_LIMIT" in (publisher.vod("1002").problem or "")


def test_units_that_anything_else_has_used_count_too(new_publisher: NewPublisher) -> None:
    publisher = new_publisher(YT_QUOTA_UNITS_PER_DAY="3300")
    publisher.log_in()
    for vod_id in ("1001", "1002"):
        publisher.add(vod_id)
    publisher.upload()
    publisher.sql("UPDATE quota_usage SET units = units + 100")
    publisher.upload()
    problem = publisher.vod("1002").problem or ""
    assert "quota" in problem
    assert "YT_QUOTA_UNITS_PER_DAY" in problem
    assert publisher.sessions_opened == 1


def test_a_refused_request_costs_as_much_as_any_other(publisher: Publisher) -> None:
    publisher.add()
    publisher.world.faults.google("invalidTitle", **POST)
    publisher.upload()
    assert publisher.vod().stage is Stage.FAILED
    assert publisher.attempts == 1
    assert publisher.units >= 1600


def test_the_days_uploads_are_spread(new_publisher: NewPublisher) -> None:
    publisher = new_publisher(UPLOAD_SPREAD="1", UPLOAD_DAILY_LIMIT="24")
    publisher.log_in()
    publisher.add("1001")
    publisher.add("1002", date=BEGAN + timedelta(hours=1))
    publisher.world.faults.status(503, **POST)
    publisher.upload()
    publisher.sql("UPDATE vods SET next_try_at = NULL WHERE twitch_vod_id = '1001'")
    publisher.upload()
    assert publisher.vod("1001").stage is Stage.VERIFYING  # its own second try need not wait
    publisher.upload()
    held = publisher.vod("1002")
    assert "UPLOAD_SPREAD" in (held.problem or "")
    assert held.next_try_at is not None
    assert held.next_try_at <= datetime.now(UTC) + timedelta(hours=1)
    publisher.pass_time(timedelta(hours=1))
    publisher.upload()
    assert publisher.vod("1002").stage is Stage.VERIFYING


# --- accounts -----------------------------------------------------------------------------


def test_each_channel_goes_to_its_own_account_with_its_own_quota(
    new_publisher: NewPublisher,
) -> None:
    publisher = new_publisher(
        TWITCH_CHANNELS="alice,bob", YT_CHANNEL_ACCOUNTS="bob=second", UPLOAD_DAILY_LIMIT="1"
    )
    world = publisher.world
    world.google.clients["222-other.apps.googleusercontent.com"] = "secret"
    second = world.google.add_account("second", client_id="222-other.apps.googleusercontent.com")
    publisher.log_in()
    publisher.log_in(second, "second")
    publisher.add("1001", channel="alice")
    publisher.add("1002", channel="bob")
    world.faults.google("quotaExceeded", **POST)
    publisher.upload()
    publisher.upload()
    assert publisher.vod("1001").waiting_for is Waiting.QUOTA
    [video] = world.youtube.videos
    assert video.account is second
    assert publisher.publish("1002").stage is Stage.PUBLISHED


def test_accounts_of_one_project_share_its_day(new_publisher: NewPublisher) -> None:
    publisher = new_publisher(
        TWITCH_CHANNELS="alice,bob", YT_CHANNEL_ACCOUNTS="bob=second", UPLOAD_DAILY_LIMIT="1"
    )
    publisher.log_in()
    publisher.log_in(publisher.world.google.add_account("second"), "second")
    publisher.add("1001", channel="alice")
    publisher.add("1002", channel="bob")
    publisher.upload()
    publisher.upload()
    assert publisher.vod("1002").waiting_for is Waiting.QUOTA
    assert publisher.sessions_opened == 1


def test_without_a_login_vods_wait_and_a_login_sends_them_off(new_publisher: NewPublisher) -> None:
    publisher = new_publisher()
    path = publisher.add()
    publisher.upload()
    vod = publisher.vod()
    assert (vod.stage, vod.waiting_for) == (Stage.DOWNLOADED, Waiting.LOGIN)
    assert "vodtender auth login youtube" in (vod.processing_error or "")
    assert path.exists()
    publisher.log_in()
    assert publisher.upload()
    publisher.assert_one_whole_video(path)


def test_an_upload_goes_on_where_it_was_begun_though_the_channel_has_another_account_now(
    publisher: Publisher,
) -> None:
    path = publisher.add()
    first = publisher.world.account
    publisher.world.faults.status(503, **PUT, skip=1)
    publisher.upload()
    publisher.log_in(publisher.world.google.add_account("second"), "second")
    publisher.restart(YT_CHANNEL_ACCOUNTS="alice=second")
    assert publisher.publish().stage is Stage.PUBLISHED
    assert publisher.assert_one_whole_video(path).account is first
    assert publisher.sessions_opened == 1


def test_a_session_whose_account_is_logged_out_waits_and_says_how_to_begin_anew(
    publisher: Publisher,
) -> None:
    publisher.add()
    publisher.world.faults.status(503, **PUT, skip=1)
    publisher.upload()
    publisher.log_in(publisher.world.google.add_account("second"), "second")
    publisher.sql("DELETE FROM oauth_tokens WHERE account = 'default'")
    publisher.restart(YT_CHANNEL_ACCOUNTS="alice=second")
    publisher.hasten()
    publisher.upload()
    vod = publisher.vod()
    assert (vod.stage, vod.waiting_for) == (Stage.UPLOADING, Waiting.LOGIN)
    assert "vodtender auth login youtube" in (vod.problem or "")
    assert "vodtender resolve 1001 --not-uploaded" in (vod.problem or "")
    assert publisher.sessions_opened == 1


def test_what_is_not_to_be_uploaded_is_not(publisher: Publisher) -> None:
    path = publisher.add()
    publisher.sql("UPDATE vods SET skip_upload = true")
    assert not publisher.upload()
    publisher.sql("UPDATE vods SET skip_upload = false")
    assert publisher.upload()
    publisher.assert_one_whole_video(path)


# --- the file -----------------------------------------------------------------------------


@pytest.mark.parametrize("change", ["deleted", "shortened", "same size, other bytes"])
def test_a_file_that_is_not_what_came_down_is_fetched_again(
    publisher: Publisher, change: str
) -> None:
    path = publisher.add()
    if change == "deleted":
        path.unlink()
    elif change == "shortened":
        os.truncate(path, 1000)
    else:
        path.write_bytes(os.urandom(path.stat().st_size))
    publisher.upload()
    vod = publisher.vod()
    assert (vod.stage, vod.recheck, vod.downloaded_path) == (Stage.QUEUED, True, None)
    assert path.name in (vod.processing_error or "")
    assert "it is fetched again" in (vod.processing_error or "")
    assert (publisher.sessions_opened, publisher.attempts) == (0, 0)


def test_a_disk_that_is_not_there_does_not_pass_for_a_deleted_file(publisher: Publisher) -> None:
    path = publisher.add()
    unmounted = path.parent.rename(path.parent.with_name("unmounted"))
    publisher.upload()
    vod = publisher.vod()
    assert (vod.stage, vod.downloaded_path) == (Stage.DOWNLOADED, str(path))
    assert "is its disk still mounted?" in (vod.processing_error or "")
    unmounted.rename(path.parent)
    publisher.sql("UPDATE vods SET processing_error = NULL")
    assert publisher.upload()
    publisher.assert_one_whole_video(path)


def test_a_file_that_is_gone_after_its_last_byte_was_sent_is_not_fetched_again(
    publisher: Publisher,
) -> None:
    path = publisher.add()
    digest = sha256(path)
    gate = publisher.world.faults.hold_answer(**PUT, skip=LAST)
    with publisher.another_process() as process:
        gate.wait_reached(20)
        process.kill()
    publisher.world.faults.clear()
    path.unlink()
    assert publisher.publish().stage is Stage.PUBLISHED
    [video] = publisher.world.youtube.videos
    assert video.sha256 == digest


def test_another_file_is_never_sent_into_a_session_that_was_begun_with_one(
    publisher: Publisher,
) -> None:
    publisher.add()
    publisher.world.faults.status(503, **PUT, skip=1)
    publisher.upload()
    path = Path(publisher.vod().downloaded_path or "")
    path.write_bytes(os.urandom(path.stat().st_size))
    publisher.sql("UPDATE vods SET file_sha256 = %s", sha256(path))  # it came down anew
    assert publisher.publish().stage is Stage.PUBLISHED
    publisher.assert_one_whole_video(path)
    assert publisher.sessions_opened == 2


def changed_on_the_way(publisher: Publisher, change: Callable[[Path], object]) -> Path:
    path = publisher.add()
    gate = publisher.world.faults.hold_answer(**PUT)
    with publisher.in_background():
        gate.wait_reached()
        change(path)
        gate.release()
    assert publisher.uploads() == []
    return path


def test_a_file_that_changes_while_it_is_sent_is_fetched_again(publisher: Publisher) -> None:
    changed_on_the_way(publisher, lambda path: os.truncate(path, 10))
    publisher.hasten()
    publisher.upload()
    assert publisher.vod().stage is Stage.QUEUED
    assert publisher.world.youtube.videos == []


def test_a_file_that_was_only_touched_is_not(publisher: Publisher) -> None:
    path = changed_on_the_way(publisher, Path.touch)
    assert publisher.publish().stage is Stage.PUBLISHED
    publisher.assert_one_whole_video(path)


# --- nobody knows whether it is there -----------------------------------------------------


def cut_off_after_the_last_byte(publisher: Publisher) -> None:
    """YouTube has the video, and we know it only as an upload that may be complete."""
    publisher.world.faults.lose_answer(**PUT, skip=LAST)
    publisher.upload()
    for session in publisher.world.youtube.sessions:
        session.expire()
    assert publisher.vod().stage is Stage.FINALIZING


def test_a_video_that_shows_late_is_not_uploaded_again(publisher: Publisher) -> None:
    path = publisher.add()
    publisher.world.youtube.listing_lag_calls = 3
    cut_off_after_the_last_byte(publisher)
    looks = 0
    while publisher.vod().stage is Stage.FINALIZING:
        publisher.hasten()
        publisher.upload()
        publisher.verify()
        looks += 1
    assert looks == 4
    assert publisher.publish().stage is Stage.PUBLISHED
    publisher.assert_one_whole_video(path)


def test_absence_counts_only_after_the_wait_and_looks_become_rare(publisher: Publisher) -> None:
    path = publisher.add()
    publisher.world.faults.status(503, **PUT, skip=LAST)
    publisher.upload()
    publisher.world.youtube.expire_sessions()
    pauses = []
    for _ in range(100):
        if publisher.vod().stage is not Stage.FINALIZING:
            break
        assert publisher.sessions_opened == 1
        due = publisher.vod().next_try_at
        assert due is not None
        pause = max(due - datetime.now(UTC), timedelta(0)) + timedelta(milliseconds=1)
        publisher.pass_time(pause)
        pauses.append(pause)
        publisher.verify()
    wait = publisher.place.settings.upload_absence_wait
    about = timedelta(seconds=30)
    assert wait - about < sum(pauses, timedelta()) < wait + about
    assert len(pauses) < 25
    assert publisher.vod().stage is Stage.DOWNLOADED
    assert publisher.publish().stage is Stage.PUBLISHED
    publisher.assert_one_whole_video(path)


def test_the_operator_is_told_how_to_settle_it(publisher: Publisher) -> None:
    publisher.add()
    publisher.world.youtube.listing_lag_calls = 99
    cut_off_after_the_last_byte(publisher)
    publisher.hasten()
    publisher.verify()
    assert "vodtender resolve 1001 --uploaded ID | --not-uploaded" in (
        publisher.vod().processing_error or ""
    )


@pytest.mark.parametrize(
    "lost",
    [
        "UPDATE uploads SET session_uri = NULL",
        "DELETE FROM uploads",
        # An operator who asks for it anew, whatever it waits for:
        "UPDATE vods SET download_state = 'pending'",
        "UPDATE vods SET processed = false",
    ],
)
def test_the_marker_is_found_with_nothing_but_the_row(publisher: Publisher, lost: str) -> None:
    path = publisher.add()
    cut_off_after_the_last_byte(publisher)
    publisher.sql(lost)
    publisher.restart()
    for _ in range(5):
        publisher.hasten()
        publisher.download()
        publisher.upload()
        publisher.verify()
    assert publisher.vod().stage is Stage.PUBLISHED
    publisher.assert_one_whole_video(path)


def test_asking_for_it_anew_does_not_shorten_the_wait(publisher: Publisher) -> None:
    """The session may have become a video that does not show yet."""
    publisher.add()
    publisher.world.youtube.listing_lag_calls = 99
    cut_off_after_the_last_byte(publisher)
    publisher.sql("UPDATE vods SET processed = false")
    for _ in range(5):
        publisher.hasten()
        publisher.download()
        publisher.upload()
        publisher.verify()
    assert publisher.vod().stage is Stage.FINALIZING
    assert publisher.sessions_opened == 1


# --- asked for anew though it is there ----------------------------------------------------


def test_a_published_vod_that_is_asked_for_anew_is_found_on_youtube(publisher: Publisher) -> None:
    path = publisher.add()
    publisher.publish()
    publisher.sql("UPDATE vods SET processed = false")
    publisher.download()
    assert publisher.publish().stage is Stage.PUBLISHED
    publisher.assert_one_whole_video(path)


def test_a_known_video_is_not_sent_again_though_nothing_else_is_known_of_it(
    publisher: Publisher,
) -> None:
    """Its file was fetched again while YouTube could not be asked; it is not listed either."""
    path = publisher.add()
    publisher.publish()
    publisher.world.youtube.listing_hides = {publisher.world.youtube.videos[0].id}
    publisher.sql("DELETE FROM uploads")
    publisher.sql("UPDATE vods SET stage = 'downloaded'")
    assert publisher.publish().stage is Stage.PUBLISHED
    publisher.assert_one_whole_video(path)


def test_an_upload_of_which_the_database_knows_nothing_is_found_and_not_repeated(
    publisher: Publisher,
) -> None:
    """As after the restore of a backup that was made before it."""
    path = publisher.add()
    publisher.publish()
    publisher.sql("DELETE FROM uploads")
    publisher.sql("UPDATE vods SET stage = 'downloaded', video_id = NULL")
    assert publisher.publish().stage is Stage.PUBLISHED
    assert publisher.sessions_opened == 1
    assert publisher.assert_one_whole_video(path).url == publisher.vod().youtube_url


def test_a_forgotten_upload_is_found_behind_a_hundred_newer_ones(publisher: Publisher) -> None:
    publisher.add()
    publisher.publish()
    (video,) = publisher.world.youtube.videos
    for number in range(100):
        later = video.published_at + timedelta(seconds=number + 1)
        newer = replace(video, id=f"newer{number:06}", metadata={}, published_at=later)
        publisher.world.youtube.add(newer)
    publisher.sql("DELETE FROM uploads")
    publisher.sql("UPDATE vods SET stage = 'downloaded', video_id = NULL")
    assert publisher.publish().youtube_url == video.url
    assert publisher.sessions_opened == 1


def test_a_known_video_that_is_gone_is_uploaded_again_after_the_wait(publisher: Publisher) -> None:
    path = publisher.add()
    publisher.publish()
    publisher.world.youtube.videos[0].deleted = True
    publisher.sql("UPDATE vods SET processed = false")
    publisher.download()
    publisher.upload()
    vod = publisher.vod()
    assert (vod.stage, publisher.sessions_opened) == (Stage.DOWNLOADED, 1)
    assert "it is uploaded again if it has not appeared by" in (vod.processing_error or "")
    publisher.pass_time(publisher.place.settings.upload_absence_wait)
    publisher.upload()
    assert publisher.publish().stage is Stage.PUBLISHED
    assert publisher.assert_one_whole_video(path).url == publisher.vod().youtube_url
