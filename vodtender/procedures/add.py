"""VODs that no listing names, or that are wanted sooner or otherwise than others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vodtender.model.vod import Stage, Vod
from vodtender.procedures.change import Change
from vodtender.procedures.vod_change import Tally, change_each, change_one, record
from vodtender.store import vods
from vodtender.store.database import Connection, Database

_AT_REST = {Stage.FAILED: "retry", Stage.SKIPPED: "reprocess"}


def add(
    database: Database,
    vod_ids: Sequence[str],
    *,
    skip_upload: bool | None = None,
    priority: int | None = None,
    actor: str,
    reason: str | None,
    dry_run: bool,
) -> Tally:
    """Adds VODs by number; title and channel are learnt with the download. Of those that are
    known already only what is given is changed."""
    wanted = {"skip_upload": skip_upload, "priority": priority}
    given = {name: value for name, value in wanted.items() if value is not None}

    def change(vod_id: str) -> Change:
        with database.transaction(actor=actor, keep=not dry_run) as connection:
            is_new = vods.add(
                connection, vod_id, skip_upload=bool(skip_upload), priority=priority or 0
            )
            if is_new:
                made = Change(vod_id, {"state": None, **dict.fromkeys(given)}, _new(given))
                record(connection, made, action="add", actor=actor, reason=reason)
                return made
        return change_one(
            database,
            vod_id,
            lambda connection, vod: _alter(connection, vod, given),
            action="add",
            actor=actor,
            reason=reason,
            dry_run=dry_run,
        )

    return change_each(vod_ids, change)


def _new(given: dict[str, Any]) -> dict[str, Any]:
    return {"state": "queued", **given}


def _alter(connection: Connection, vod: Vod, given: dict[str, Any]) -> str:
    different = {name: value for name, value in given.items() if getattr(vod, name) != value}
    if different:
        vods.edit(connection, vod, **different)
    command = _AT_REST.get(vod.stage)
    what_next = f"; type: vodtender {command} {vod.twitch_vod_id}" if command else ""
    return f"known already, {vod.state}{what_next}"
