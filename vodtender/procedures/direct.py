"""The way to the database itself, past any pooler, for what concerns the server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vodtender.config.settings import Settings
from vodtender.errors import DatabaseUnavailable
from vodtender.pipeline.directory import POSTGRES_NAME
from vodtender.procedures.opening import open_embedded

if TYPE_CHECKING:
    from vodtender.store.database import Connection, Database


@dataclass(frozen=True, slots=True)
class Direct:
    """`database` has one connection. `admin_dsn` leads to the same database as somebody who may
    more, if the settings know such a role; `instead_of` says why `database` is that one's
    already. `disk` is where the embedded server keeps its data."""

    database: Database
    dsn: str
    admin_dsn: str | None
    disk: Path | None
    instead_of: str = ""

    def connect(self) -> Connection:
        """One more connection, in autocommit mode. Raises DatabaseUnavailable."""
        from vodtender.store.database import connect

        return connect(self.dsn, autocommit=True)


@contextmanager
def open_direct(
    settings: Settings, *, migrate: bool = True, emergency: bool = False
) -> Iterator[Direct]:
    """Opens it. With `emergency` the role of DB_ADMIN_DSN (the embedded server's own superuser)
    is taken where ours is refused: for superusers there is room in a server that is full.

    Raises:
        DatabaseUnavailable: it cannot be had.
        SettingsError: DATA_DIR, where the embedded one lives, cannot be written.
    """
    from vodtender.store.database import Database, connect, with_database_of
    from vodtender.store.migrate import migrate_connection, migrations

    with ExitStack() as stack:
        embedded = open_embedded(settings, stack)
        dsn = embedded.dsn if embedded is not None else settings.direct_dsn or ""
        admin = embedded.admin_dsn if embedded is not None else settings.db_admin_dsn
        admin = None if admin is None else with_database_of(dsn, admin)
        instead_of = ""
        try:
            first = connect(dsn, autocommit=True)
        except DatabaseUnavailable as error:
            stepping_in = _admin(admin) if emergency else None
            if stepping_in is None:
                raise
            first, instead_of = stepping_in, error.message
        stack.callback(first.close)
        if migrate and not instead_of:
            migrate_connection(first, migrations())
        database = Database(lambda: dsn, first=first)
        stack.callback(database.close)
        disk = settings.data_dir / POSTGRES_NAME if embedded is not None else None
        yield Direct(database, dsn, admin, disk, instead_of)


def _admin(dsn: str | None) -> Connection | None:
    from vodtender.store.database import connect

    if dsn is None:
        return None
    try:
        return connect(dsn, autocommit=True)
    except DatabaseUnavailable:
        return None
