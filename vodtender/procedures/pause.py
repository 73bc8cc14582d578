"""Pausing everything, and going on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from vodtender.procedures.change import Change
from vodtender.store import audit, pause
from vodtender.store.database import Database
from vodtender.store.pause import Pause

_TARGET = "processing"


def begin(database: Database, *, actor: str, reason: str | None, dry_run: bool) -> Change:
    """Nothing new is begun from now on, whatever is restarted; what is in hand is finished. A
    pause that there is already only gets the new reason, if there is one."""
    with database.transaction(actor=actor) as connection:
        before = pause.get(connection)
        kept = "" if before is None else before.reason
        wanted = kept if reason is None else reason
        change = Change(_TARGET, _shown(before), _paused(wanted))
        if not change.changed:
            return replace(change, note="paused already")
        if not dry_run:
            pause.begin(connection, wanted)
            audit.record(
                connection,
                actor=actor,
                action="pause",
                target=_TARGET,
                before=change.before,
                after=change.after,
                reason=reason,
            )
        return change


def end(database: Database, *, actor: str, reason: str | None, dry_run: bool) -> Change:
    """Work is begun again, at once."""
    with database.transaction(actor=actor) as connection:
        before = pause.get(connection)
        change = Change(_TARGET, _shown(before), _shown(None))
        if before is None:
            return replace(change, note="not paused")
        if not dry_run:
            pause.end(connection)
            audit.record(
                connection,
                actor=actor,
                action="resume",
                target=_TARGET,
                before=change.before,
                after=change.after,
                reason=reason,
            )
        return change


def _shown(found: Pause | None) -> dict[str, Any]:
    return {"paused": False, "reason": None} if found is None else _paused(found.reason)


def _paused(reason: str) -> dict[str, Any]:
    return {"paused": True, "reason": reason or None}
