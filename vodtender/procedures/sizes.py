"""How large the database is, and what in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vodtender.procedures.direct import Direct
from vodtender.store import sizes
from vodtender.store.impatience import impatient

if TYPE_CHECKING:
    from vodtender.store.sizes import IndexSize, TableSize


@dataclass(frozen=True, slots=True)
class Sizes:
    """Both the biggest first. `total_bytes` is the whole database, the system's tables
    included."""

    total_bytes: int
    tables: list[TableSize]
    indexes: list[IndexSize]


def measure(direct: Direct) -> Sizes:
    """What it is now.

    Raises:
        Locked: somebody rewrites a table at this moment.
    """
    with direct.database.transaction() as connection, impatient(connection):
        return Sizes(
            sizes.of_database(connection), sizes.tables(connection), sizes.indexes(connection)
        )
