"""`reprocess`: the whole way again, and never a second video."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.archive import VIDEO, Archive
from vodtender.procedures import reprocess as procedure
from vodtender.procedures.change import Change

URL = f"https://www.youtube.com/watch?v={VIDEO}"


def reprocess(archive: Archive, vod_id: str, *, dry_run: bool = False) -> Change:
    tally = procedure.reprocess(
        archive.database, [vod_id], actor="alice@host", reason="a test", dry_run=dry_run
    )
    tally.raise_failures()
    (change,) = tally.changes
    return change


@pytest.mark.parametrize(
    ("stage", "columns"),
    [
        ("queued", {"problem": "it broke", "next_try_at": datetime(2099, 1, 1, tzinfo=UTC)}),
        ("downloaded", {}),
        ("downloaded", {"problem": "the quota", "problem_code": "quota"}),
        ("downloaded", {"skip_upload": True}),
        ("uploading", {}),
        (
            "finalizing",
            {"problem": "who knows", "uncertain_since": datetime(2026, 1, 1, tzinfo=UTC)},
        ),
        ("verifying", {}),
        ("published", {}),
        ("failed", {"problem": "no"}),
        ("skipped", {"problem": "boring"}),
    ],
)
def test_it_begins_at_the_beginning_after_a_look_at_youtube(
    archive: Archive, stage: str, columns: dict[str, Any]
) -> None:
    archive.add("1", stage, **columns)
    before = archive.get("1")
    assert reprocess(archive, "1").changed
    vod = archive.get("1")
    assert archive.is_queued_for("1") == "downloads"
    assert (vod.recheck, vod.problem, vod.uncertain_since) == (True, None, None)
    assert vod.youtube_url == before.youtube_url
    assert vod.downloaded_path == before.downloaded_path
    assert vod.skip_upload == before.skip_upload


def test_the_address_of_a_published_video_stays(archive: Archive) -> None:
    archive.add("1", "published")
    change = reprocess(archive, "1")
    assert "what they have is not fetched or sent again" in change.note
    assert archive.get("1").youtube_url == URL
    assert archive.get("1").processed is False


@pytest.mark.parametrize("stage", ["uploading", "finalizing", "failed", "skipped"])
def test_an_upload_session_stays_to_be_asked(archive: Archive, stage: str) -> None:
    archive.add("1", stage, problem="who knows")
    session = archive.open_session("1")
    reprocess(archive, "1")
    assert archive.sessions("1") == [session]


@pytest.mark.parametrize(
    ("stage", "says"),
    [("live", "Twitch still records it"), ("queued", "it waits for its download already")],
)
def test_what_has_not_begun_is_left_alone(archive: Archive, stage: str, says: str) -> None:
    archive.add("1", stage)
    before = archive.get("1")
    change = reprocess(archive, "1")
    assert not change.changed
    assert says in change.note
    assert archive.get("1") == before
    assert archive.audit() == []


def test_what_is_coming_down_is_left_alone(archive: Archive) -> None:
    archive.add("1")
    claim = archive.claim("1")
    assert not reprocess(archive, "1").changed
    assert archive.get("1").claim == claim.number


def test_what_is_being_cancelled_is_taken_up_again(archive: Archive) -> None:
    archive.add("1")
    claim = archive.claim("1")
    archive.set("1", cancel_reason="a mistake")
    assert reprocess(archive, "1").changed
    vod = archive.get("1")
    assert (vod.cancel_reason, vod.worker_id) == (None, None)
    assert vod.claim > claim.number
    assert archive.is_queued_for("1") == "downloads"


def test_a_worker_that_has_it_in_hand_loses_it(archive: Archive) -> None:
    archive.add("1", "uploading")
    session = archive.open_session("1")
    claim = archive.claim("1")
    reprocess(archive, "1")
    vod = archive.get("1")
    assert vod.worker_id is None
    assert vod.claim > claim.number
    assert archive.sessions("1") == [session]


def test_a_download_whose_worker_has_died_begins_anew(archive: Archive) -> None:
    archive.add("1")
    archive.claim("1", lease_seconds=-1)
    assert reprocess(archive, "1").changed
    assert archive.is_queued_for("1") == "downloads"


def test_twice_is_once_and_the_audit_says_so(archive: Archive) -> None:
    archive.add("1", "published")
    reprocess(archive, "1")
    assert not reprocess(archive, "1").changed
    (line,) = archive.audit()
    assert (line.actor, line.action, line.reason) == ("alice@host", "reprocess", "a test")
    assert (line.before["state"], line.after["state"]) == ("published", "queued")


def test_a_dry_run_changes_nothing(archive: Archive) -> None:
    archive.add("1", "published")
    before = archive.get("1")
    change = reprocess(archive, "1", dry_run=True)
    assert (change.before["state"], change.after["state"]) == ("published", "queued")
    assert archive.get("1") == before


def test_since_finds_what_was_entered_lately_whatever_became_of_it(archive: Archive) -> None:
    """As the runbook's statement does: by `created_at`."""
    archive.add("1", "published")
    archive.set("1", created_at=datetime(2026, 1, 1, tzinfo=UTC))
    archive.add("2", "published")
    archive.add("3", "failed", problem="no")
    since = datetime.now(UTC) - timedelta(hours=24)
    assert procedure.found_since(archive.database, since) == ["2", "3"]
