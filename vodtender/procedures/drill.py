"""The monthly proof that the backups can be restored: done, counted, checked, timed, recorded."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from vodtender.config.settings import Settings
from vodtender.errors import Stopped, VodtenderError
from vodtender.procedures import integrity
from vodtender.procedures.backup_source import Source, at_hand
from vodtender.procedures.direct import Direct
from vodtender.procedures.interruption import told_if_interrupted
from vodtender.procedures.progress import Tell
from vodtender.procedures.scratch import Filled, Server, filled, look_into, open_server
from vodtender.store import databases, restored
from vodtender.store.database import Database


class DrillFailedError(VodtenderError):
    """The backup cannot be restored, is not sound, or it takes longer than it may."""

    code = "drill_failed"


@dataclass(frozen=True, slots=True)
class Drilled:
    """A drill that went well. `checks` were made, `skipped` could not be;
    `passed_over` says of newer ones that were not taken as the latest why not."""

    name: str
    where: str
    seconds: float
    rto_seconds: float
    rows: dict[str, int]
    checks: list[str]
    skipped: list[str]
    passed_over: tuple[str, ...]


def drill(
    settings: Settings,
    wanted: str,
    *,
    database: Database,
    tell: Tell,
    note: Callable[[str], object],
) -> Drilled:
    """Restores a backup (from S3, if BACKUP_S3_URL is set) into a scratch database, looks for
    damage, and drops it. Whatever comes of it is recorded in `database`; `note` hears which newer
    ones were not taken as the latest.

    Raises:
        DrillFailedError: it is not sound, holds no VODs, or took longer than RESTORE_RTO.
        VodtenderError: what `restore` raises of a backup or a server.
    """
    began_at, began = datetime.now(UTC), time.monotonic()
    found: list[Source] = []
    try:
        drilled = _drilled(settings, wanted, tell, began, found)
    except Stopped:
        raise  # which says nothing of the backup
    except VodtenderError as error:
        _record(database, began_at, began, found, error.message)
        raise
    finally:
        for why in (why for source in found for why in source.passed_over):
            note(f"warning: {why}")
    problem = _too_slow(drilled)
    _record(database, began_at, began, found, problem)
    if problem is not None:
        raise DrillFailedError(
            problem, hint="raise RESTORE_RTO, or restore on a faster disk or from a nearer place"
        )
    return drilled


def _drilled(
    settings: Settings,
    wanted: str,
    tell: Tell,
    began: float,
    found: list[Source],
) -> Drilled:
    from_s3 = settings.backup_s3_url is not None
    with (
        told_if_interrupted(),
        open_server(settings) as server,
        at_hand(settings, wanted, tell, from_s3=from_s3) as source,
    ):
        found.append(source)
        contents = look_into(source, server, tell)
        with filled(source, contents, server, tell) as fresh:
            seconds = round(time.monotonic() - began, 3)
            results = _checked(server, fresh, tell)
            _judge(source, fresh, results)
    return Drilled(
        name=source.name,
        where=source.where,
        seconds=seconds,
        rto_seconds=settings.restore_rto.total_seconds(),
        rows=fresh.rows,
        checks=[one.check.promise for one in results if not one.skipped],
        skipped=[f"{one.check.promise}: {one.skipped}" for one in results if one.skipped],
        passed_over=source.passed_over,
    )


def _checked(server: Server, fresh: Filled, tell: Tell) -> list[integrity.Result]:
    database = Database(lambda: fresh.dsn)
    admin_dsn = databases.with_name(server.admin_dsn, server.scratch)
    try:
        direct = Direct(database, fresh.dsn, admin_dsn, None)
        return integrity.check(direct, lambda promise: tell(f"checking: {promise}", 0, 1))
    finally:
        database.close()


def _judge(source: Source, fresh: Filled, results: list[integrity.Result]) -> None:
    defects = [f"{defect.target}: {defect.problem}" for one in results for defect in one.defects]
    if source.manifest is not None and source.manifest.lost:
        defects.append(f"when it was made, rows were lost already: {source.manifest.lack}")
    if not fresh.rows.get("vods"):
        defects.append("it holds no VODs")
    if defects:
        raise DrillFailedError(
            "\n".join([f"{source.where} was restored and is not sound:", *defects]),
            hint="look for an older one that is: vodtender backup list\n"
            "look at the database itself: vodtender db check",
        )


def _too_slow(drilled: Drilled) -> str | None:
    if drilled.seconds <= drilled.rto_seconds:
        return None
    return (
        f"{drilled.where} is good, but restoring it took {drilled.seconds:.0f} s, and RESTORE_RTO"
        f" allows {drilled.rto_seconds:.0f} s."
    )


def _record(
    database: Database, began_at: datetime, began: float, found: list[Source], problem: str | None
) -> None:
    one = restored.Drill(
        began_at=began_at,
        ended_at=datetime.now(UTC),
        host=socket.gethostname(),
        name=found[0].name if found else None,
        seconds=round(time.monotonic() - began, 3),
        problem=problem,
    )
    with database.transaction() as connection:
        restored.record(connection, one)
