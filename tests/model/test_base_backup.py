"""Which moments base backups and the log after them give, and what may go."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from vodtender.model.base_backup import (
    Base,
    Timeline,
    Way,
    base_name,
    forks,
    last_in_reach,
    needless,
    position,
    superfluous,
    way_to,
)

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
MIB = 1 << 20


def hour(number: float) -> datetime:
    return NOON + timedelta(hours=number)


def base(at: float, *, system_id: str = "1", timeline: int = 1, begin: str = "0/1000028") -> Base:
    return Base(
        name=base_name(hour(at)),
        made_at=hour(at),
        system_id=system_id,
        timeline=timeline,
        begin=begin,
        end=begin[:-2] + "90",
        segment_bytes=4 * MIB,
        size_bytes=1,
        server_version=180000,
        program_version="0",
        host="here",
        seconds=1.0,
    )


def test_a_record_is_what_it_was_written_as() -> None:
    one = base(0)
    assert Base.from_json(one.to_json()) == one


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", base(0).to_json().replace('"format": 1', '"format": 2'),
     base(0).to_json().replace("0/1000028", "x"), base(0).to_json().replace("base_", "b_")],
)  # fmt: skip
def test_what_is_no_record_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Base.from_json(text)


def test_the_way_begins_at_the_last_base_backup_before_the_moment() -> None:
    bases = [base(0), base(4), base(8)]
    assert way_to(hour(6), bases, {}) == Way(bases[1], 1)
    assert way_to(hour(4), bases, {}) == Way(bases[1], 1)
    assert way_to(None, bases, {}) == Way(bases[2], 1)
    assert way_to(hour(-1), bases, {}) is None
    assert way_to(None, [], {}) is None


def test_a_moment_lies_on_the_timeline_that_people_saw_then() -> None:
    first = base(0, begin="0/1000028")
    stray = base(2, begin="0/9000028")  # of what the recovery at 3 o'clock left behind
    second = base(5, timeline=2, begin="0/9800028")
    recovered = Timeline(2, hour(3), {1: position("0/5000000")})
    known = {"1": [recovered]}
    bases = [first, stray, second]
    assert way_to(hour(2.5), bases, known) == Way(stray, 1)
    assert way_to(hour(4), bases, known) == Way(first, 2)
    assert way_to(hour(6), bases, known) == Way(second, 2)
    assert way_to(None, bases, known) == Way(second, 2)


def test_without_the_history_only_base_backups_of_the_timeline_itself_count() -> None:
    old, new = base(0), base(5, timeline=2, begin="0/9800028")
    assert way_to(hour(6), [old, new], {}) == Way(new, 2)
    assert way_to(hour(4), [old, new], {}) == Way(old, 1)


def test_another_cluster_has_timelines_of_its_own() -> None:
    mine, other = base(0), base(4, system_id="2")
    known = {"1": [Timeline(2, hour(1), {1: position("0/5000000")})]}
    assert way_to(hour(6), [mine, other], known) == Way(other, 1)
    assert way_to(hour(3), [mine, other], known) == Way(mine, 2)


def test_a_history_names_every_fork() -> None:
    text = "1\t0/5000110\tbefore 2026-11-23\n\n2\tA/F0\tno recovery target specified\n"
    assert forks(text) == {1: 0x5000110, 2: 0xA000000F0}
    assert forks("") == {}


def segment(number: int, timeline: int = 1) -> str:
    return f"{timeline:08X}{number // 1024:08X}{number % 1024:08X}"


def test_the_log_reaches_to_the_first_segment_that_is_missing() -> None:
    one = base(0)  # begins in segment 4
    there = [segment(number) for number in (3, 4, 5, 7)]
    assert last_in_reach(one, there) == segment(5)
    assert last_in_reach(one, [*there, segment(6, timeline=2)]) == segment(7)
    assert last_in_reach(one, [segment(5)]) is None
    high = replace(one, begin="0/FFC00028")
    assert last_in_reach(high, [segment(1023), segment(1024)]) == segment(1024)


def test_only_log_from_before_every_kept_base_backup_goes() -> None:
    names = [segment(3), segment(4), f"{segment(3)}.00000028.backup", "00000002.history", "mine"]
    assert needless(names, [base(5, begin="0/2000028"), base(0)]) == [names[0], names[2]]
    assert needless(names, []) == names[:3]


def test_the_newest_base_backups_stay() -> None:
    bases = [base(0), base(8), base(4)]
    assert superfluous(bases, 2) == [bases[0]]
    assert superfluous(bases, 3) == []
