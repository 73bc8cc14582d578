"""`resolve`: the operator's word on an upload of which nobody knows whether it took effect."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.archive import VIDEO, Archive
from vodtender.errors import NotFound, Refused
from vodtender.procedures import resolve as procedure
from vodtender.procedures.change import Change

OTHER = "0123456789_"
UNCERTAIN: dict[str, Any] = {
    "problem": "the upload may have taken effect",
    "problem_code": "uncertain",
    "uncertain_since": datetime(2026, 1, 1, tzinfo=UTC),
    "next_try_at": datetime(2099, 1, 1, tzinfo=UTC),
    "waiting_for": "absence",
}


def uploaded(
    archive: Archive, vod_id: str = "1", video_id: str = VIDEO, *, dry_run: bool = False
) -> Change:
    return procedure.uploaded(
        archive.database, vod_id, video_id, actor="alice@host", reason="seen", dry_run=dry_run
    )


def not_uploaded(archive: Archive, vod_id: str = "1", *, dry_run: bool = False) -> Change:
    return procedure.not_uploaded(
        archive.database, vod_id, actor="alice@host", reason="looked", dry_run=dry_run
    )


class TestUploaded:
    @pytest.mark.parametrize(
        ("stage", "columns"),
        [
            ("finalizing", UNCERTAIN),
            ("queued", {}),
            ("queued", {"problem": "it broke"}),
            ("downloaded", {}),
            ("downloaded", {"problem": "the quota", "problem_code": "quota"}),
            ("downloaded", {"skip_upload": True}),
            ("uploading", {}),
            ("failed", {"problem": "no"}),
            ("failed", {"problem": "no", "video_id": VIDEO}),
            ("skipped", {"problem": "boring"}),
            ("skipped", {"problem": "boring", "video_id": VIDEO}),
            ("verifying", {"video_id": OTHER}),
        ],
    )
    def test_the_video_is_the_vods_and_youtube_is_asked_about_it(
        self, archive: Archive, stage: str, columns: dict[str, Any]
    ) -> None:
        archive.add("1", stage, **columns)
        change = uploaded(archive)
        vod = archive.get("1")
        assert change.changed
        assert (vod.stage, vod.video_id, vod.problem) == ("verifying", VIDEO, None)
        assert vod.youtube_url == f"https://www.youtube.com/watch?v={VIDEO}"
        assert (vod.next_try_at, vod.uncertain_since) == (None, None)
        assert vod.published_at is None

    def test_its_session_is_settled_with_it(self, archive: Archive) -> None:
        archive.add("1", "finalizing", **UNCERTAIN)
        archive.open_session("1")
        uploaded(archive)
        (upload,) = archive.sessions("1")
        assert (upload.video_id, upload.session_uri) == (VIDEO, None)

    def test_a_wrong_word_can_be_taken_back_until_youtube_has_confirmed_it(
        self, archive: Archive
    ) -> None:
        archive.add("1", "finalizing", **UNCERTAIN)
        archive.open_session("1")
        uploaded(archive, video_id=OTHER)
        uploaded(archive)
        assert archive.get("1").video_id == VIDEO
        assert [upload.video_id for upload in archive.sessions("1")] == [VIDEO]

    def test_of_an_upload_in_parts_it_is_the_part_that_was_open(self, archive: Archive) -> None:
        """Else a VOD of which only one part is on YouTube would count as done."""
        archive.add("1", "finalizing", **UNCERTAIN)
        archive.open_session("1", part=1, parts=3, video_id=OTHER, session_uri=None)
        archive.open_session("1", part=2, parts=3)
        change = uploaded(archive)
        vod = archive.get("1")
        assert change.note == "part 2 of 3 is settled; the others follow"
        assert [upload.video_id for upload in archive.sessions("1")] == [OTHER, VIDEO]
        assert (vod.stage, vod.video_id, vod.problem) == ("finalizing", None, None)
        assert archive.is_queued_for("1") == "checks"
        again = uploaded(archive)
        assert not again.changed
        assert "none of its parts is open" in again.note

    def test_parts_that_were_begun_do_not_count_where_the_whole_is_elsewhere(
        self, archive: Archive
    ) -> None:
        archive.add("1", "uploading")
        archive.open_session("1", part=1, parts=2, video_id=OTHER, session_uri=None)
        archive.open_session("1", part=2, parts=2)
        uploaded(archive)
        assert archive.sessions("1") == []
        assert archive.get("1").video_id == VIDEO

    @pytest.mark.parametrize("stage", ["verifying", "published"])
    def test_what_is_known_already_is_left_alone(self, archive: Archive, stage: str) -> None:
        archive.add("1", stage)
        before = archive.get("1")
        assert not uploaded(archive).changed
        assert archive.get("1") == before
        assert archive.audit() == []

    @pytest.mark.parametrize(
        ("stage", "columns", "message", "hint"),
        [
            ("published", {"video_id": OTHER}, "has confirmed that", "vodtender vods show 1"),
            ("live", {}, "still being recorded", "vodtender skip 1"),
        ],
    )
    def test_what_makes_no_sense_is_refused(
        self, archive: Archive, stage: str, columns: dict[str, Any], message: str, hint: str
    ) -> None:
        archive.add("1", stage, **columns)
        before = archive.get("1")
        with pytest.raises(Refused, match=message) as caught:
            uploaded(archive)
        assert caught.value.hint == hint
        assert archive.get("1") == before

    def test_what_is_being_sent_is_refused_since_it_may_become_a_second_video(
        self, archive: Archive
    ) -> None:
        archive.add("1", "uploading")
        archive.claim("1")
        with pytest.raises(Refused, match="being sent to YouTube at this moment") as caught:
            uploaded(archive)
        assert "vodtender cancel 1" in caught.value.hint

    def test_whoever_only_asks_youtube_about_it_loses_it(self, archive: Archive) -> None:
        archive.add("1", "finalizing")
        claim = archive.claim("1")
        uploaded(archive)
        vod = archive.get("1")
        assert vod.worker_id is None
        assert vod.claim > claim.number

    def test_no_account_is_released_by_it(self, archive: Archive) -> None:
        archive.add("1", "downloaded", problem="the quota", problem_code="quota")
        archive.hold_account()
        uploaded(archive)
        assert archive.held_accounts() == ["default"]


class TestNotUploaded:
    @pytest.mark.parametrize("stage", ["finalizing", "uploading", "failed"])
    def test_it_is_uploaded_anew_with_a_session_of_its_own(
        self, archive: Archive, stage: str
    ) -> None:
        archive.add("1", stage, **UNCERTAIN, downloaded_path="/data/x.mp4", directory_id="d")
        archive.open_session("1")
        change = not_uploaded(archive)
        vod = archive.get("1")
        assert change.note == "YouTube is looked through once more before anything is sent"
        assert (vod.stage, vod.problem, vod.uncertain_since) == ("downloaded", None, None)
        assert archive.is_queued_for("1") == "uploads"
        assert archive.sessions("1") == []

    def test_without_a_file_it_is_fetched_first(self, archive: Archive) -> None:
        archive.add("1", "finalizing", **UNCERTAIN, downloaded_path=None)
        not_uploaded(archive)
        assert archive.is_queued_for("1") == "downloads"

    @pytest.mark.parametrize("stage", ["verifying", "downloaded", "uploading"])
    def test_a_video_that_youtube_no_longer_shows_counts_no_more(
        self, archive: Archive, stage: str
    ) -> None:
        archive.add("1", stage, video_id=VIDEO, missing_since=datetime(2026, 1, 1, tzinfo=UTC))
        archive.open_session("1", video_id=VIDEO, session_uri=None)
        not_uploaded(archive)
        vod = archive.get("1")
        assert (vod.stage, vod.video_id, vod.youtube_url) == ("downloaded", None, None)
        assert vod.missing_since is None
        assert archive.sessions("1") == []

    def test_parts_that_are_on_youtube_stay(self, archive: Archive) -> None:
        archive.add("1", "finalizing", **UNCERTAIN)
        archive.open_session("1", part=1, parts=2, video_id=OTHER, session_uri=None)
        archive.open_session("1", part=2, parts=2)
        not_uploaded(archive)
        assert [(one.part, one.video_id) for one in archive.sessions("1")] == [(1, OTHER)]

    def test_whoever_only_asks_youtube_about_it_loses_it(self, archive: Archive) -> None:
        archive.add("1", "finalizing")
        claim = archive.claim("1")
        not_uploaded(archive)
        vod = archive.get("1")
        assert vod.worker_id is None
        assert vod.claim > claim.number
        assert archive.is_queued_for("1") == "uploads"

    @pytest.mark.parametrize("stage", ["live", "queued", "downloaded"])
    def test_what_will_be_uploaded_anyway_is_left_alone(self, archive: Archive, stage: str) -> None:
        archive.add("1", stage)
        before = archive.get("1")
        change = not_uploaded(archive)
        assert not change.changed
        assert change.note == "it has not been uploaded, and will be"
        assert archive.get("1") == before
        assert archive.audit() == []

    def test_twice_is_once(self, archive: Archive) -> None:
        archive.add("1", "finalizing", **UNCERTAIN)
        archive.open_session("1")
        not_uploaded(archive)
        assert not not_uploaded(archive).changed
        assert len(archive.audit()) == 1

    @pytest.mark.parametrize(
        ("stage", "message", "hint"),
        [
            ("published", "YouTube has confirmed that", "vodtender reprocess 1"),
            ("verifying", "being asked whether it is processed", "resolve 1 --uploaded ID"),
            ("skipped", "was skipped: no", "vodtender reprocess 1"),
            ("failed", "there is no upload to settle: no", "vodtender retry 1"),
        ],
    )
    def test_what_makes_no_sense_is_refused(
        self, archive: Archive, stage: str, message: str, hint: str
    ) -> None:
        archive.add("1", stage, problem="no")
        before = archive.get("1")
        with pytest.raises(Refused, match=message) as caught:
            not_uploaded(archive)
        assert hint in caught.value.hint
        assert archive.get("1") == before

    def test_what_is_being_sent_is_refused(self, archive: Archive) -> None:
        archive.add("1", "uploading")
        session = archive.open_session("1")
        archive.claim("1")
        with pytest.raises(Refused, match="being sent to YouTube at this moment"):
            not_uploaded(archive)
        assert archive.sessions("1") == [session]


def test_the_audit_names_who_and_why(archive: Archive) -> None:
    archive.add("1", "finalizing", **UNCERTAIN)
    uploaded(archive)
    (line,) = archive.audit()
    assert (line.actor, line.action, line.target, line.reason) == (
        "alice@host",
        "resolve",
        "1",
        "seen",
    )
    assert line.after["youtube_url"] == f"https://www.youtube.com/watch?v={VIDEO}"


def test_a_dry_run_changes_nothing(archive: Archive) -> None:
    archive.add("1", "finalizing", **UNCERTAIN)
    session = archive.open_session("1")
    before = archive.get("1")
    assert uploaded(archive, dry_run=True).after["state"] == "verifying"
    assert not_uploaded(archive, dry_run=True).after["state"] == "downloaded"
    assert archive.get("1") == before
    assert archive.sessions("1") == [session]
    assert archive.audit() == []


def test_an_unknown_vod_is_not_found(archive: Archive) -> None:
    with pytest.raises(NotFound, match="There is no VOD 9"):
        uploaded(archive, "9")
    with pytest.raises(NotFound, match="There is no VOD 9"):
        not_uploaded(archive, "9")
