"""What a backup is, and which may go.

A backup is a dump with a manifest beside it that was written after the dump had been read back
to its end. Whatever else lies there is none, counts as none, and is never touched.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Self

MANIFESTS = "manifests"
"""Directory (or prefix) of the manifests, beside the dumps."""
SUFFIX = ".dump.zst"
_NAME = re.compile(r"vod_\d{8}_\d{6}\.dump\.zst")
_OLD_NAME = re.compile(r"vod_\d{8}_\d{6}\.sql\.gz")
_FORMAT = 1
_FEW_ROWS = 100


def name_of(made_at: datetime) -> str:
    """`vod_20261123_020000.dump.zst`, in UTC."""
    return f"vod_{made_at.astimezone(UTC):%Y%m%d_%H%M%S}{SUFFIX}"


def is_name(name: str) -> bool:
    """Whether a dump of ours may be called that."""
    return _NAME.fullmatch(name) is not None


def time_in(name: str) -> datetime | None:
    """When a dump of ours was made, by its name; None where it is none of ours."""
    if not is_name(name):
        return None
    try:
        return datetime.strptime(name, f"vod_%Y%m%d_%H%M%S{SUFFIX}").replace(tzinfo=UTC)
    except ValueError:
        return None


def full_name(name: str) -> str:
    """A name as people type it: with or without its ending."""
    return f"{name}{SUFFIX}" if is_name(f"{name}{SUFFIX}") else name


def is_old_name(name: str) -> bool:
    """The same for the plain dumps that the runbook's script made."""
    return _OLD_NAME.fullmatch(name) is not None


def manifest_name(name: str) -> str:
    """What a dump's manifest is called, in MANIFESTS."""
    return f"{name}.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What is known of a dump since it was made.

    `rows` are counted in the very snapshot that the dump shows, by table, `schema.table` where
    it is not `public`; `lost` are those that the table's index knows and the table has not.
    `kept`: an operator wants it kept whatever its age. `before_restore`: it shows what a restore
    has replaced, and so is never what `latest` means. `damage` says what is wrong with the dump,
    if that was found since. `seconds`: how long it took. `server_version` as libpq has it, such
    as 180006.
    """

    name: str
    made_at: datetime
    size_bytes: int
    raw_bytes: int
    sha256: str
    crc32: int
    rows: Mapping[str, int]
    schema_version: int
    server_version: int
    program_version: str
    database: str
    host: str
    seconds: float
    kept: bool = False
    before_restore: bool = False
    lost: Mapping[str, int] = field(default_factory=dict)
    damage: str = ""

    def to_json(self) -> str:
        """As it lies beside the dump."""
        found = {one.name: getattr(self, one.name) for one in fields(self)}
        found["made_at"] = self.made_at.astimezone(UTC).isoformat().replace("+00:00", "Z")
        found["rows"] = dict(self.rows)
        found["lost"] = dict(self.lost)
        return json.dumps({"format": _FORMAT, **found}, indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Raises ValueError when it is none, or of a newer form."""
        try:
            found = json.loads(text)
            if not isinstance(found, dict) or found.pop("format") != _FORMAT:
                raise ValueError("not a manifest that this program knows")
            made_at = datetime.fromisoformat(found.pop("made_at"))
            known = {one.name for one in fields(cls)} - {"made_at"}
            manifest = cls(made_at=made_at, **{k: v for k, v in found.items() if k in known})
            manifest._check()
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a manifest: {error!r}") from error
        return manifest

    def _check(self) -> None:
        numbers = (self.size_bytes, self.raw_bytes, self.crc32, self.schema_version)
        rows = all(
            isinstance(counts, dict) and all(isinstance(count, int) for count in counts.values())
            for counts in (self.rows, self.lost)
        )
        if not (
            rows
            and is_name(self.name)
            and self.made_at.tzinfo is not None
            and all(isinstance(number, int) for number in numbers)
            and re.fullmatch(r"[0-9a-f]{64}", self.sha256)
            and isinstance(self.kept, bool)
            and isinstance(self.before_restore, bool)
            and isinstance(self.damage, str)
        ):
            raise ValueError("not a manifest: a value in it is of the wrong form")

    @property
    def lack(self) -> str:
        """What it lacks for people: `chat_messages: 86 rows`; empty where it lacks nothing."""
        return ", ".join(f"{name}: {rows} rows" for name, rows in self.lost.items())

    def marked(self, damage: str) -> Manifest:
        """The same, of a dump that was found damaged; or, by an empty text, whole."""
        return replace(self, damage=damage)

    def keep(self, kept: bool) -> Manifest:
        """The same, to be kept or not."""
        return replace(self, kept=kept)


def richer(one: Manifest, others: Iterable[Manifest]) -> Manifest | None:
    """The newest of the older ones with more than twice as many rows, if those are worth a word:
    what one backup alone holds so few of may have been made of an empty database."""
    rows = sum(one.rows.values())
    found = [
        other
        for other in others
        if other.made_at < one.made_at and sum(other.rows.values()) > max(2 * rows, _FEW_ROWS)
    ]
    return max(found, key=lambda other: other.made_at, default=None)


class Fate(StrEnum):
    """What retention makes of a backup."""

    STAYS = "stays"
    ARCHIVED = "archived"
    """It stays as its month's, in the archive class."""
    GOES = "goes"


@dataclass(frozen=True, slots=True)
class Judged:
    """One backup with its fate, and why."""

    name: str
    fate: Fate
    why: str


@dataclass(frozen=True, slots=True)
class Retention:
    """The operator's rules."""

    keep_for: timedelta
    min_keep: int
    archive_for: timedelta


def judge(backups: Iterable[Manifest], rules: Retention, now: datetime) -> Sequence[Judged]:
    """What becomes of the good backups of one place; the newest first.

    Ages are those at the time of the newest backup (or now, if that is earlier): where no new
    ones come, no old ones go.
    """
    newest_first = sorted(backups, key=lambda one: (one.made_at, one.name), reverse=True)
    if not newest_first:
        return []
    at = min(now, newest_first[0].made_at)
    monthly = _first_of_each_month(newest_first)
    return [
        _judged(one, place, rules, at, is_monthly=one.name in monthly)
        for place, one in enumerate(newest_first)
    ]


def _judged(
    one: Manifest, place: int, rules: Retention, at: datetime, *, is_monthly: bool
) -> Judged:
    age = at - one.made_at
    if one.kept:
        return Judged(one.name, Fate.STAYS, "marked with backup keep")
    if age <= rules.keep_for:
        return Judged(one.name, Fate.STAYS, f"younger than {rules.keep_for.days} days")
    if is_monthly and age <= rules.archive_for:
        return Judged(one.name, Fate.ARCHIVED, f"the one of {one.made_at:%B %Y}")
    if place < rules.min_keep:
        return Judged(one.name, Fate.STAYS, f"one of the last {rules.min_keep}")
    return Judged(one.name, Fate.GOES, f"older than {rules.keep_for.days} days")


def _first_of_each_month(newest_first: Sequence[Manifest]) -> set[str]:
    first: dict[tuple[int, int], str] = {}
    for one in newest_first:
        made_at = one.made_at.astimezone(UTC)
        first[made_at.year, made_at.month] = one.name
    return set(first.values())


def row_differences(manifest: Mapping[str, int], found: Mapping[str, int]) -> dict[str, Any]:
    """Tables whose counts differ: (in the manifest, found); None where there is no such table."""
    names = dict.fromkeys([*manifest, *found])
    return {
        name: (manifest.get(name), found.get(name))
        for name in names
        if manifest.get(name) != found.get(name)
    }
