"""Which moments base backups and the log after them give, and what may go."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from vodtender.model.base_backup import (
    Base,
    base_name,
    forks,
    is_segment,
    needless,
    segment_after,
    segment_name,
    superfluous,
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


def segment(number: int, timeline: int = 1) -> str:
    return segment_name(timeline, number, 4 * MIB)


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


def test_a_history_names_every_fork() -> None:
    text = "1\t0/5000110\tbefore 2026-11-23\n\n2\tA/F0\tno recovery target specified\n"
    assert forks(text) == {1: 0x5000110, 2: 0xA000000F0}
    assert forks("") == {}


def test_only_log_from_before_every_kept_base_backup_goes() -> None:
    marks = [f"{segment(3)}.00000028.backup", f"{segment(3)}.left_off"]
    names = [segment(3), *marks, segment(4), "00000002.history", "mine"]
    assert needless(names, [base(5, begin="0/2000028"), base(0)]) == names[:3]
    assert needless(names, []) == names[:4]


def test_a_segment_follows_another_across_the_carry() -> None:
    assert is_segment(segment(1023))
    assert segment_after(segment(1023, 2), 4 * MIB) == segment(1024, 2) == f"{2:08X}{1:08X}{0:08X}"


def test_the_newest_base_backups_stay() -> None:
    bases = [base(0), base(8), base(4)]
    assert superfluous(bases, 2) == [bases[0]]
    assert superfluous(bases, 3) == []
