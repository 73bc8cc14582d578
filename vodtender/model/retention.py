"""Which local files may go, and why the others stay.

A file goes only when YouTube has processed the video; the settings say when it is wanted no
longer on top of that. Where there is an archive, it is left to it for a while.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from vodtender.model.vod import Stage, Vod

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """The settings. Ages count from the beginning of the stream; `keep_count` are the newest
    of each channel. `archives`: there is an archive, which has `archive_wait_days` from when the
    VOD was found to take a file (None: for ever)."""

    autoclean: bool
    keep_newer_than_days: int
    keep_days: int | None
    keep_count: int | None
    archives: bool = False
    archive_wait_days: int | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """`goes` or stays, and why in words."""

    goes: bool
    why: str


def judge(
    vod: Vod, rank: int, policy: RetentionPolicy, now: datetime, *, archived: bool = False
) -> Verdict:
    """`rank` is the VOD's place among the files of its channel, 0 for the newest; `archived`: the
    archive has a good copy."""
    unsafe = why_only_copy(vod, archived=archived)
    if unsafe is not None:
        return Verdict(False, unsafe)
    wanted = _why_wanted(vod, rank, policy, now) or _why_not_yet(vod, policy, now, archived)
    return Verdict(True, "processed by YouTube") if wanted is None else Verdict(False, wanted)


def _why_wanted(vod: Vod, rank: int, policy: RetentionPolicy, now: datetime) -> str | None:
    if not policy.autoclean:
        return "BACKFILL_AUTOCLEAN is off"
    if policy.keep_count is not None and rank < policy.keep_count:
        return f"one of the newest {policy.keep_count} (RETENTION_KEEP_COUNT)"
    days = max(policy.keep_newer_than_days, policy.keep_days or 0)
    if (now - (vod.date or vod.created_at)) / _DAY > days:
        return None
    name = (
        "RETENTION_KEEP_DAYS"
        if days == policy.keep_days and days != policy.keep_newer_than_days
        else "RETAIN_KEEP_NEWER_THAN_DAYS"
    )
    return f"younger than {days} days ({name})"


def _why_not_yet(vod: Vod, policy: RetentionPolicy, now: datetime, archived: bool) -> str | None:
    """What an archive has to do with it: it takes a file first, and one that was fetched back
    from it is wanted for a while."""
    if archived:
        here = (now - (vod.downloaded_at or vod.created_at)) / _DAY
        days = policy.keep_newer_than_days
        return f"fetched back less than {days} days ago" if here <= days else None
    wait = policy.archive_wait_days
    if not policy.archives or (wait is not None and (now - vod.created_at) / _DAY > wait):
        return None
    until = "" if wait is None else f" before it is {wait} days old (ARCHIVE_WAIT_DAYS)"
    return f"the archive is to take it{until}"


def judge_by_age(
    vod: Vod, older_than: timedelta, now: datetime, *, archived: bool = False
) -> Verdict:
    """For `prune --older-than`: what counts is since when the file is here, whatever the other
    settings say; but never the only copy."""
    unsafe = why_only_copy(vod, archived=archived)
    if unsafe is not None and not (archived and vod.worker_id is None and vod.stage in _AT_REST):
        return Verdict(False, unsafe)
    since = vod.downloaded_at or vod.created_at
    if now - since <= older_than:
        return Verdict(False, "its file is not that old")
    return Verdict(True, "processed by YouTube" if unsafe is None else "the archive has it")


_AT_REST = frozenset({Stage.DOWNLOADED, Stage.FAILED, Stage.SKIPPED})


def why_only_copy(vod: Vod, *, archived: bool = False) -> str | None:
    """Why the file must not go whatever anybody wants; None: YouTube has the video, whole."""
    if vod.worker_id is not None:
        return "it is being worked on"
    if vod.stage is Stage.PUBLISHED and vod.video_id is not None:
        if vod.published_at is None:
            return "YouTube was not asked whether the video is whole"
        return None
    if vod.stage is Stage.VERIFYING:
        return "YouTube has not finished processing it"
    if archived and vod.stage in _AT_REST:
        return "it is not on YouTube yet; the archive has a copy"
    skipped = (
        "it is not uploaded (--skip-upload)" if vod.skip_upload else "it is not on YouTube yet"
    )
    return f"{skipped}: the only copy"
