"""Opens what the settings name: the database, and DATA_DIR."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from vodtender.config.settings import Settings
from vodtender.errors import DatabaseUnavailable
from vodtender.pipeline.directory import POSTGRES_NAME, open_directory

if TYPE_CHECKING:
    from vodtender.clients.postgres.server import EmbeddedServer
    from vodtender.store.database import Database


@contextmanager
def open_database(
    settings: Settings, *, pooled: bool = False, migrate: bool = True, create: bool = False
) -> Iterator[Database]:
    """The database of the settings, brought to the current schema; the embedded one, started
    if need be, when DB_DSN is not set. `pooled` is for threads; `create` for what may be the
    first thing that somebody does, and so makes an embedded one where there is none.

    Raises:
        DatabaseUnavailable: it cannot be had, or (code `no_database`) there is none.
        SettingsError: DATA_DIR, where the embedded one lives, cannot be written.
    """
    from vodtender.store.database import Database, connect
    from vodtender.store.migrate import check, migrate_connection, migrations

    with ExitStack() as stack:
        embedded = open_embedded(settings, stack, create=create)

        def dsn() -> str:
            return embedded.dsn if embedded is not None else settings.dsn or ""

        first = connect(dsn(), autocommit=True)
        try:
            if migrate:
                migrate_connection(first, migrations())
            else:
                check(first)
        except BaseException:
            first.close()
            raise
        if pooled:
            first.close()
            database = Database(
                dsn,
                pool_size=settings.db_max_open_conns,
                idle=settings.idle_connections,
                revive=embedded.ensure_running if embedded is not None else None,
            )
        else:
            database = Database(dsn, first=first)
        stack.callback(database.close)
        yield database


def open_embedded(
    settings: Settings, stack: ExitStack, *, create: bool = False
) -> EmbeddedServer | None:
    """A share in the embedded server, for as long as the stack lives; None with a DB_DSN.

    Raises DatabaseUnavailable; where there is none and none is to be made, with code
    `no_database`.
    """
    if settings.dsn is not None:
        return None
    from vodtender.clients.postgres.server import acquire

    if not create:
        require_embedded(settings)
    directory = open_directory(settings.data_dir)
    return stack.enter_context(acquire(directory.root / POSTGRES_NAME))


def require_embedded(settings: Settings) -> None:
    """Raises DatabaseUnavailable (`no_database`) where no embedded database lies: an empty one,
    made in whatever directory somebody happens to be, would answer every question wrongly."""
    if not has_embedded(settings):
        back = way_back(settings)
        there = f"it was lost? It is backed up: {back}\n" if back else ""
        raise DatabaseUnavailable(
            f"There is no database here: DB_DSN is not set, and DATA_DIR, which is"
            f" {settings.data_dir.absolute()}, holds none.",
            hint=f"{there}name the settings: vodtender --config FILE …; or set DB_DSN or DATA_DIR\n"
            "the first one is made by: vodtender run; or vodtender migrate",
            code="no_database",
        )


def way_back(settings: Settings) -> str:
    """What restores the embedded database from BACKUP_DIR, its latest moment before its latest
    dump; empty where nothing is there."""
    from vodtender.pipeline.backup_shelf import LocalShelf
    from vodtender.pipeline.base_shelf import BaseShelf
    from vodtender.procedures.backup_list import LATEST, named

    ways = []
    if BaseShelf(settings.backup_directory).entries():
        ways.append("vodtender restore --at latest")
    if named(LocalShelf(settings.backup_directory).entries(), LATEST) is not None:
        ways.append("vodtender restore latest")
    return "; or, from a dump: ".join(ways)


def made_anew(settings: Settings) -> str:
    """What to say before an embedded database is made where there is none, though there are
    backups of one; empty: nothing."""
    if settings.dsn is not None or has_embedded(settings):
        return ""
    back = way_back(settings)
    return (
        f"there was no database in {settings.data_dir.absolute()}, so an empty one is made; the"
        f" lost one is backed up: {back}"
        if back
        else ""
    )


def has_embedded(settings: Settings) -> bool:
    """Whether an embedded database lies in DATA_DIR, in whatever state."""
    from vodtender.clients.postgres.server import has_database

    return has_database(settings.data_dir / POSTGRES_NAME)
