"""`retry`: what has failed or is held goes on now, and nothing else changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.archive import VIDEO, Archive
from vodtender.errors import NotFound, PartlyDone, Refused
from vodtender.procedures import retry as procedure
from vodtender.procedures.vod_change import Tally

LATER = datetime(2099, 1, 1, tzinfo=UTC)
WAITING: dict[str, Any] = {
    "problem": "it broke",
    "problem_code": "network",
    "next_try_at": LATER,
    "waiting_for": "cooldown",
}


def retry(
    archive: Archive, *vod_ids: str, allow_gaps: bool = False, dry_run: bool = False
) -> Tally:
    return procedure.retry(
        archive.database,
        vod_ids,
        allow_gaps=allow_gaps,
        actor="alice@host",
        reason="a test",
        dry_run=dry_run,
    )


def only_note(tally: Tally) -> str:
    (change,) = tally.changes
    assert not change.changed
    return change.note


@pytest.mark.parametrize(
    ("stage", "lane"),
    [
        ("queued", "downloads"),
        ("downloaded", "uploads"),
        ("uploading", "uploads"),
        ("finalizing", "checks"),
        ("verifying", "checks"),
    ],
)
def test_what_waits_after_a_failure_goes_on_at_once_from_where_it_was(
    archive: Archive, stage: str, lane: str
) -> None:
    archive.add("1", stage, **WAITING, download_attempts=3, upload_attempts=4)
    assert archive.is_queued_for("1") is None
    (change,) = retry(archive, "1").changes
    vod = archive.get("1")
    assert change.changed
    assert change.before["processing_error"] == "it broke"
    assert change.after["processing_error"] is None
    assert (vod.stage, vod.problem, vod.processing_error) == (stage, None, None)
    assert (vod.download_attempts, vod.upload_attempts) == (0, 0)
    assert archive.is_queued_for("1") == lane


@pytest.mark.parametrize(
    ("columns", "stage"),
    [
        ({}, "queued"),
        ({"downloaded_path": "/data/x.mp4", "directory_id": "d"}, "downloaded"),
        ({"video_id": VIDEO}, "verifying"),
    ],
)
def test_what_failed_for_good_goes_on_with_what_there_is_of_it(
    archive: Archive, columns: dict[str, Any], stage: str
) -> None:
    archive.add("1", "failed", problem="no", problem_code="subscriber_only", **columns)
    retry(archive, "1")
    vod = archive.get("1")
    assert (vod.stage, vod.problem, vod.recheck) == (stage, None, True)
    assert vod.video_id == columns.get("video_id")


@pytest.mark.parametrize("stage", ["uploading", "finalizing", "failed"])
def test_an_upload_session_outlives_a_retry(archive: Archive, stage: str) -> None:
    """Without it nobody could ask YouTube what became of the upload, and it would be sent again."""
    archive.add("1", stage, **WAITING, downloaded_path="/data/x.mp4", directory_id="d")
    session = archive.open_session("1")
    retry(archive, "1")
    assert archive.sessions("1") == [session]
    assert archive.stage("1") == ("downloaded" if stage == "failed" else stage)


def test_a_finalizing_vod_is_asked_about_and_not_uploaded_again(archive: Archive) -> None:
    since = datetime(2026, 3, 1, tzinfo=UTC)
    archive.add("1", "finalizing", **WAITING, uncertain_since=since)
    (change,) = retry(archive, "1").changes
    assert archive.stage("1") == "finalizing"
    assert archive.get("1").uncertain_since == since
    assert change.note == "YouTube is asked again now; nothing is sent twice"


def test_a_vod_that_is_being_worked_on_is_left_alone(archive: Archive) -> None:
    archive.add("1", problem="it broke", problem_code="network")
    claim = archive.claim("1")
    note = only_note(retry(archive, "1"))
    assert note == "worked on at this moment (downloading)"
    vod = archive.get("1")
    assert (vod.worker_id, vod.claim) == ("worker-1", claim.number)


@pytest.mark.parametrize(
    ("stage", "says"),
    [
        ("live", "Twitch still records it"),
        ("queued", "it goes on when its turn comes"),
        ("downloaded", "it goes on when its turn comes"),
        ("uploading", "it goes on when its turn comes"),
        ("finalizing", "YouTube is being asked"),
        ("verifying", "YouTube is processing it"),
        ("published", f"it is on YouTube: https://www.youtube.com/watch?v={VIDEO}"),
    ],
)
def test_nothing_to_do_is_said_with_the_cause_and_leaves_no_trace(
    archive: Archive, stage: str, says: str
) -> None:
    archive.add("1", stage)
    before = archive.get("1")
    assert says in only_note(retry(archive, "1"))
    assert archive.get("1") == before
    assert archive.audit() == []


@pytest.mark.parametrize("stage", ["downloaded", "uploading"])
def test_what_is_kept_on_purpose_says_how_it_would_be_uploaded(
    archive: Archive, stage: str
) -> None:
    archive.add("1", stage, skip_upload=True)
    assert "vodtender add 1 --upload" in only_note(retry(archive, "1"))


def test_a_skipped_vod_is_refused_and_the_hint_names_the_command_that_takes_it_up(
    archive: Archive,
) -> None:
    archive.add("1", "skipped", problem="boring")
    with pytest.raises(Refused, match="was skipped: boring") as caught:
        retry(archive, "1").raise_failures()
    assert "vodtender reprocess 1" in caught.value.hint


def test_twice_is_once(archive: Archive) -> None:
    archive.add("1", **WAITING)
    retry(archive, "1")
    assert (
        only_note(retry(archive, "1"))
        == "nothing holds it (queued); it goes on when its turn comes"
    )
    assert len(archive.audit()) == 1


def test_the_audit_and_the_history_name_who_why_and_what(archive: Archive) -> None:
    from vodtender.store import vods

    archive.add("1", **WAITING)
    retry(archive, "1")
    (line,) = archive.audit()
    assert (line.actor, line.action, line.target) == ("alice@host", "retry", "1")
    assert line.reason == "a test"
    assert line.before == {
        "state": "retrying",
        "processing_error": "it broke",
        "next_try_at": "2099-01-01T00:00:00Z",
    }
    assert line.after == {"state": "queued", "processing_error": None, "next_try_at": None}
    with archive.connection() as connection:
        last = vods.history(connection, archive.get("1"))[-1]
    assert (last.actor, last.to_stage, last.detail) == ("alice@host", "queued", None)


def test_a_dry_run_shows_what_would_be_and_changes_nothing(archive: Archive) -> None:
    archive.add("1", "failed", problem="no", problem_code="x")
    archive.hold_account()
    before = archive.get("1")
    (change,) = retry(archive, "1", dry_run=True).changes
    assert (change.before["state"], change.after["state"]) == ("failed", "queued")
    assert archive.get("1") == before
    assert archive.audit() == []


def test_unknown_vods_are_all_named(archive: Archive) -> None:
    with pytest.raises(NotFound, match=r"no VOD 8 .*\n.*no VOD 9 "):
        retry(archive, "8", "9").raise_failures()


def test_the_good_ones_are_done_where_others_cannot_be(archive: Archive) -> None:
    archive.add("1", **WAITING)
    archive.add("2", "skipped", problem="boring")
    tally = retry(archive, "1", "2", "9", "1")
    assert [change.target for change in tally.changes] == ["1"]
    assert archive.stage("1") == "queued"
    with pytest.raises(PartlyDone) as caught:
        tally.raise_failures()
    assert "Of 3 VODs, these were not done:\nVOD 2 was skipped" in caught.value.message
    assert "There is no VOD 9" in caught.value.message


class TestFailed:
    def failed(self, archive: Archive, **more: Any) -> list[str]:
        tally = procedure.retry_failed(
            archive.database, actor="alice", reason=None, dry_run=False, **more
        )
        tally.raise_failures()
        return [change.target for change in tally.changes]

    def test_all_that_have_failed_for_good_or_for_the_moment(self, archive: Archive) -> None:
        archive.add("1", "failed", problem="no", problem_code="x")
        archive.add("2", **WAITING)
        archive.add("3", "uploading", **WAITING)
        archive.add("4", "queued")
        archive.add("5", "skipped", problem="boring")
        archive.add("6", "downloaded", **(WAITING | {"problem_code": "quota"}))
        archive.add("7", problem="it broke")
        archive.claim("7")
        assert self.failed(archive) == ["3", "2", "1"]
        assert archive.get("6").problem_code == "quota"
        assert archive.get("7").worker_id == "worker-1"
        assert self.failed(archive) == []

    def test_only_those_that_failed_since(self, archive: Archive) -> None:
        archive.add("1", "failed", problem="old")
        archive.set("1", updated_at=datetime(2026, 1, 1, tzinfo=UTC))
        archive.add("2", "failed", problem="new")
        assert self.failed(archive, since=datetime.now(UTC) - timedelta(hours=24)) == ["2"]

    def test_gaps_are_allowed_only_where_gaps_are_the_trouble(self, archive: Archive) -> None:
        archive.add("1", "failed", problem="holes", problem_code="segments_gone")
        archive.add("2", "failed", problem="else", problem_code="subscriber_only")
        assert self.failed(archive, allow_gaps=True) == ["1"]
        assert archive.get("1").allow_gaps
        assert not archive.get("2").allow_gaps
        assert archive.stage("2") == "failed"


class TestGaps:
    def test_a_vod_that_failed_for_its_gaps_may_have_them(self, archive: Archive) -> None:
        archive.add("1", "failed", problem="holes", problem_code="segments_gone")
        (change,) = retry(archive, "1", allow_gaps=True).changes
        assert (change.before["allow_gaps"], change.after["allow_gaps"]) == (False, True)
        assert archive.get("1").allow_gaps
        assert archive.is_queued_for("1") == "downloads"

    def test_one_that_waits_already_is_only_allowed_them(self, archive: Archive) -> None:
        archive.add("1")
        (change,) = retry(archive, "1", allow_gaps=True).changes
        assert change.changed
        assert archive.get("1").allow_gaps

    def test_one_that_has_come_down_whole_does_not_get_them(self, archive: Archive) -> None:
        archive.add("1", "published")
        only_note(retry(archive, "1", allow_gaps=True))
        assert not archive.get("1").allow_gaps


class TestQuota:
    QUOTA: dict[str, Any] = WAITING | {
        "problem": "today's upload quota is used up",
        "problem_code": "quota",
        "waiting_for": "quota",
    }

    def test_one_held_upload_takes_the_accounts_hold_with_it(self, archive: Archive) -> None:
        archive.add("1", "downloaded", **self.QUOTA)
        archive.hold_account()
        retry(archive, "1")
        assert archive.held_accounts() == []
        assert archive.is_queued_for("1") == "uploads"

    def test_all_held_uploads_and_accounts_at_once(self, archive: Archive) -> None:
        archive.add("1", "downloaded", **self.QUOTA)
        archive.add("2", "uploading", **self.QUOTA)
        archive.add("3", "downloaded", **WAITING)
        archive.hold_account("default")
        archive.hold_account("second")
        tally = procedure.retry_quota(archive.database, actor="alice", reason=None, dry_run=False)
        assert [change.target for change in tally.changes] == [
            "YouTube account default",
            "YouTube account second",
            "1",
            "2",
        ]
        assert archive.held_accounts() == []
        assert archive.is_queued_for("1") == archive.is_queued_for("2") == "uploads"
        assert archive.is_queued_for("3") is None
        assert [line.target for line in archive.audit()] == [c.target for c in tally.changes]
        again = procedure.retry_quota(archive.database, actor="alice", reason=None, dry_run=False)
        assert again.changes == ()

    def test_a_dry_run_holds_on(self, archive: Archive) -> None:
        archive.add("1", "downloaded", **self.QUOTA)
        archive.hold_account()
        tally = procedure.retry_quota(archive.database, actor="alice", reason=None, dry_run=True)
        assert len(tally.changes) == 2
        assert archive.held_accounts() == ["default"]
        assert archive.get("1").problem_code == "quota"
