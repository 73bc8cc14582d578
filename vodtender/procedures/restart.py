"""Restarting the database server: ours is restarted, of others it is known how."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from vodtender.clients.postgres import server as postgres_server
from vodtender.config.settings import Settings
from vodtender.errors import DatabaseUnavailable
from vodtender.pipeline.directory import POSTGRES_NAME
from vodtender.procedures.change import Change
from vodtender.procedures.opening import open_database, require_embedded
from vodtender.store import audit, sessions, workers
from vodtender.store.database import connect

COMMANDS = (
    ("a service", "systemctl restart postgresql"),
    ("Docker", "docker restart vod-postgres"),
    ("Kubernetes", "kubectl rollout restart statefulset/postgres -n vod-tender"),
)
"""How a server that is not ours is restarted, by where it runs."""


@dataclass(frozen=True, slots=True)
class Before:
    """What a restart would interrupt. `started_at` None: it is not running, or does not answer."""

    started_at: datetime | None
    daemons: int = 0
    dumps: int = 0


def look(settings: Settings) -> Before:
    """Starts nothing. Raises DatabaseUnavailable (`no_database`)."""
    require_embedded(settings)
    dsn = postgres_server.running_dsn(settings.data_dir / POSTGRES_NAME)
    if dsn is None:
        return Before(None)
    try:
        with connect(dsn, autocommit=True) as connection:
            started_at = sessions.server_started_at(connection)
            daemons = workers.count(connection, heard_within_seconds=settings.lease_seconds)
            dumps = sum(holder.is_dump for holder in sessions.holders(connection))
    except DatabaseUnavailable:
        return Before(None)
    return Before(started_at, daemons, dumps)


def restart(
    settings: Settings, before: Before, *, actor: str, reason: str | None, dry_run: bool
) -> Change:
    """Ends the embedded server, also one that hangs, and starts it again. Daemons lose their
    connections and go on with the new server.

    Raises:
        DatabaseUnavailable: it does not come up.
    """
    was = {"started_at": before.started_at}
    if dry_run:
        return Change("embedded server", was, {"started_at": "now"})
    postgres_server.restart(settings.data_dir / POSTGRES_NAME)
    with open_database(settings) as database, database.transaction(actor=actor) as connection:
        started_at = sessions.server_started_at(connection)
        change = Change("embedded server", was, {"started_at": started_at})
        audit.record(
            connection,
            actor=actor,
            action="db restart",
            target=change.target,
            before=change.before,
            after=change.after,
            reason=reason,
        )
    return change
