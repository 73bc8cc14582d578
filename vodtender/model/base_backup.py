"""Base backups and the write-ahead log after them: what they are called, and what may go.

A base backup is a copy of a whole cluster's files. With every segment of the log that was written
since, the cluster can be brought to any moment after it. A recovery begins a new timeline: a
branch of the log, which leaves the old one where the recovery ended.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Self

BASES = "base"
"""Directory of the base backups in BACKUP_DIR."""
WAL = "wal"
"""Directory of the archived log in BACKUP_DIR; one below it for each cluster."""
_NAME = re.compile(r"base_\d{8}_\d{6}")
_SEGMENT = re.compile(r"[0-9A-F]{24}")
LEFT_OFF = ".left_off"
"""Ends the name of a mark: before that segment archiving was left off."""
_MARK = re.compile(r"([0-9A-F]{24})\.(?:[0-9A-F]{8}\.backup|left_off)")
_FORK = re.compile(r"(\d+)\s+([0-9A-F]+/[0-9A-F]+)\s")
_FORMAT = 1


def base_name(at: datetime) -> str:
    """`base_20261123_020000`, in UTC."""
    return f"base_{at.astimezone(UTC):%Y%m%d_%H%M%S}"


def is_base_name(name: str) -> bool:
    """Whether a base backup of ours may be called that."""
    return _NAME.fullmatch(name) is not None


def position(text: str) -> int:
    """A place in the log, such as 0/3000110, as a number. Raises ValueError."""
    high, _, low = text.partition("/")
    return (int(high, 16) << 32) + int(low, 16)


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """A base backup that pg_verifybackup has found good. `made_at` is the earliest moment that
    it can be brought to. `begin` and `end` are where in the log it begins and is consistent;
    `system_id` is the cluster's own number, `segment_bytes` the size of its log's segments."""

    name: str
    made_at: datetime
    system_id: str
    timeline: int
    begin: str
    end: str
    segment_bytes: int
    size_bytes: int
    server_version: int
    program_version: str
    host: str
    seconds: float

    def to_json(self) -> str:
        """As it lies beside the base backup."""
        found = {one.name: getattr(self, one.name) for one in fields(self)}
        found["made_at"] = self.made_at.astimezone(UTC).isoformat().replace("+00:00", "Z")
        return json.dumps({"format": _FORMAT, **found}, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Raises ValueError when it is none, or of a newer form."""
        try:
            found = json.loads(text)
            if not isinstance(found, dict) or found.pop("format") != _FORMAT:
                raise ValueError("not a record that this program knows")
            made_at = datetime.fromisoformat(found.pop("made_at"))
            known = {one.name for one in fields(cls)} - {"made_at"}
            base = cls(made_at=made_at, **{k: v for k, v in found.items() if k in known})
            position(base.begin), position(base.end)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a base backup's record: {error!r}") from error
        if made_at.tzinfo is None or not is_base_name(base.name) or base.segment_bytes <= 0:
            raise ValueError("not a base backup's record: a value in it is of the wrong form")
        return base

    @property
    def first_segment(self) -> int:
        """The number of the first segment that it needs."""
        return position(self.begin) // self.segment_bytes


@dataclass(frozen=True, slots=True)
class Timeline:
    """A branch of the log that a recovery has begun: when, and where it left each of those it
    comes from."""

    number: int
    began_at: datetime
    forks: Mapping[int, int] = field(default_factory=dict)


def forks(history: str) -> dict[int, int]:
    """Where a timeline left its ancestors, by what its history file says."""
    found = (_FORK.match(line.strip() + " ") for line in history.splitlines())
    return {int(one[1]): position(one[2]) for one in found if one is not None}


def is_segment(name: str) -> bool:
    """Whether a file of the log may be called that."""
    return _SEGMENT.fullmatch(name) is not None


def segment_number(name: str, segment_bytes: int) -> int | None:
    """The number that a segment's file name holds, whatever its timeline; None for other files."""
    if _SEGMENT.fullmatch(name) is None:
        return None
    return int(name[8:16], 16) * ((1 << 32) // segment_bytes) + int(name[16:], 16)


def segment_name(timeline: int, number: int, segment_bytes: int) -> str:
    """The file of a segment."""
    high, low = divmod(number, (1 << 32) // segment_bytes)
    return f"{timeline:08X}{high:08X}{low:08X}"


def segment_after(name: str, segment_bytes: int) -> str:
    """The file of the segment that follows on the same timeline."""
    number = segment_number(name, segment_bytes)
    assert number is not None
    return segment_name(int(name[:8], 16), number + 1, segment_bytes)


def needless(names: Iterable[str], kept: Collection[Base]) -> list[str]:
    """The files of a cluster's log that no kept base backup of it needs. Histories of timelines
    and whatever else lies there stay."""
    oldest = min(kept, key=lambda one: one.first_segment, default=None)
    going = []
    for name in names:
        mark = _MARK.fullmatch(name)
        size = oldest.segment_bytes if oldest is not None else 1 << 24
        number = segment_number(mark[1] if mark else name, size)
        if number is not None and (oldest is None or number < oldest.first_segment):
            going.append(name)
    return going


def superfluous(bases: Iterable[Base], keep: int) -> list[Base]:
    """Those that are not among the newest `keep`."""
    return sorted(bases, key=lambda one: (one.made_at, one.name), reverse=True)[keep:]
