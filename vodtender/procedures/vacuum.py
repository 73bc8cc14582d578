"""Clearing out what is dead. VACUUM takes no lock that anybody feels; `full` does."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from vodtender.errors import Refused
from vodtender.procedures.direct import Direct
from vodtender.procedures.upkeep import (
    PATIENCE_SECONDS,
    Done,
    Outcome,
    Plan,
    Step,
    Tell,
    Work,
    record,
    working,
)
from vodtender.store import maintenance, sessions, sizes
from vodtender.store.impatience import impatient

if TYPE_CHECKING:
    from vodtender.store.sizes import TableSize

CATALOGS = "system catalogs"

_FULL_PATIENCE_SECONDS = 5.0
"""Behind a waiting VACUUM FULL everybody waits."""


def vacuum(
    direct: Direct,
    planned: Plan,
    *,
    full: bool,
    actor: str,
    reason: str | None,
    tell: Tell,
    lock_seconds: float | None = None,
) -> Outcome:
    """Vacuums and analyzes what was planned. What could not be done is in the outcome.

    Raises:
        Locked: another vacuum runs.
        Refused: `full`, and the disk has no room for a second copy.
        SettingsError: the way leads through a pooler.
    """
    if full:
        _require_room(planned)
    default = _FULL_PATIENCE_SECONDS if full else PATIENCE_SECONDS
    outcome = Outcome()
    with working(direct, lock_seconds or default) as work:
        number = len(planned.tables) + (planned.with_catalogs and not full)
        for place, table in enumerate(planned.tables, 1):
            with work.watched(Step(table.name, place, number), table.name, tell):
                outcome.done.append(_vacuum_one(work, table, full=full))
        if planned.with_catalogs and not full:
            tell(Step(CATALOGS, number, number))
            outcome.done.append(_vacuum_catalogs(work))
        outcome.holders = sessions.holders(work.connection)
    action = "vacuum full" if full else "vacuum"
    record(direct, action, outcome, actor=actor, reason=reason)
    return outcome


def _require_room(planned: Plan) -> None:
    free, needed = planned.room_free_bytes, planned.room_needed_bytes
    if free is not None and free < needed:
        raise Refused(
            f"The database's disk has {free // 10**6} MB left, and rewriting the largest table"
            f" takes up to {needed // 10**6} MB meanwhile. Nothing was changed.",
            hint="make room, or rewrite smaller tables only: vodtender vacuum --full --table NAME",
            code="no_room",
        )


def _vacuum_one(work: Work, before: TableSize, *, full: bool) -> Done:
    began = time.monotonic()
    problem = maintenance.vacuum(work.connection, before.name, full=full)
    seconds = time.monotonic() - began
    after = next((one for one in work.tables() if one.name == before.name), before)
    return Done(
        before.name,
        before.total_bytes,
        after.total_bytes,
        seconds,
        before.dead_rows,
        after.dead_rows,
        problem,
    )


def _vacuum_catalogs(work: Work) -> Done:
    began = time.monotonic()
    before = _catalog_bytes(work)
    problem = maintenance.vacuum_catalogs(work.connection)
    seconds = time.monotonic() - began
    return Done(CATALOGS, before, _catalog_bytes(work), seconds, problem=problem)


def _catalog_bytes(work: Work) -> int:
    with work.direct.database.transaction() as connection, impatient(connection):
        return sizes.of_catalogs(connection)
