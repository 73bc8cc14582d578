"""Which files go to the archive, and what people are told of its price."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.model.a_vod import vod as a_vod
from vodtender.model.archive import (
    TERMS,
    ArchivedFile,
    ArchivePolicy,
    costs,
    judge,
    object_name,
    tiers_of,
    vod_id_of,
    wait_for,
)
from vodtender.model.vod import Stage, Vod

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
DAY = timedelta(days=1)
POLICY = ArchivePolicy(age_days=7)
ALL = replace(POLICY, include_waiting=True)


def vod(stage: Stage = Stage.PUBLISHED, **more: Any) -> Vod:
    """Processed by YouTube, found ten days ago."""
    known: dict[str, Any] = {
        "video_id": "abc" if stage is Stage.PUBLISHED else None,
        "published_at": NOW - DAY if stage is Stage.PUBLISHED else None,
        "created_at": NOW - 10 * DAY,
        "date": NOW - 11 * DAY,
        "file_sha256": "ab" * 32,
        "file_size_bytes": 10,
        "skip_upload": False,
    }
    return a_vod(stage, **(known | more))


def test_what_youtube_has_processed_goes_at_its_age() -> None:
    assert judge(vod(), 0, POLICY, NOW, archived=False).goes
    young = vod(created_at=NOW - 7 * DAY + timedelta(seconds=1))
    verdict = judge(young, 0, POLICY, NOW, archived=False)
    assert (verdict.goes, verdict.why) == (False, "found less than 7 days ago (ARCHIVE_AGE_DAYS)")
    assert judge(vod(created_at=NOW - 7 * DAY), 0, POLICY, NOW, archived=False).goes
    assert judge(vod(created_at=NOW), 0, replace(POLICY, age_days=0), NOW, archived=False).goes


def test_what_was_fetched_back_stays_as_long_again() -> None:
    fetched = vod(downloaded_at=NOW - DAY)
    assert not judge(fetched, 0, POLICY, NOW, archived=True).goes
    assert judge(fetched, 0, POLICY, NOW, archived=False).goes
    assert judge(fetched, 0, POLICY, NOW + 7 * DAY, archived=True).goes


@pytest.mark.parametrize("stage", Stage)
def test_what_is_not_on_youtube_goes_only_when_it_is_wanted_and_nothing_is_under_way(
    stage: Stage,
) -> None:
    one = vod(stage)
    assert judge(one, 0, POLICY, NOW, archived=False).goes == (stage is Stage.PUBLISHED)
    at_rest = stage in (Stage.PUBLISHED, Stage.DOWNLOADED, Stage.FAILED, Stage.SKIPPED)
    assert judge(one, 0, ALL, NOW, archived=False).goes == at_rest


@pytest.mark.parametrize(
    "changes",
    [
        {"worker_id": "somebody"},
        {"file_sha256": None},
        {"file_size_bytes": None},
    ],
)
def test_what_cannot_be_compared_or_is_in_hand_stays(changes: dict[str, Any]) -> None:
    assert not judge(vod(**changes), 0, ALL, NOW, archived=False).goes
    assert not judge(vod(Stage.DOWNLOADED, **changes), 0, ALL, NOW, archived=False).goes


def test_a_published_vod_of_which_youtube_was_not_asked_stays() -> None:
    assert not judge(vod(published_at=None), 0, ALL, NOW, archived=False).goes


def test_what_retention_wants_on_this_disk_stays() -> None:
    assert not judge(vod(), 2, replace(POLICY, keep_count=3), NOW, archived=False).goes
    assert judge(vod(), 3, replace(POLICY, keep_count=3), NOW, archived=False).goes
    verdict = judge(vod(), 0, replace(POLICY, keep_days=11), NOW, archived=False)
    assert (verdict.goes, verdict.why) == (False, "younger than 11 days (RETENTION_KEEP_DAYS)")


def test_a_copy_counts_while_it_is_good_and_of_the_same_file() -> None:
    copy = ArchivedFile(
        vod_id="1001",
        place="s3://b/k",
        directory_id=None,
        storage_class="GLACIER",
        size_bytes=10,
        sha256="ab" * 32,
        crc32=1,
        etag="e",
        archived_at=NOW,
        checked_at=NOW,
    )
    assert copy.is_copy_of(vod())
    assert not replace(copy, problem="lost").is_copy_of(vod())
    assert not copy.is_copy_of(vod(file_sha256="cd" * 32))
    assert not copy.is_copy_of(vod(file_sha256=None))


def test_minimums_and_overheads_are_told() -> None:
    said = " | ".join(costs("GLACIER", [1000] * 100, waiting=2))
    assert "at least 90 days" in said
    assert "40 KB more for each object, 4.1 MB in all" in said
    assert "up to 5 hours" in said
    assert "2 of them will be fetched back" in said
    assert "at least 180 days" in " ".join(costs("DEEP_ARCHIVE", [1]))
    assert "12 hours" in " ".join(costs("DEEP_ARCHIVE", [1]))
    assert "less than 128 KB, 0.1 MB more" in " ".join(costs("STANDARD_IA", [1000]))
    assert "128 KB" not in " ".join(costs("STANDARD_IA", [10**9]))
    assert "at least 365 days" in " ".join(costs("ARCHIVE", [1]))
    assert costs("STANDARD", [1]) == costs("SOMETHING_NEW", [1]) == costs("GLACIER", []) == []


def test_waits_are_those_of_class_and_tier() -> None:
    assert wait_for("GLACIER", "expedited") == timedelta(minutes=5)
    assert wait_for("DEEP_ARCHIVE", "bulk") == timedelta(hours=48)
    assert wait_for("DEEP_ARCHIVE", "expedited") is None
    assert wait_for("STANDARD", "standard") is None
    assert tiers_of("DEEP_ARCHIVE") == ("standard", "bulk")
    assert tiers_of("COLDLINE") == tiers_of("NO_SUCH") == ()
    assert all(terms.minimum_days for terms in TERMS.values())


def test_a_name_that_is_taken_gets_the_checksum() -> None:
    assert object_name("a_1.mp4", "abcdef0123456789", taken=False) == "a_1.mp4"
    assert object_name("a_1.mp4", "abcdef0123456789", taken=True) == "a_1_abcdef012345.mp4"
    assert object_name("a", "abcdef0123456789", taken=True) == "a_abcdef012345"


def test_names_tell_whose_file_it_is() -> None:
    assert vod_id_of("a-title_1001.mp4") == "1001"
    assert vod_id_of(".tmp-a-title_1001_abcdef012345.mp4") == "1001"
    assert vod_id_of("holiday.mp4") is vod_id_of("1001.mp4") is vod_id_of("_1_.mp4") is None
