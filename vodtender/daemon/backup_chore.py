"""The backup that the daemon makes on a schedule, by one daemon at a time."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from vodtender import log
from vodtender.errors import Locked, Stopped, VodtenderError
from vodtender.procedures.backup import back_up as make_backup
from vodtender.store import backups, leases

if TYPE_CHECKING:
    from vodtender.pipeline.workplace import Workplace

_LEASE = "backup"
_LEASE_SECONDS = 900
_RENEW_SECONDS = 30.0
_SAME_OCCASION = timedelta(minutes=10)

_log = log.get("backup")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


def back_up(place: Workplace) -> None:
    """Makes a backup unless another daemon is at it or has just made one. Its failures are
    logged and recorded; the daemon goes on. Raises DatabaseUnavailable."""
    with place.database.transaction() as connection:
        claim = leases.take(connection, _LEASE, place.worker_id, _LEASE_SECONDS)
        last = backups.standing(connection)
    if claim is None:
        _log.debug("another daemon makes the backup")
        return
    holding = _Holding(place, claim)
    try:
        recent = last.last_at is not None and last.last_problem is None
        if recent and last.last_at > datetime.now(UTC) - _SAME_OCCASION:  # type: ignore[operator]
            _log.info("a backup has just been made", name=last.local_name)
            return
        _make(place, holding)
    finally:
        with place.database.transaction() as connection:
            leases.release(connection, _LEASE, place.worker_id, claim)


def _make(place: Workplace, holding: _Holding) -> None:
    try:
        made = make_backup(
            place.database,
            place.settings,
            actor=place.worker_id,
            tell=holding.tell,
            should_stop=holding.should_stop,
        )
    except (Locked, Stopped) as error:
        _log.warning("no backup was made", why=error.message)
        return
    except VodtenderError as error:
        _log.error(
            "the backup has failed", why=error.message, hint=error.hint or None, code=error.code
        )
        return
    _log.info(
        "backup made",
        name=made.manifest.name,
        size_bytes=made.manifest.size_bytes,
        copy=made.s3_url,
        removed=len(made.removed),
    )
    for failure in made.not_removed:
        _log.warning("an old backup was not removed", why=failure)


class _Holding:
    """The lease, renewed while bytes move."""

    def __init__(self, place: Workplace, claim: int) -> None:
        self._place = place
        self._claim = claim
        self._renewed = time.monotonic()
        self._lost = False

    def tell(self, _phase: str, _done: int, _total: int) -> None:
        if time.monotonic() - self._renewed < _RENEW_SECONDS:
            return
        self._renewed = time.monotonic()
        with self._place.database.transaction() as connection:
            self._lost = not leases.renew(
                connection, _LEASE, self._place.worker_id, self._claim, _LEASE_SECONDS
            )

    def should_stop(self) -> bool:
        return self._lost or self._place.stopping.is_set()


def trigger(expression: str) -> Any:
    """APScheduler's trigger for a cron expression in UTC, as cron means it: Sunday is 0 and 7
    (to APScheduler Monday is 0), and a day of the month and one of the week mean either."""
    from apscheduler.triggers.combining import OrTrigger
    from apscheduler.triggers.cron import CronTrigger

    minute, hour, day, month, weekday = expression.split()
    common = {"minute": minute, "hour": hour, "month": month, "timezone": "UTC"}
    weekdays = _weekdays(weekday)
    if weekday.startswith("*") or day.startswith("*"):
        return CronTrigger(**common, day=day, day_of_week=weekdays)
    return OrTrigger([CronTrigger(**common, day=day), CronTrigger(**common, day_of_week=weekdays)])


def _weekdays(field: str) -> str:
    """Their names, with commas."""
    days: set[int] = set()
    for part in field.split(","):
        reach, _, step = part.partition("/")
        first, _, last = reach.partition("-")
        low, high = (0, 6) if first == "*" else (int(first), int(last or first))
        if step and first != "*" and not last:
            high = 6
        days |= {number % 7 for number in range(low, high + 1, int(step or 1))}
    return ",".join(_DAYS[number] for number in sorted(days))
