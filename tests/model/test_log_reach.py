"""Which moments can be had, by the base backups and the segments that there are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from tests.model.test_base_backup import base, hour, segment
from vodtender.model.base_backup import Timeline, position
from vodtender.model.log_reach import Log, Span, nearest, spans, stretches, ways_to

FORK = Timeline(2, hour(3), {1: position("0/5000000")})  # in segment 20


def log(archived: Iterable[int] = (), *, own: Iterable[int] = ()) -> Log:
    return Log(frozenset(map(segment, archived)), frozenset(map(segment, own)))


def way(moment: datetime | None, found: list[Span]) -> tuple[str, int] | None:
    ways = ways_to(moment, found)
    return (ways[0].base.name, ways[0].timeline) if ways else None


def test_the_way_begins_at_the_last_base_backup_before_the_moment() -> None:
    bases = [base(0), base(4), base(8)]
    found = spans(bases, {}, {"1": log(range(4, 9), own=(8, 9, 10))})
    assert way(hour(6), found) == (bases[1].name, 1)
    assert way(hour(4), found) == (bases[1].name, 1)
    assert way(None, found) == (bases[2].name, 1)
    assert [one.base for one in ways_to(hour(6), found)] == [bases[1], bases[0]]
    assert [one.base for one in ways_to(None, found)] == bases[::-1]
    assert way(hour(-1), found) is None
    assert way(None, []) is None
    assert stretches(found) == [(hour(0), None)]


def test_a_log_leads_to_its_last_change_or_to_now_where_it_is_still_written() -> None:
    [found] = spans([base(0)], {}, {"1": log((4, 5))})
    assert (found.goes_on, found.is_broken, found.chain) == (False, False, (segment(4), segment(5)))
    [ended] = [replace(found, reached_at=hour(2))]
    assert ended.holds(hour(2))
    assert not ended.holds(hour(2.1))
    assert ways_to(None, [ended]) == [ended]
    assert stretches([ended]) == [(hour(0), hour(2))]
    [found] = spans([base(0)], {}, {"1": log((4,), own=(5, 6))})
    assert found.holds(hour(99))


def test_a_segment_that_is_missing_in_the_middle_is_named_and_nothing_leads_over_it() -> None:
    old, new = base(0), base(5, begin="0/2000028")  # in segments 4 and 8
    found = spans([old, new], {}, {"1": log((4, 5, 7, 8), own=(9,))})
    assert [one.missing for one in found] == [None, segment(6)]
    found = [found[0], replace(found[1], reached_at=hour(2))]
    assert stretches(found) == [(hour(0), hour(2)), (hour(5), None)]
    assert way(hour(3), found) is None
    assert nearest(hour(3), found) == found[1]
    [alone] = spans([old], {}, {"1": log((4, 5), own=(7,))})
    assert alone.missing == segment(6)
    assert ways_to(None, [alone]) == []


def test_no_log_leads_over_a_time_in_which_it_was_left_off() -> None:
    old, new = base(0), base(5, begin="0/2000028")
    one = replace(log(range(4, 9), own=(9,)), left_off={segment(6): hour(4)})
    newest, before = spans([old, new], {}, {"1": one})
    assert (newest.left_off, newest.goes_on) == (None, True)
    assert (before.left_off, before.goes_on) == (segment(6), False)
    assert before.chain == (segment(4), segment(5))
    assert ways_to(None, [before]) == []


def test_a_moment_lies_on_the_timeline_that_people_saw_then() -> None:
    first = base(0, begin="0/1000028")
    stray = base(2, begin="0/9000028")  # of what the recovery at 3 o'clock left behind
    second = base(5, timeline=2, begin="0/9800028")
    archived = {segment(number) for number in range(4, 40)}
    archived |= {segment(number, 2) for number in range(20, 45)}
    one = Log(frozenset(archived), frozenset({segment(45, 2)}))
    found = [
        span if span.goes_on else replace(span, reached_at=hour(2.9))
        for span in spans([first, stray, second], {"1": [FORK]}, {"1": one})
    ]
    assert way(hour(2.5), found) == (stray.name, 1)
    assert way(hour(4), found) == (first.name, 2)
    assert way(hour(6), found) == (second.name, 2)
    assert way(None, found) == (second.name, 2)
    assert stretches(found) == [(hour(0), hour(2.9)), (hour(3), None)]
    through = next(span for span in found if (span.base, span.timeline) == (first, 2))
    assert through.chain[15:17] == (segment(19), segment(20, 2))


def test_where_a_timeline_begins_the_log_of_the_old_one_is_not_enough() -> None:
    archived = {segment(number) for number in range(4, 40)} | {segment(21, 2)}
    newest, before = spans([base(0)], {"1": [FORK]}, {"1": Log(frozenset(archived))})
    assert (newest.timeline, newest.missing) == (2, segment(20, 2))
    assert (before.timeline, before.is_broken) == (1, False)


def test_without_the_history_only_base_backups_of_the_timeline_itself_count() -> None:
    old, new = base(0), base(5, timeline=2, begin="0/9800028")
    found = spans([old, new], {}, {"1": log(range(4, 9))})
    found = [replace(one, reached_at=hour(7 if one.timeline == 2 else 4.5)) for one in found]
    assert way(hour(6), found) == (new.name, 2)
    assert way(hour(4), found) == (old.name, 1)


def test_another_cluster_has_timelines_of_its_own() -> None:
    mine, other = base(0), base(4, system_id="2")
    found = spans([mine, other], {"1": [FORK]}, {"2": log((4,), own=(5,))})
    assert way(hour(6), found) == (other.name, 1)
    assert {(one.base.name, one.timeline) for one in found} == {
        *((mine.name, 1), (mine.name, 2), (other.name, 1))
    }
