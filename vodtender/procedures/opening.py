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
        raise DatabaseUnavailable(
            f"There is no database here: DB_DSN is not set, and DATA_DIR, which is"
            f" {settings.data_dir.absolute()}, holds none.",
            hint="name the settings: vodtender --config FILE …; or set DB_DSN or DATA_DIR\n"
            "the first one is made by: vodtender run; or vodtender migrate",
            code="no_database",
        )


def has_embedded(settings: Settings) -> bool:
    """Whether an embedded database lies in DATA_DIR, in whatever state."""
    from vodtender.clients.postgres.server import has_database

    return has_database(settings.data_dir / POSTGRES_NAME)
