"""What vacuuming and reindexing have in common: a plan, a session of their own, and somebody who
watches.

One table after the other, so that a refusal of one stops no other, and so that a person sees
where it is.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import TYPE_CHECKING

from vodtender.errors import NotFound, VodtenderError
from vodtender.procedures.direct import Direct
from vodtender.store import audit, maintenance, sessions, sizes
from vodtender.store.database import translated
from vodtender.store.impatience import impatient

if TYPE_CHECKING:
    from vodtender.store.database import Connection
    from vodtender.store.maintenance import Progress
    from vodtender.store.sessions import Holder
    from vodtender.store.sizes import TableSize

PATIENCE_SECONDS = 60.0
"""How long VACUUM and REINDEX CONCURRENTLY wait for a lock: nobody has to wait behind them."""
_LOOK_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Step:
    """What is being done, for a person who watches. `progress` None: it has just begun."""

    what: str
    number: int
    of: int
    progress: Progress | None = None


Tell = Callable[[Step], None]


@dataclass(frozen=True, slots=True)
class Done:
    """What became of one table or index. `problem`: why nothing did."""

    name: str
    bytes_before: int
    bytes_after: int
    seconds: float
    dead_rows_before: int | None = None
    dead_rows_after: int | None = None
    problem: str | None = None


@dataclass(slots=True)
class Outcome:
    """What was done, who kept dead rows alive meanwhile, and what was removed besides."""

    done: list[Done] = field(default_factory=list)
    holders: list[Holder] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)

    @property
    def problems(self) -> list[Done]:
        return [one for one in self.done if one.problem is not None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a vacuum would work on, the biggest table first, and who is in its way now."""

    tables: list[TableSize]
    holders: list[Holder]
    with_catalogs: bool
    room_needed_bytes: int
    room_free_bytes: int | None
    """None: on another machine, so nobody here can tell."""


def plan(direct: Direct, names: Sequence[str]) -> Plan:
    """What there is to do for these tables, or for all.

    Raises:
        NotFound: there is no such table, or our role may not vacuum it.
    """
    with direct.database.transaction() as connection, impatient(connection):
        found = [table for table in sizes.tables(connection) if table.is_ours]
        tables = [_named(found, name) for name in names] or found
        holders = sessions.holders(connection)
        catalogs = not names and maintenance.may_vacuum_catalogs(connection)
        largest = max((table.total_bytes for table in tables), default=0)
        needed = largest + min(largest, 2 * maintenance.largest_wal_bytes(connection))
    free = None if direct.disk is None else shutil.disk_usage(direct.disk).free
    return Plan(tables, holders, catalogs, needed, free)


@dataclass(frozen=True, slots=True)
class Work:
    """A session of one's own, and a second one that watches it."""

    direct: Direct
    connection: Connection
    second: Connection

    @contextmanager
    def watched(self, step: Step, table: str, tell: Tell) -> Iterator[None]:
        """Tells how far the work on a table is, for as long as the block lasts."""
        tell(step)
        done = Event()

        def watch() -> None:
            while not done.wait(_LOOK_SECONDS):
                try:
                    with translated():
                        progress = maintenance.progress(self.second, table)
                except VodtenderError:
                    return  # the statement itself will tell
                if progress is not None and not done.is_set():
                    tell(Step(step.what, step.number, step.of, progress))

        thread = Thread(target=watch, name="progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def tables(self) -> list[TableSize]:
        """Their sizes now."""
        with self.direct.database.transaction() as connection, impatient(connection):
            return sizes.tables(connection)


@contextmanager
def working(direct: Direct, lock_seconds: float) -> Iterator[Work]:
    """Opens the two sessions.

    Raises:
        Locked: another vacuum of ours runs.
        SettingsError: the way leads through a pooler.
    """
    connection = direct.connect()
    try:
        maintenance.begin(connection, lock_seconds=lock_seconds)
        with direct.connect() as second:
            yield Work(direct, connection, second)
    finally:
        connection.close()


def record(
    direct: Direct, action: str, outcome: Outcome, *, actor: str, reason: str | None
) -> None:
    """Writes what was done into the audit; what each took before and after, in bytes."""
    done = [one for one in outcome.done if one.problem is None]
    with direct.database.transaction(actor=actor) as connection:
        audit.record(
            connection,
            actor=actor,
            action=action,
            target="database",
            before={one.name: one.bytes_before for one in done},
            after={one.name: one.bytes_after for one in done},
            reason=reason,
        )


def describe(holder: Holder) -> str:
    """Who it is, in a few words."""
    who = "a dump" if holder.is_dump else f"a transaction of {holder.application or holder.role}"
    return f"{who} (pid {holder.pid}, from {holder.client})"


def _named(tables: Iterable[TableSize], name: str) -> TableSize:
    for table in tables:
        if name in (table.name, table.name.strip('"'), f"public.{table.name}"):
            return table
    known = ", ".join(sorted(table.name for table in tables))
    raise NotFound(
        f"There is no table {name} here that may be vacuumed.",
        hint=f"there are: {known}" if known else "",
        code="no_table",
    )
