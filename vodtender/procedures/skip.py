"""Leaving VODs alone, and ending what is being done to them."""

from __future__ import annotations

import time
from collections.abc import Sequence

from vodtender.log import redact
from vodtender.model import intervention
from vodtender.model.legal_text import one_line
from vodtender.model.vod import Vod
from vodtender.procedures.change import Change
from vodtender.procedures.vod_change import Tally, change_each, change_one
from vodtender.store import vods
from vodtender.store.database import Connection, Database, clock

_LOOK_SECONDS = 0.2
_REASON_MAX = 1000


def skip(
    database: Database, vod_ids: Sequence[str], *, actor: str, reason: str | None, dry_run: bool
) -> Tally:
    """Nothing is done with these VODs any more; see `end`."""
    return end(database, vod_ids, "skip", "skipped", actor=actor, reason=reason, dry_run=dry_run)


def cancel(
    database: Database, vod_ids: Sequence[str], *, actor: str, reason: str | None, dry_run: bool
) -> Tally:
    """Ends what is being done to these VODs; see `end`."""
    return end(
        database, vod_ids, "cancel", "cancelled", actor=actor, reason=reason, dry_run=dry_run
    )


def end(
    database: Database,
    vod_ids: Sequence[str],
    action: str,
    done: str,
    *,
    actor: str,
    reason: str | None,
    dry_run: bool,
) -> Tally:
    """A VOD that nobody works on is skipped at once. The worker of another one is told with its
    next heartbeat to stop, and skips it when it has; should it die before, the VOD is skipped
    when its lease ends. The reason is what the VOD's error says from then on."""
    text = one_line(redact(reason or ""))[:_REASON_MAX] or f"{done} by {actor}"

    def step(connection: Connection, vod: Vod) -> str:
        now = clock(connection)
        verdict = intervention.skip(vod, now)
        if not verdict.acts:
            return verdict.says
        if vod.is_in_work(now):
            vods.request_cancel(connection, vod, text)
        else:
            vods.edit(connection, vod, download_state="skipped", processing_error=text)
        return verdict.says

    def change(vod_id: str) -> Change:
        return change_one(
            database, vod_id, step, action=action, actor=actor, reason=reason, dry_run=dry_run
        )

    return change_each(vod_ids, change)


def still_ending(database: Database, tally: Tally, timeout_seconds: float) -> list[str]:
    """Waits until the workers that were told to stop have stopped; returns the VODs whose have
    not after so long."""
    waiting = [c.target for c in tally.changes if c.after.get("cancel_reason") is not None]
    deadline = time.monotonic() + timeout_seconds
    while True:
        with database.transaction() as connection:
            found = [vods.get(connection, vod_id) for vod_id in waiting]
        waiting = [v.twitch_vod_id for v in found if v is not None and v.cancel_reason is not None]
        if not waiting or time.monotonic() >= deadline:
            return waiting
        time.sleep(_LOOK_SECONDS)
