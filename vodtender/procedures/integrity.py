"""Looks for damage in the database: the runbook's checks, and those that PostgreSQL brings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vodtender.errors import DatabaseUnavailable
from vodtender.procedures.direct import Direct
from vodtender.store import integrity
from vodtender.store.database import DAMAGED, Database
from vodtender.store.impatience import impatient
from vodtender.store.integrity import Defect

if TYPE_CHECKING:
    from vodtender.store.database import Connection

Look = Callable[["Connection"], Iterator[Defect]]

_LONGEST_SECONDS = 6 * 3600.0

_RESTORE = (
    "which backup is from before the damage: vodtender backup list\n"
    "go back to that one: vodtender restore NAME --replace; what can be read now is kept"
)
_ROWS = f"look at the rows: vodtender db shell\n{_RESTORE}"
_REINDEX = "vodtender vacuum --reindex"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must be so. `advice` is what to type when it is not."""

    name: str
    promise: str
    advice: str


@dataclass(frozen=True, slots=True)
class Result:
    """What a check has found. `skipped` says why it could not be made."""

    check: Check
    defects: list[Defect]
    skipped: str = ""

    @property
    def is_good(self) -> bool:
        return not self.defects


_CHECKS: tuple[tuple[Check, Look], ...] = (
    (Check("rows", "every row can be read", _RESTORE), integrity.unreadable),
    (Check("vanished", "no row has vanished from its table", _RESTORE), integrity.vanished),
    (Check("nulls", "every id and every required value is there", _ROWS), integrity.nulls),
    (Check("duplicates", "no id is there twice", _ROWS), integrity.duplicates),
    (Check("references", "every reference leads somewhere", _ROWS), integrity.broken_references),
    (Check("constraints", "every row satisfies its constraints", _ROWS), integrity.broken_checks),
    (Check("validated", "every constraint is validated", ""), integrity.not_validated),
    (Check("indexes", "every index is complete", _REINDEX), integrity.invalid_indexes),
    (Check("counts", "VODs are counted right", ""), integrity.wrong_counts),
    (Check("sequences", "every counter is ahead of its column", ""), integrity.sequences_behind),
    (
        Check(
            "checksums",
            "no page came damaged from the disk",
            f"the disk or its memory fails: move the database\n{_RESTORE}",
        ),
        integrity.checksum_failures,
    ),
)

_PAGES = Check(
    "pages",
    "tables and indexes are sound inside (amcheck)",
    f"for an index: {_REINDEX}\n{_RESTORE}",
)


def check(direct: Direct, tell: Callable[[str], object]) -> list[Result]:
    """Makes every check, each in a transaction of its own, so that none holds up vacuum for
    longer than it takes. `tell` hears what each promises before it is made.

    Raises:
        DatabaseUnavailable: the connection is lost.
        Locked: a table is locked for longer than a few seconds.
    """
    results = []
    for one, look in _CHECKS:
        tell(one.promise)
        results.append(_result(direct, one, look))
    tell(_PAGES.promise)
    results.append(_pages(direct))
    return results


def _result(direct: Direct, one: Check, look: Look) -> Result:
    """Damage that a check stumbles over is a defect, too."""
    try:
        with _looking(direct.database) as connection:
            integrity.without_indexes(connection)
            return Result(one, list(look(connection)))
    except DatabaseUnavailable as error:
        if error.code != DAMAGED:
            raise
        return Result(one, [Defect("it could not be looked at", error.message)])


@contextmanager
def _looking(database: Database, *, keep: bool = True) -> Iterator[Connection]:
    with (
        database.transaction(timeout_seconds=_LONGEST_SECONDS, keep=keep) as connection,
        impatient(connection),
    ):
        yield connection


def _pages(direct: Direct) -> Result:
    """By our own role if it may, else as the administrator, without leaving the extension."""
    with _looking(direct.database) as connection:
        schema = integrity.amcheck_schema(connection)
        if schema is not None:
            return Result(_PAGES, list(integrity.damaged_pages(connection, schema)))
    if direct.admin_dsn is None:
        return Result(_PAGES, [], skipped="it takes a superuser, and DB_ADMIN_DSN is not set")
    admin = Database(lambda: direct.admin_dsn or "")
    try:
        with _looking(admin, keep=False) as connection:
            there = integrity.add_amcheck(connection)
            schema = integrity.amcheck_schema(connection) if there else None
            if schema is None:
                return Result(_PAGES, [], skipped="the server has no amcheck that we may use")
            return Result(_PAGES, list(integrity.damaged_pages(connection, schema)))
    finally:
        admin.close()
