"""Which local files may go, and why the others stay.

A file goes only when YouTube has processed the video; the settings say when it is wanted no
longer on top of that.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from vodtender.model.vod import Stage, Vod

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """The settings. Ages count from the beginning of the stream; `keep_count` are the newest
    of each channel."""

    autoclean: bool
    keep_newer_than_days: int
    keep_days: int | None
    keep_count: int | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """`goes` or stays, and why in words."""

    goes: bool
    why: str


def judge(vod: Vod, rank: int, policy: RetentionPolicy, now: datetime) -> Verdict:
    """`rank` is the VOD's place among the files of its channel, 0 for the newest."""
    unsafe = why_only_copy(vod)
    if unsafe is not None:
        return Verdict(False, unsafe)
    if not policy.autoclean:
        return Verdict(False, "BACKFILL_AUTOCLEAN is off")
    age = now - (vod.date or vod.created_at)
    if policy.keep_count is not None and rank < policy.keep_count:
        return Verdict(False, f"one of the newest {policy.keep_count} (RETENTION_KEEP_COUNT)")
    days = max(policy.keep_newer_than_days, policy.keep_days or 0)
    if age / _DAY <= days:
        name = (
            "RETENTION_KEEP_DAYS"
            if days == policy.keep_days and days != policy.keep_newer_than_days
            else "RETAIN_KEEP_NEWER_THAN_DAYS"
        )
        return Verdict(False, f"younger than {days} days ({name})")
    return Verdict(True, "processed by YouTube")


def judge_by_age(vod: Vod, older_than: timedelta, now: datetime) -> Verdict:
    """For `prune --older-than`: what counts is since when the file is here, whatever the other
    settings say; but never the only copy."""
    unsafe = why_only_copy(vod)
    if unsafe is not None:
        return Verdict(False, unsafe)
    since = vod.downloaded_at or vod.created_at
    if now - since <= older_than:
        return Verdict(False, "its file is not that old")
    return Verdict(True, "processed by YouTube")


def why_only_copy(vod: Vod) -> str | None:
    """Why the file must not go whatever anybody wants; None: YouTube has the video, whole."""
    if vod.worker_id is not None:
        return "it is being worked on"
    if vod.stage is Stage.PUBLISHED and vod.video_id is not None:
        if vod.published_at is None:
            return "YouTube was not asked whether the video is whole"
        return None
    if vod.skip_upload:
        return "it is not uploaded (--skip-upload): the only copy"
    if vod.stage is Stage.VERIFYING:
        return "YouTube has not finished processing it"
    return "it is not on YouTube yet: the only copy"
