"""The order in which VODs are taken."""

from __future__ import annotations

from vodtender.model.vod import Stage, Vod
from vodtender.procedures.change import Change
from vodtender.procedures.vod_change import change_one
from vodtender.store import vods
from vodtender.store.database import Connection, Database


def prioritise(
    database: Database,
    vod_id: str,
    priority: int,
    *,
    actor: str,
    reason: str | None,
    dry_run: bool,
) -> Change:
    """Those with the highest number go first, in downloads as in uploads; 0 is usual.

    Raises:
        NotFound: there is no such VOD.
    """

    def step(connection: Connection, vod: Vod) -> str:
        if vod.priority == priority:
            return f"its priority is {priority} already"
        vods.edit(connection, vod, priority=priority)
        is_done = vod.stage in (Stage.PUBLISHED, Stage.FAILED, Stage.SKIPPED)
        return f"{vod.stage}, so it matters only when it goes again" if is_done else ""

    return change_one(
        database, vod_id, step, action="priority", actor=actor, reason=reason, dry_run=dry_run
    )
