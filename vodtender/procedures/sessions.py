"""Who is connected to the database server, whether there is room, and ending what is idle."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from vodtender.config.settings import Settings
from vodtender.model.connections import Demand
from vodtender.procedures.change import Change
from vodtender.procedures.direct import Direct
from vodtender.store import audit, sessions, workers

if TYPE_CHECKING:
    from vodtender.store.sessions import Group, Holder, Session

STUCK = "this role may not end it, or it does not end"
"""The note of a change that was wanted and is not there."""

_OURS = "vodtender"


@dataclass(frozen=True, slots=True)
class Connections:
    """All connections of the server, and what they mean."""

    groups: list[Group]
    demand: Demand
    holders: list[Holder]


def connections(direct: Direct, settings: Settings) -> Connections:
    """What is there now, as far as our role may see it."""
    with direct.database.transaction() as connection:
        found = sessions.groups(connection)
        room = sessions.room(connection)
        holders = sessions.holders(connection)
        daemons = workers.count(connection, heard_within_seconds=settings.lease_seconds)
    others = sum(group.connections for group in found if group.application != _OURS)
    demand = Demand(
        max_connections=room.max_connections,
        reserved=room.reserved,
        in_use=room.in_use,
        others=others,
        daemons=daemons,
        per_daemon=settings.db_max_open_conns,
    )
    return Connections(found, demand, holders)


def idle(direct: Direct, older_than: timedelta, *, in_transaction: bool) -> list[Session]:
    """What `kill_idle` would end."""
    with direct.database.transaction() as connection:
        return sessions.idle(connection, older_than.total_seconds(), in_transaction=in_transaction)


def kill_idle(
    direct: Direct,
    chosen: list[Session],
    older_than: timedelta,
    *,
    in_transaction: bool,
    actor: str,
    reason: str | None,
    dry_run: bool,
) -> list[Change]:
    """Ends those that are idle still. Whoever held one gets another: the daemons' pools do."""
    with direct.database.transaction(actor=actor) as connection:
        changes = []
        for session in chosen:
            ended: bool | None = True
            if not dry_run:
                ended = sessions.end(
                    connection,
                    session,
                    older_than.total_seconds(),
                    in_transaction=in_transaction,
                )
            changes.append(_change(session, ended))
        gone = [change.target for change in changes if change.changed]
        if gone and not dry_run:
            audit.record(
                connection,
                actor=actor,
                action="db kill-idle",
                target="connections",
                before=dict.fromkeys(gone, "connected"),
                after=dict.fromkeys(gone, "ended"),
                reason=reason,
            )
    return changes


def _change(session: Session, ended: bool | None) -> Change:
    name = f"pid {session.pid} ({session.role}, {session.application or '?'}, {session.client})"
    before = {"state": session.state}
    if ended:
        return Change(name, before, {"state": "ended"})
    return Change(name, before, before, note="not idle any more" if ended is None else STUCK)
