"""Building indexes anew, one by one, while everybody goes on reading and writing.

REINDEX CONCURRENTLY that is broken off leaves a half-built index, which no query uses and every
change pays for; such are removed before, after each failure, and at the end.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
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
    describe,
    record,
    working,
)
from vodtender.store import maintenance, sessions, sizes
from vodtender.store.impatience import impatient

if TYPE_CHECKING:
    from vodtender.store.sessions import Holder
    from vodtender.store.sizes import IndexSize


def reindex(
    direct: Direct,
    planned: Plan,
    *,
    actor: str,
    reason: str | None,
    tell: Tell,
    lock_seconds: float = PATIENCE_SECONDS,
) -> Outcome:
    """Builds the indexes of those tables anew, one by one, while everybody reads and writes,
    and removes what broken reindexing has left, before and after.

    Raises:
        Locked: another vacuum runs.
        Refused: a dump or another long transaction runs; it could not end before that one.
        SettingsError: the way leads through a pooler.
    """
    if planned.holders:
        raise _waits_for(planned.holders)
    tables = {table.name for table in planned.tables}
    outcome = Outcome()
    with working(direct, lock_seconds) as work:
        stuck = _remove_leftovers(work, tables, outcome.removed)
        indexes = [one for one in _indexes(work, tables) if not one.is_leftover]
        try:
            for place, index in enumerate(reversed(indexes), 1):
                step = Step(index.name, place, len(indexes))
                with work.watched(step, index.table, tell):
                    outcome.done.append(_reindex_one(work, index))
                if outcome.done[-1].problem is not None:
                    _remove_leftovers(work, tables, outcome.removed)
        finally:
            # After Ctrl-C, too: what was being built is of no use to anybody.
            if not work.connection.closed:
                stuck = _remove_leftovers(work, tables, outcome.removed)
        outcome.done += stuck
        outcome.holders = sessions.holders(work.connection)
    record(direct, "vacuum reindex", outcome, actor=actor, reason=reason)
    return outcome


def _waits_for(holders: Sequence[Holder]) -> Refused:
    who = ", ".join(map(describe, holders))
    return Refused(
        f"Reindexing would have to wait for {who}, and would leave a useless index behind if it"
        " gave up. Nothing was changed.",
        hint="try again when that has ended; who is connected: vodtender db connections",
        code="long_transaction",
    )


def _reindex_one(work: Work, before: IndexSize) -> Done:
    began = time.monotonic()
    problem = maintenance.reindex(work.connection, before.name)
    seconds = time.monotonic() - began
    after = next((one for one in _indexes(work, {before.table}) if one.name == before.name), before)
    return Done(before.name, before.total_bytes, after.total_bytes, seconds, problem=problem)


def _remove_leftovers(work: Work, tables: set[str], removed: list[str]) -> list[Done]:
    """Adds to `removed`; returns those that cannot be removed now."""
    stuck = []
    for index in _indexes(work, tables):
        if index.is_leftover:
            problem = maintenance.drop_leftover(work.connection, index.name)
            if problem is None:
                removed.append(index.name)
            else:
                size = index.total_bytes
                stuck.append(Done(index.name, size, size, 0.0, problem=problem))
    return stuck


def _indexes(work: Work, tables: set[str]) -> list[IndexSize]:
    with work.direct.database.transaction() as connection, impatient(connection):
        found = sizes.indexes(connection)
    return [index for index in found if index.table in tables and index.is_ours]
