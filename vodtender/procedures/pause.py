"""Pausing everything, and going on."""

from __future__ import annotations

from typing import Any

from vodtender.log import redact
from vodtender.procedures.change import Change
from vodtender.store import audit, pause
from vodtender.store.database import Connection, Database
from vodtender.store.pause import Pause

_TARGET = "processing"


def begin(database: Database, *, actor: str, reason: str | None, dry_run: bool) -> Change:
    """Nothing new is begun from now on, whatever is restarted; what is in hand is finished. A
    pause that there is already only gets the new reason, if there is one."""
    with database.transaction(actor=actor, keep=not dry_run) as connection:
        before = pause.get(connection)
        kept = "" if before is None else before.reason
        wanted = kept if reason is None else redact(reason)
        if before is not None and before.reason == wanted:
            return _change(before, before, "paused already")
        pause.begin(connection, wanted)
        change = _change(before, pause.get(connection))
        _record(connection, "pause", change, actor, reason)
        return change


def end(database: Database, *, actor: str, reason: str | None, dry_run: bool) -> Change:
    """Work is begun again, at once."""
    with database.transaction(actor=actor, keep=not dry_run) as connection:
        before = pause.get(connection)
        if before is None:
            return _change(None, None, "not paused")
        pause.end(connection)
        change = _change(before, None)
        _record(connection, "resume", change, actor, reason)
        return change


def _change(before: Pause | None, after: Pause | None, note: str = "") -> Change:
    return Change(_TARGET, _shown(before), _shown(after), note)


def _shown(found: Pause | None) -> dict[str, Any]:
    return {"paused": found is not None, "reason": (found.reason or None) if found else None}


def _record(
    connection: Connection, action: str, change: Change, actor: str, reason: str | None
) -> None:
    audit.record(
        connection,
        actor=actor,
        action=action,
        target=_TARGET,
        before=change.before,
        after=change.after,
        reason=reason,
    )
