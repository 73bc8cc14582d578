"""Which files go to the archive, what that costs, and how long it takes to have one back."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from vodtender.model.retention import Verdict, why_only_copy
from vodtender.model.vod import Stage, Vod

# As `object_name` makes them.
_NAME = re.compile(r"_([0-9]{1,20})(?:_[0-9a-f]{12})?\.[a-z0-9]+\Z")
_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)
_KILOBYTE = 1024

TIERS = ("expedited", "standard", "bulk")
"""How fast, and how dearly, an object in a slow class is brought back."""

_AT_REST = frozenset({Stage.DOWNLOADED, Stage.FAILED, Stage.SKIPPED})
"""Stages in which nothing but an archived copy is wanted of a file that is not on YouTube."""


@dataclass(frozen=True, slots=True)
class ArchivedFile:
    """A copy in the archive. `place` is `s3://bucket/key` or a path; `problem` says why it does
    not count as a copy any more."""

    vod_id: str
    place: str
    directory_id: str | None
    storage_class: str | None
    size_bytes: int
    sha256: str
    crc32: int
    etag: str | None
    archived_at: datetime
    checked_at: datetime
    problem: str | None = None
    asked_at: datetime | None = None
    asked_tier: str | None = None

    def is_copy_of(self, vod: Vod) -> bool:
        """Whether it is good, and what is recorded of the VOD's file."""
        return self.problem is None and self.sha256 == vod.file_sha256


@dataclass(frozen=True, slots=True)
class ArchivePolicy:
    """The settings. Ages count from when the VOD was found, as in the runbook's script, or from
    when its file was fetched back. What retention wants kept on this disk stays."""

    age_days: int
    keep_days: int | None = None
    keep_count: int | None = None
    include_waiting: bool = False


def judge(vod: Vod, rank: int, policy: ArchivePolicy, now: datetime, *, archived: bool) -> Verdict:
    """Whether a file goes to the archive. `rank` is its place among the files of its channel, 0
    for the newest; `archived`: there is a good copy already."""
    unfit = _why_unfit(vod, include_waiting=policy.include_waiting)
    if unfit is not None:
        return Verdict(False, unfit)
    since = (vod.downloaded_at if archived else None) or vod.created_at
    if (now - since) / _DAY < policy.age_days:
        what = "fetched back" if archived else "found"
        return Verdict(False, f"{what} less than {policy.age_days} days ago (ARCHIVE_AGE_DAYS)")
    if policy.keep_count is not None and rank < policy.keep_count:
        return Verdict(False, f"one of the newest {policy.keep_count} (RETENTION_KEEP_COUNT)")
    age = now - (vod.date or vod.created_at)
    if policy.keep_days is not None and age / _DAY <= policy.keep_days:
        return Verdict(False, f"younger than {policy.keep_days} days (RETENTION_KEEP_DAYS)")
    return Verdict(True, "processed by YouTube" if why_only_copy(vod) is None else "not uploaded")


def _why_unfit(vod: Vod, *, include_waiting: bool) -> str | None:
    if vod.worker_id is not None:
        return "it is being worked on"
    if vod.file_sha256 is None or vod.file_size_bytes is None:
        return "what it should contain is not recorded"
    unsafe = why_only_copy(vod)
    if unsafe is None:
        return None
    if vod.stage not in _AT_REST:
        return unsafe
    return None if include_waiting else f"{unsafe} (--include-waiting moves it, too)"


# --- storage classes --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Terms:
    """What a storage class charges whatever is stored: at least so many days, at least so many
    bytes per object, so many more per object; and how long an object takes to be readable, by
    tier (none: it always is)."""

    minimum_days: int = 0
    minimum_bytes: int = 0
    overhead_bytes: int = 0
    waits: Mapping[str, timedelta] = field(default_factory=dict)
    retrieval_costs: bool = False


_IA = Terms(30, 128 * _KILOBYTE, retrieval_costs=True)

