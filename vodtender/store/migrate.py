"""Brings a database to the current schema: plain SQL files, forward only.

Each file is applied in a transaction of its own, under a lock that ends with it, so that any
number of processes may start together. Its first line says which is the oldest program, by the
number of the newest migration that program knows, that still works with the schema afterwards.
So new columns come in one release and old ones go in a later one, and a program that is rolled
back goes on working or says that it cannot.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

import psycopg
from psycopg import sql

from vodtender import __version__
from vodtender.errors import DatabaseUnavailable
from vodtender.store.database import Connection, connect, first_line, translated

_LOCK = 0x766F6474  # "vodt"
_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
_OLDEST = re.compile(r"-- oldest program: (\d+)\n")
_OLDEST_SERVER = 150_000
_LOCK_TIMEOUT_SECONDS = 10

_HISTORY = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version integer PRIMARY KEY,
    name text NOT NULL,
    oldest_program integer NOT NULL,
    applied_by text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One SQL file. `oldest_program` is the newest migration that a program must know."""

    version: int
    name: str
    oldest_program: int
    statements: str


@dataclass(frozen=True, slots=True)
class Schema:
    """What a database has. Version 0: nothing of ours yet."""

    version: int
    oldest_program: int


def migrations() -> tuple[Migration, ...]:
    """All migrations this program brings, in order."""
    found = []
    for file in resources.files("vodtender.store").joinpath("migrations").iterdir():
        named = _NAME.fullmatch(file.name)
        if named is None:
            continue
        statements = file.read_text(encoding="utf-8")
        oldest = _OLDEST.match(statements)
        if oldest is None:
            raise ValueError(f"{file.name} does not begin with '-- oldest program: N'")
        found.append(Migration(int(named[1]), file.name, int(oldest[1]), statements))
    return tuple(sorted(found, key=lambda migration: migration.version))


def migrate(dsn: str, wanted: Sequence[Migration] | None = None) -> tuple[str, ...]:
    """Applies what is missing; returns the names of what was applied.

    Raises:
        DatabaseUnavailable: it cannot be reached, is not ours (code `not_ours`), is too old a
            server, has a schema that this program is too old for (code `schema_newer`), or
            holds something that a migration cannot cope with (code `migration_failed`).
    """
    steps = migrations() if wanted is None else tuple(wanted)
    with connect(dsn) as connection:
        return migrate_connection(connection, steps)


def migrate_connection(connection: Connection, steps: Sequence[Migration]) -> tuple[str, ...]:
    """See `migrate`; for a connection that is at hand."""
    applied = []
    while (name := _apply_next(connection, steps)) is not None:
        applied.append(name)
    return tuple(applied)


def pending(connection: Connection) -> tuple[str, ...]:
    """The names of the migrations that are missing; changes nothing."""
    schema = check(connection)
    return tuple(step.name for step in migrations() if step.version > schema.version)


def check(connection: Connection, newest_known: int | None = None) -> Schema:
    """What the database has, if this program can work with it.

    Raises:
        DatabaseUnavailable: `not_ours`, `schema_newer` or `server_too_old`.
    """
    if connection.info.server_version < _OLDEST_SERVER:
        raise DatabaseUnavailable(
            f"The server is PostgreSQL {connection.info.server_version // 10000}; 15 or newer"
            " is needed.",
            hint="upgrade the server, or leave DB_DSN unset to use the embedded one",
            code="server_too_old",
        )
    known = migrations()[-1].version if newest_known is None else newest_known
    schema = _read(connection)
    if schema.version > known and schema.oldest_program > known:
        raise DatabaseUnavailable(
            f"The database has schema {schema.version} of a newer vodtender; this one knows"
            f" up to {known} and would damage it.",
            hint="install the vodtender that was here last, or a newer one",
            code="schema_newer",
        )
    return schema


def _apply_next(connection: Connection, steps: Sequence[Migration]) -> str | None:
    newest = steps[-1].version if steps else 0
    with translated(), connection.transaction():
        if check(connection, newest).version >= newest:
            return None
    with translated(), connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        # A dump reads every table for as long as it takes. Who waits for one of its locks makes
        # everybody else wait behind him.
        connection.execute(
            "SELECT set_config('lock_timeout', %s, true)", (f"{int(_LOCK_TIMEOUT_SECONDS * 1000)}",)
        )
        schema = check(connection, newest)  # somebody else may have been faster
        step = next((step for step in steps if step.version > schema.version), None)
        if step is None:
            return None
        try:
            _apply(connection, step)
        except DatabaseUnavailable as error:
            if not isinstance(error.__cause__, psycopg.errors.LockNotAvailable):
                raise
            raise DatabaseUnavailable(
                f"Migration {step.name} waits for tables that somebody else uses, perhaps a dump;"
                " nothing of it was applied.",
                hint="vodtender db connections shows who; try again when that has ended",
                code="migration_waits",
            ) from error
        except psycopg.Error as error:
            raise DatabaseUnavailable(
                f"Migration {step.name} failed, and nothing of it was applied: {first_line(error)}",
                hint="a database that held nothing before is the surest; else report this",
                code="migration_failed",
            ) from error
        return step.name


def _apply(connection: Connection, step: Migration) -> None:
    with translated():
        connection.execute(_HISTORY)
        connection.execute(sql.SQL(step.statements))
        connection.execute(
            "INSERT INTO schema_migrations (version, name, oldest_program, applied_by)"
            " VALUES (%s, %s, %s, %s)",
            (step.version, step.name, step.oldest_program, __version__),
        )


def _read(connection: Connection) -> Schema:
    with translated():
        # Not by to_regclass: its answer may be from before the wait for the lock.
        there = connection.execute(
            "SELECT bool_or(relname = 'schema_migrations') AS ours, count(*) AS tables,"
            " bool_or(EXISTS (SELECT FROM pg_attribute WHERE attrelid = pg_class.oid"
            " AND attname = 'oldest_program')) AS readable FROM pg_class"
            " WHERE relname IN ('schema_migrations', 'vods') AND pg_table_is_visible(oid)"
        ).fetchone()
        assert there is not None
        if not there["ours"]:
            if there["tables"]:
                raise _not_ours()
            return Schema(0, 0)
        if not there["readable"]:
            raise _not_ours()
        row = connection.execute(
            "SELECT coalesce(max(version), 0) AS version,"
            " coalesce(max(oldest_program), 0) AS oldest FROM schema_migrations"
        ).fetchone()
    assert row is not None
    return Schema(row["version"], row["oldest"])


def _not_ours() -> DatabaseUnavailable:
    return DatabaseUnavailable(
        "The database belongs to another program: it has a table `vods` or `schema_migrations`"
        " that vodtender did not make. Nothing was changed.",
        hint="give vodtender a database of its own in DB_DSN",
        code="not_ours",
    )
