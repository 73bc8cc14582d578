"""The backup that the daemon makes on a schedule, by one daemon at a time."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from vodtender import log
from vodtender.errors import DatabaseUnavailable, Locked, Stopped, VodtenderError
from vodtender.model.backup_schedule import Due, LastTry, NextHour, due
from vodtender.procedures import base_backup
from vodtender.procedures.backup import back_up
from vodtender.store import backups, leases
from vodtender.store.database import clock

if TYPE_CHECKING:
    from vodtender.pipeline.workplace import Workplace
    from vodtender.store.database import Connection

_LEASE = "backup"
_LEASE_SECONDS = 900
_RENEW_SECONDS = 30.0
_TICK = timedelta(microseconds=1)

_log = log.get("backup")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


class BackupChore:
    """Makes a backup when it is time for one, and again what failed; see `due`. Where only
    the copy in S3 failed and the dump is still here, that is what is tried again."""

    def __init__(self, place: Workplace, schedule: str) -> None:
        self._place = place
        self._next_hour = hours(schedule)
        self._since: datetime | None = None

    def back_up_when_due(self) -> None:
        """Bears being called at any time. Failures of a backup are logged and recorded; the
        daemon goes on. Raises DatabaseUnavailable."""
        place = self._place
        with place.database.transaction() as connection:
            if self._due(connection) is None:
                return
            claim = leases.take(connection, _LEASE, place.worker_id, _LEASE_SECONDS)
        if claim is None:
            _log.debug("another daemon makes the backup")
            return
        try:
            with place.database.transaction() as connection:
                why = self._due(connection)  # unless another has just made it
            if why is not None:
                holding = _Holding(place, claim)
                self._make(holding, again=why is Due.AGAIN)
                _make_base(place, holding)
        finally:
            with place.database.transaction() as connection:
                leases.release(connection, _LEASE, place.worker_id, claim)

    def _due(self, connection: Connection) -> Due | None:
        now = clock(connection)
        self._since = self._since or now
        last = backups.last_run(connection)
        tried = None
        if last is not None:
            tried = LastTry(last.run.began_at, last.run.ended_at, last.failures)
        return due(tried, self._since, self._next_hour, now)

    def _make(self, holding: _Holding, *, again: bool) -> None:
        place = self._place
        try:
            made = back_up(
                place.database,
                place.settings,
                actor=place.worker_id,
                again=again,
                tell=holding.tell,
                should_stop=holding.should_stop,
            )
        except (Locked, Stopped) as error:
            _log.warning("no backup was made", why=error.message)
            return
        except VodtenderError as error:
            hint = error.hint or None
            _log.error("the backup has failed", why=error.message, hint=hint, code=error.code)
            return
        _log.info(
            "backup made",
            name=made.manifest.name,
            size_bytes=made.manifest.size_bytes,
            copy=made.s3_url,
            removed=len(made.removed),
        )
        for one in made.poorer:
            _log.warning(one, hint="if the database was lost: vodtender restore NAME --replace")
        if made.manifest.lost:
            _log.error(
                "the database has lost rows, and so has its backup",
                lost=made.manifest.lack,
                hint="vodtender db check",
            )
        if made.held_back_long:
            took = round(made.manifest.seconds)
            _log.warning(
                "the dump held back vacuum for long", seconds=took, hint="vodtender vacuum"
            )
        for other in made.dumps:
            _log.warning("another dump holds back vacuum, too", pid=other.pid, whence=other.client)
        for failure in made.not_removed:
            _log.warning("an old backup was not removed", why=failure)


def _make_base(place: Workplace, holding: _Holding) -> None:
    """Where the log is archived: so that it need not be kept for ever."""
    settings = place.settings
    if not settings.backup_wal or settings.dsn is not None or holding.should_stop():
        return
    try:
        if not base_backup.is_due(settings, datetime.now(UTC)):
            return
        made = base_backup.make_base(
            settings,
            actor=place.worker_id,
            note=_log.warning,
            tell=holding.tell,
            should_stop=holding.should_stop,
        )
    except (Locked, Stopped) as error:
        _log.warning("no base backup was made", why=error.message)
    except DatabaseUnavailable:
        raise
    except VodtenderError as error:
        hint = error.hint or None
        _log.error("the base backup has failed", why=error.message, hint=hint, code=error.code)
    else:
        _log.info("base backup made", name=made.base.name, size_bytes=made.base.size_bytes)


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


def hours(expression: str) -> NextHour:
    """The moments of a cron expression in UTC."""
    trigger = _trigger(expression)

    def next_hour(after: datetime) -> datetime | None:
        found: datetime | None = trigger.get_next_fire_time(None, after + _TICK)
        return found

    return next_hour


def _trigger(expression: str) -> Any:
    """As cron means it: Sunday is 0 and 7 (to APScheduler Monday is 0), and a day of the month
    and one of the week mean either."""
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
