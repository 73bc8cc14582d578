"""Which moments can be had: from each base backup as far as its log goes on without a gap.

What the database was at a moment is what whoever was connected then saw: it lies on the timeline
that was the newest at that time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from vodtender.model.base_backup import Base, Timeline, position, segment_name, segment_number


@dataclass(frozen=True, slots=True)
class Log:
    """A cluster's log, by the names of its segments: those that are archived, and those in the
    cluster itself (`own`), if what it writes now is archived in its turn. `left_off` are segments
    before which archiving was left off, and when it began again."""

    archived: frozenset[str] = frozenset()
    own: frozenset[str] = frozenset()
    left_off: Mapping[str, datetime] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Span:
    """What a base backup gives along one timeline, by the archived segments `chain`: from `since`
    to `bound`, where a recovery began the next timeline, or to now, if it `goes_on`; else to
    `reached_at`, the last change in it (None: not known yet, or none).

    Where the log breaks off though more was written later, `missing` is the segment that is not
    there, or `left_off` the one before which archiving was left off.
    """

    base: Base
    timeline: int
    since: datetime
    bound: datetime | None = None
    chain: tuple[str, ...] = ()
    goes_on: bool = False
    missing: str | None = None
    left_off: str | None = None
    reached_at: datetime | None = None

    @property
    def until(self) -> datetime | None:
        """The last moment; None: now. Before `since`: there is none."""
        if self.goes_on:
            return None
        last = self.reached_at or self.base.made_at
        return last if self.bound is None else min(last, self.bound)

    @property
    def is_broken(self) -> bool:
        """Whether more was written later, which it does not lead to."""
        return self.missing is not None or self.left_off is not None

    def holds(self, moment: datetime) -> bool:
        """Of a moment that has come."""
        return self.since <= moment and (self.until is None or moment <= self.until)


def spans(
    bases: Sequence[Base],
    timelines: Mapping[str, Sequence[Timeline]],
    logs: Mapping[str, Log],
) -> list[Span]:
    """Those of all base backups, the newest moments first. `timelines` and `logs` are those of
    each cluster, by its number."""
    found = []
    for base in bases:
        known = timelines.get(base.system_id, ())
        began = _began(base.system_id, bases, known)
        ways: dict[int, Mapping[int, int]] = {base.timeline: {}}
        ways |= {one.number: one.forks for one in known if _leads(base, one)}
        for number, forks in ways.items():
            later = (at for other, at in began.items() if other > number)
            since, bound = max(base.made_at, began[number]), min(later, default=None)
            if bound is None or since <= bound:
                log = logs.get(base.system_id, Log())
                found.append(_followed(Span(base, number, since, bound), forks, log))
    return sorted(found, key=lambda one: (one.since, one.base.made_at), reverse=True)


def ways_to(moment: datetime | None, found: Sequence[Span]) -> list[Span]:
    """The ways to a moment (None: the last there is), the shortest first; none: it cannot be had.
    `found` as `spans` has them."""
    if moment is not None:
        return [one for one in found if one.holds(moment)]
    if not found or found[0].is_broken:
        return []
    last = (found[0].base.system_id, found[0].timeline, found[0].bound)
    return [
        one
        for one in found
        if (one.base.system_id, one.timeline, one.bound) == last and not one.is_broken
    ]


def nearest(moment: datetime | None, found: Sequence[Span]) -> Span | None:
    """The one that should have led to a moment that cannot be had; None: it is before them all."""
    return next((one for one in found if moment is None or one.since <= moment), None)


def stretches(found: Iterable[Span]) -> list[tuple[datetime, datetime | None]]:
    """The moments that can be had without a gap, from the earliest on: from, and to (None: now);
    in whole seconds, as people type them."""
    joined: list[tuple[datetime, datetime | None]] = []
    for one in sorted(found, key=lambda span: span.since):
        since = one.since.replace(microsecond=0)
        since += timedelta(seconds=since < one.since)
        until = None if one.until is None else one.until.replace(microsecond=0)
        if until is not None and until < since:
            continue
        first, last = joined[-1] if joined else (since, datetime.min.replace(tzinfo=UTC))
        if last is not None and last < one.since:
            joined.append((since, until))
        elif last is not None:
            joined[-1] = (first, None if until is None else max(until, last))
    return joined


def _began(system_id: str, bases: Iterable[Base], known: Iterable[Timeline]) -> dict[int, datetime]:
    """Since when each timeline of a cluster was the newest."""
    found: dict[int, datetime] = {}
    events = [(one.number, one.began_at) for one in known]
    events += [(one.timeline, one.made_at) for one in bases if one.system_id == system_id]
    for number, at in events:
        found[number] = min(at, found.get(number, at))
    return found


def _leads(base: Base, timeline: Timeline) -> bool:
    """Whether a timeline left that of a base backup after it."""
    fork = timeline.forks.get(base.timeline)
    return fork is not None and position(base.end) <= fork


def _followed(span: Span, forks: Mapping[int, int], log: Log) -> Span:
    """From a base backup along its log, segment by segment."""
    base = span.base
    size = base.segment_bytes
    begins = _begins(span.timeline, forks, size)
    brought = position(base.end) // size  # a base backup has so much of the log in itself
    number, chain, before = base.first_segment, [], ""
    missing = left_off = None
    while True:
        name = segment_name(max(one for at, one in begins if at <= number), number, size)
        resumed_at = log.left_off.get(name)
        if resumed_at is not None and base.made_at < resumed_at:
            left_off = name
            break
        if name in log.archived:
            chain.append(name)
        elif name not in log.own and number > brought:
            break
        number, before = number + 1, name
    if left_off is None and _is_followed(span.timeline, number, log, size):
        missing = name
    is_broken = missing is not None or left_off is not None
    goes_on = before in log.own and span.bound is None and not is_broken
    return Span(
        *(base, span.timeline, span.since, span.bound, tuple(chain), goes_on, missing, left_off)
    )


def _begins(timeline: int, forks: Mapping[int, int], size: int) -> list[tuple[int, int]]:
    """At which segment each timeline on the way begins."""
    begins, at = [], 0
    for number in sorted(one for one in forks if one < timeline):
        begins.append((at, number))
        at = forks[number] // size
    return [*begins, (at, timeline)]


def _is_followed(timeline: int, number: int, log: Log, size: int) -> bool:
    """Whether a later segment of the timeline is there than that of a number."""
    mine = f"{timeline:08X}"
    found = (segment_number(one, size) for one in log.archived | log.own if one.startswith(mine))
    return any(one is not None and one > number for one in found)
