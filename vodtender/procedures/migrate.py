"""Bringing the database to the current schema, and saying what that takes."""

from __future__ import annotations

from dataclasses import dataclass

from vodtender.store import audit, migrate
from vodtender.store.database import Database, connect


@dataclass(frozen=True, slots=True)
class Migrated:
    """The schema's number before and after; what was applied, and what a dry run left."""

    schema_before: int
    schema: int
    applied: tuple[str, ...]
    pending: tuple[str, ...]


def bring_up(database: Database, *, actor: str, reason: str | None, dry_run: bool) -> Migrated:
    """Applies what is missing. `schema_migrations` says for ever by which version and when.

    Raises:
        DatabaseUnavailable: it cannot be reached, is not ours, or is newer than this program.
    """
    with connect(database.dsn, autocommit=True) as connection:
        before = migrate.check(connection).version
        if dry_run:
            return Migrated(before, before, (), migrate.pending(connection))
        applied = migrate.migrate_connection(connection, migrate.migrations())
        after = migrate.check(connection).version
    if applied:
        with database.transaction(actor=actor) as connection:
            audit.record(
                connection,
                actor=actor,
                action="migrate",
                target="schema",
                before={"schema": before},
                after={"schema": after},
                reason=reason,
            )
    return Migrated(before, after, applied, ())
