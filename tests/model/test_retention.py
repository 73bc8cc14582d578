"""Which local files may go: never the only copy, whatever anybody has set."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vodtender.model.retention import RetentionPolicy, judge, judge_by_age
from vodtender.model.vod import Stage, Vod

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
DAY = timedelta(days=1)
EAGER = RetentionPolicy(autoclean=True, keep_newer_than_days=0, keep_days=None, keep_count=None)

_EMPTY: dict[str, Any] = {
    "int": 0,
    "str": "",
    "bool": False,
    "datetime": NOW - 100 * DAY,
    "tuple[str, ...]": (),
    "Stage": Stage.QUEUED,
}


def vod(**values: Any) -> Vod:
    """On YouTube and processed, its file here for fifty days, its stream a hundred days old."""
    empty: dict[str, Any] = {f.name: _EMPTY.get(str(f.type)) for f in fields(Vod)}
    published: dict[str, Any] = {
        "stage": Stage.PUBLISHED,
        "video_id": "abc",
        "published_at": NOW - 40 * DAY,
        "date": NOW - 100 * DAY,
        "downloaded_at": NOW - 50 * DAY,
        "downloaded_path": "/data/x_1.mp4",
        "file_size_bytes": 10,
    }
    return Vod(**(empty | published | values))


def may_go(one: Vod) -> bool:
    """Promise 3, said another way than the code says it."""
    return (
        one.stage == "published"
        and one.video_id is not None
        and one.published_at is not None
        and one.worker_id is None
    )


days = st.integers(0, 200)
moments = st.integers(0, 200 * 86400).map(lambda seconds: NOW - timedelta(seconds=seconds))
vods = st.builds(
    vod,
    stage=st.sampled_from(Stage) | st.just(Stage.PUBLISHED),
    video_id=st.none() | st.just("abc"),
    published_at=st.none() | moments,
    worker_id=st.none() | st.just("w"),
    skip_upload=st.booleans(),
    recheck=st.booleans(),
    problem=st.none() | st.just("quota"),
    date=st.none() | moments,
    created_at=moments,
    downloaded_at=st.none() | moments,
)
policies = st.builds(
    RetentionPolicy,
    autoclean=st.booleans(),
    keep_newer_than_days=days | st.integers(0, 10**18),
    keep_days=st.none() | days | st.integers(1, 10**18),
    keep_count=st.none() | st.integers(1, 50),
)


@given(one=vods, policy=policies, rank=st.integers(0, 60))
def test_a_file_goes_exactly_when_it_is_not_the_only_copy_and_every_setting_lets_it(
    one: Vod, policy: RetentionPolicy, rank: int
) -> None:
    verdict = judge(one, rank, policy, NOW)
    age_days = (NOW - (one.date or one.created_at)) / DAY
    wanted = (
        not policy.autoclean
        or age_days <= policy.keep_newer_than_days
        or (policy.keep_days is not None and age_days <= policy.keep_days)
        or (policy.keep_count is not None and rank < policy.keep_count)
    )
    assert verdict.goes == (may_go(one) and not wanted)
    assert verdict.why


@given(
    one=vods,
    policy=policies,
    wait=st.none() | st.integers(1, 60),
    archived=st.booleans(),
)
def test_an_archive_takes_a_file_first_or_has_had_its_time(
    one: Vod, policy: RetentionPolicy, wait: int | None, archived: bool
) -> None:
    with_archive = replace(policy, archives=True, archive_wait_days=wait)
    goes = judge(one, 99, with_archive, NOW, archived=archived).goes
    assert goes <= judge(one, 99, policy, NOW).goes
    if goes and not archived:
        assert wait is not None
        assert (NOW - one.created_at) / DAY > wait


def test_waiting_for_the_archive_is_said_with_the_setting_that_ends_it() -> None:
    policy = replace(EAGER, archives=True, archive_wait_days=30)
    verdict = judge(vod(created_at=NOW - 29 * DAY), 0, policy, NOW)
    why = "the archive is to take it before it is 30 days old (ARCHIVE_WAIT_DAYS)"
    assert (verdict.goes, verdict.why) == (False, why)
    assert judge(vod(created_at=NOW - 31 * DAY), 0, policy, NOW).goes
    never = judge(vod(), 0, replace(policy, archive_wait_days=None), NOW)
    assert (never.goes, never.why) == (False, "the archive is to take it")


def test_what_was_fetched_back_stays_a_while_and_then_goes_without_being_archived_again() -> None:
    policy = replace(EAGER, archives=True, keep_newer_than_days=7)
    assert not judge(vod(downloaded_at=NOW - 6 * DAY), 0, policy, NOW, archived=True).goes
    assert judge(vod(downloaded_at=NOW - 8 * DAY), 0, policy, NOW, archived=True).goes


def test_by_age_what_the_archive_has_may_go_though_it_is_not_on_youtube() -> None:
    waiting = vod(stage=Stage.DOWNLOADED, video_id=None, published_at=None)
    assert not judge_by_age(waiting, DAY, NOW).goes
    assert judge_by_age(waiting, DAY, NOW, archived=True).goes
    assert not judge(waiting, 0, EAGER, NOW, archived=True).goes
    in_hand = replace(waiting, worker_id="w")
    assert not judge_by_age(in_hand, DAY, NOW, archived=True).goes


@given(one=vods, older_than=st.timedeltas(timedelta(0), 300 * DAY))
def test_by_age_a_file_goes_exactly_when_it_is_not_the_only_copy_and_older(
    one: Vod, older_than: timedelta
) -> None:
    verdict = judge_by_age(one, older_than, NOW)
    is_older = NOW - (one.downloaded_at or one.created_at) > older_than
    assert verdict.goes == (may_go(one) and is_older)
    assert verdict.why


@given(one=vods, policy=policies, rank=st.integers(0, 60), later=st.timedeltas(timedelta(0)))
def test_what_may_go_today_may_go_tomorrow(
    one: Vod, policy: RetentionPolicy, rank: int, later: timedelta
) -> None:
    if judge(one, rank, policy, NOW).goes:
        assert judge(one, rank + 1, policy, NOW + min(later, 1000 * DAY)).goes


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"stage": Stage.DOWNLOADED}, "it is not on YouTube yet: the only copy"),
        ({"stage": Stage.UPLOADING}, "it is not on YouTube yet: the only copy"),
        ({"stage": Stage.FINALIZING}, "it is not on YouTube yet: the only copy"),
        ({"stage": Stage.FAILED, "video_id": None}, "it is not on YouTube yet: the only copy"),
        ({"stage": Stage.VERIFYING}, "YouTube has not finished processing it"),
        (
            {"stage": Stage.DOWNLOADED, "skip_upload": True, "video_id": None},
            "it is not uploaded (--skip-upload): the only copy",
        ),
        ({"worker_id": "somebody"}, "it is being worked on"),
        ({"video_id": None}, "it is not on YouTube yet: the only copy"),
        ({"published_at": None}, "YouTube was not asked whether the video is whole"),
    ],
)
def test_the_only_copy_stays_and_the_reason_is_said(changes: dict[str, Any], why: str) -> None:
    for verdict in (
        judge(vod(**changes), 99, EAGER, NOW),
        judge_by_age(vod(**changes), timedelta(0), NOW),
    ):
        assert (verdict.goes, verdict.why) == (False, why)


@pytest.mark.parametrize(
    ("changes", "rank", "why"),
    [
        ({"autoclean": False}, 99, "BACKFILL_AUTOCLEAN is off"),
        ({"keep_newer_than_days": 101}, 99, "younger than 101 days (RETAIN_KEEP_NEWER_THAN_DAYS)"),
        ({"keep_days": 101}, 99, "younger than 101 days (RETENTION_KEEP_DAYS)"),
        ({"keep_count": 3}, 2, "one of the newest 3 (RETENTION_KEEP_COUNT)"),
    ],
)
def test_the_setting_that_keeps_a_file_is_named(
    changes: dict[str, Any], rank: int, why: str
) -> None:
    verdict = judge(vod(), rank, replace(EAGER, **changes), NOW)
    assert (verdict.goes, verdict.why) == (False, why)


def test_the_newest_few_stay_and_the_next_goes() -> None:
    policy = replace(EAGER, keep_count=3)
    assert [judge(vod(), rank, policy, NOW).goes for rank in range(5)] == [
        False,
        False,
        False,
        True,
        True,
    ]


def test_ages_count_from_the_stream_and_without_its_date_from_the_row() -> None:
    policy = replace(EAGER, keep_newer_than_days=60)
    assert judge(vod(date=NOW - 61 * DAY, created_at=NOW), 0, policy, NOW).goes
    assert not judge(vod(date=None, created_at=NOW), 0, policy, NOW).goes
