"""Backups as values: manifests, names, and which of them may go."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vodtender.model.backup import (
    Fate,
    Manifest,
    Retention,
    is_name,
    is_old_name,
    judge,
    name_of,
    richer,
    row_differences,
)

NOW = datetime(2026, 11, 23, 2, tzinfo=UTC)
RULES = Retention(timedelta(days=30), 3, timedelta(days=365))


def manifest(made_at: datetime = NOW, *, kept: bool = False, vods: int = 3) -> Manifest:
    return Manifest(
        name=name_of(made_at),
        made_at=made_at,
        size_bytes=10,
        raw_bytes=100,
        sha256="ab" * 32,
        crc32=7,
        rows={"vods": vods},
        schema_version=6,
        server_version=180006,
        program_version="1",
        database="vod",
        host="h",
        seconds=1.5,
        kept=kept,
    )


def daily(days: int, until: datetime = NOW) -> list[Manifest]:
    return [manifest(until - timedelta(days=day)) for day in range(days)]


def test_a_name_is_the_time_in_utc() -> None:
    name = name_of(datetime(2026, 11, 23, 4, tzinfo=UTC).astimezone())
    assert name == "vod_20261123_040000.dump.zst"
    assert is_name(name)
    assert is_old_name("vod_20251020_020000.sql.gz")
    for foreign in ("vod_20261123_040000.dump.zst.tmp", "x.dump.zst", "vod_2026.dump.zst", ""):
        assert not is_name(foreign)


def test_a_manifest_survives_the_way_to_json() -> None:
    assert Manifest.from_json(manifest(kept=True).to_json()) == manifest(kept=True)
    document = json.loads(manifest().to_json())
    assert document["made_at"] == "2026-11-23T02:00:00Z"
    assert Manifest.from_json(json.dumps({**document, "later": 1})) == manifest()


@pytest.mark.parametrize(
    "spoilt",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"{}",
        *(
            json.dumps({**json.loads(manifest().to_json()), **change}).encode()
            for change in (
                {"format": 2},
                {"made_at": "yesterday"},
                {"made_at": "2026-11-23T02:00:00"},
                {"sha256": "x"},
                {"size_bytes": "10"},
                {"rows": {"vods": "many"}},
                {"kept": "yes"},
                {"name": "../../etc/passwd"},
            )
        ),
    ],
)
def test_what_is_no_manifest(spoilt: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        Manifest.from_json(spoilt)


def test_after_thirty_days_a_backup_goes_but_the_first_of_its_month_is_archived() -> None:
    fates = {one.name: one.fate for one in judge(daily(90), RULES, NOW)}
    assert [name for name, fate in fates.items() if fate is Fate.ARCHIVED] == [
        "vod_20261001_020000.dump.zst",
        "vod_20260901_020000.dump.zst",
        "vod_20260826_020000.dump.zst",
    ]
    assert sum(fate is Fate.STAYS for fate in fates.values()) == 31
    year = {one.name: one.fate for one in judge(daily(500), RULES, NOW)}
    assert sum(fate is Fate.ARCHIVED for fate in year.values()) == 11


def test_where_no_new_backups_come_no_old_ones_go() -> None:
    long_ago = NOW - timedelta(days=3000)
    judged = judge(daily(20, long_ago), RULES, NOW)
    assert {one.fate for one in judged} == {Fate.STAYS}


def test_a_wrong_clock_removes_nothing() -> None:
    """One backup dated far into the future makes all others look old."""
    backups = [*daily(20), manifest(NOW + timedelta(days=5000))]
    assert {one.fate for one in judge(backups, RULES, NOW)} == {Fate.STAYS}


def test_a_backup_that_is_kept_stays() -> None:
    old = manifest(NOW - timedelta(days=4000), kept=True)
    fates = {one.name: one.fate for one in judge([*daily(5), old], RULES, NOW)}
    assert fates[old.name] is Fate.STAYS


moments = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)).map(  # noqa: DTZ001
    lambda at: at.replace(tzinfo=UTC, microsecond=0)
)
rules = st.builds(
    Retention,
    st.integers(1, 400).map(lambda days: timedelta(days=days)),
    st.integers(1, 8),
    st.integers(0, 800).map(lambda days: timedelta(days=days)),
)


@given(st.lists(st.tuples(moments, st.booleans()), unique_by=lambda one: one[0]), rules, moments)
def test_retention_never_goes_too_far(
    made: list[tuple[datetime, bool]], retention: Retention, now: datetime
) -> None:
    backups = [manifest(at, kept=kept) for at, kept in made]
    judged = judge(backups, retention, now)
    assert sorted(one.name for one in judged) == sorted(one.name for one in backups)
    by_name = {one.name: one for one in backups}
    left = [one for one in judged if one.fate is not Fate.GOES]
    assert len(left) >= min(retention.min_keep, len(backups))
    if backups:
        newest = max(one.made_at for one in backups)
        assert name_of(newest) in {one.name for one in left}
    for one in judged:
        found = by_name[one.name]
        if one.fate is Fate.GOES:
            assert not found.kept
            assert min(now, newest) - found.made_at > retention.keep_for


@given(st.lists(moments, unique=True, min_size=1), rules, moments)
def test_retention_asked_twice_removes_no_more(
    made: list[datetime], retention: Retention, now: datetime
) -> None:
    backups = [manifest(at) for at in made]
    left = {one.name for one in judge(backups, retention, now) if one.fate is not Fate.GOES}
    again = judge([one for one in backups if one.name in left], retention, now)
    assert {one.fate for one in again} <= {Fate.STAYS, Fate.ARCHIVED}


def test_an_older_one_that_holds_far_more_is_worth_a_word() -> None:
    empty, few = manifest(), manifest(NOW - timedelta(days=3), vods=99)
    full = manifest(NOW - timedelta(days=1), vods=2003)
    half = manifest(NOW, vods=1200)
    assert richer(empty, [few, full, empty]) == full
    assert richer(empty, [few]) is None
    assert richer(half, [full]) is None
    assert richer(full, [empty]) is None


def test_which_tables_differ() -> None:
    assert row_differences({"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 0}) == {
        "b": (2, 3),
        "c": (None, 0),
    }
