"""VODs go the whole way again, done ones too."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from vodtender.model import intervention
from vodtender.model.vod import Vod
from vodtender.procedures.change import Change
from vodtender.procedures.vod_change import Tally, change_each, change_one
from vodtender.store import vods
from vodtender.store.database import Connection, Database, clock
from vodtender.store.vods import Filter


def reprocess(
    database: Database, vod_ids: Sequence[str], *, actor: str, reason: str | None, dry_run: bool
) -> Tally:
    """Puts VODs back to the beginning. Before anything is fetched again YouTube is asked and
    the file looked at: a video that YouTube has stays the VOD's, and is never sent twice."""

    def change(vod_id: str) -> Change:
        return change_one(
            database,
            vod_id,
            _reprocess,
            action="reprocess",
            actor=actor,
            reason=reason,
            dry_run=dry_run,
        )

    return change_each(vod_ids, change)


def found_since(database: Database, since: datetime) -> list[str]:
    """The VODs whose rows were entered after this moment."""
    with database.transaction() as connection:
        return vods.numbers(connection, Filter(created_after=since))


def _reprocess(connection: Connection, vod: Vod) -> str:
    verdict = intervention.reprocess(vod, clock(connection))
    if verdict.acts:
        vods.edit(connection, vod, download_state="pending")
    return verdict.says