# https://aws.amazon.com/s3/storage-classes/ and
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/restoring-objects-retrieval-options.html;
# https://cloud.google.com/storage/docs/storage-classes
TERMS: Mapping[str, Terms] = {
    "STANDARD_IA": _IA,
    "ONEZONE_IA": _IA,
    "GLACIER_IR": Terms(90, 128 * _KILOBYTE, retrieval_costs=True),
    "GLACIER": Terms(
        90,
        overhead_bytes=40 * _KILOBYTE,
        waits={
            "expedited": timedelta(minutes=5),
            "standard": 5 * _HOUR,
            "bulk": 12 * _HOUR,
        },
        retrieval_costs=True,
    ),
    "DEEP_ARCHIVE": Terms(
        180,
        overhead_bytes=40 * _KILOBYTE,
        waits={"standard": 12 * _HOUR, "bulk": 48 * _HOUR},
        retrieval_costs=True,
    ),
    "NEARLINE": Terms(30, retrieval_costs=True),
    "COLDLINE": Terms(90, retrieval_costs=True),
    "ARCHIVE": Terms(365, retrieval_costs=True),
}
"""Amazon's and Google's; what is not here is not known to cost more than what is stored."""


def costs(storage_class: str, sizes: Sequence[int], *, waiting: int = 0) -> list[str]:
    """What a person should know before files of these sizes go to that class. `waiting`: so
    many of them are still to be uploaded."""
    terms = TERMS.get(storage_class)
    if terms is None or not sizes:
        return []
    said = []
    if terms.minimum_days:
        said.append(
            f"{storage_class} is billed for at least {terms.minimum_days} days, also of what is"
            " deleted or replaced before"
        )
    billed = sum(max(size, terms.minimum_bytes) + terms.overhead_bytes for size in sizes)
    if terms.overhead_bytes:
        said.append(
            f"{storage_class} bills {terms.overhead_bytes // _KILOBYTE} KB more for each object,"
            f" {_megabytes(billed - sum(sizes))} in all"
        )
    elif billed > sum(sizes):
        said.append(
            f"{storage_class} bills no object for less than {terms.minimum_bytes // _KILOBYTE} KB,"
            f" {_megabytes(billed - sum(sizes))} more in all"
        )
    if terms.waits:
        said.append(
            f"to have one back from {storage_class} takes up to {_hours(terms.waits['standard'])}"
            " and is billed"
        )
    elif terms.retrieval_costs:
        said.append(f"reading from {storage_class} is billed")
    if waiting and terms.retrieval_costs:
        said.append(f"{waiting} of them will be fetched back for their upload")
    return said


def wait_for(storage_class: str, tier: str) -> timedelta | None:
    """How long an object of that class takes at most; None: the class has no such tier, or
    needs none."""
    terms = TERMS.get(storage_class)
    return None if terms is None else terms.waits.get(tier)


def tiers_of(storage_class: str) -> tuple[str, ...]:
    """The tiers that a slow class has."""
    return tuple(TERMS[storage_class].waits) if storage_class in TERMS else ()


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f} MB"


def _hours(time: timedelta) -> str:
    hours = time / _HOUR
    return f"{hours:g} hours" if hours >= 1 else f"{time.seconds // 60} minutes"


def vod_id_of(name: str) -> str | None:
    """Whose file something in an archive is, or was to be, by its name; None: nobody's."""
    found = _NAME.search(name)
    return None if found is None else found[1]


def object_name(file_name: str, sha256: str, *, taken: bool) -> str:
    """What a file is called in the archive: as on the disk, and where that name is `taken` by
    something else, with its checksum's beginning. Nothing in an archive is ever overwritten."""
    if not taken:
        return file_name
    stem, dot, suffix = file_name.rpartition(".")
    return f"{stem}_{sha256[:12]}{dot}{suffix}" if dot else f"{file_name}_{sha256[:12]}"
