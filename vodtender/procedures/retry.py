"""Failed and held VODs go on now instead of later."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from vodtender.model import intervention
from vodtender.model.vod import Stage, Vod
from vodtender.procedures.change import Change
from vodtender.procedures.vod_change import Tally, change_each, change_one
from vodtender.store import audit, uploads, vods
from vodtender.store.database import Connection, Database, clock
from vodtender.store.vods import Filter

_GAPS = "segments_gone"


def retry(
    database: Database,
    vod_ids: Sequence[str],
    *,
    allow_gaps: bool = False,
    actor: str,
    reason: str | None,
    dry_run: bool,
) -> Tally:
    """Releases these VODs. With `allow_gaps` what Twitch no longer hands out may be missing
    from their files."""

    def change(vod_id: str) -> Change:
        return change_one(
            database,
            vod_id,
            lambda connection, vod: _retry(connection, vod, allow_gaps=allow_gaps),
            action="retry",
            actor=actor,
            reason=reason,
            dry_run=dry_run,
        )

    return change_each(vod_ids, change)


def retry_failed(
    database: Database,
    *,
    since: datetime | None = None,
    allow_gaps: bool = False,
    actor: str,
    reason: str | None,
    dry_run: bool,
) -> Tally:
    """Releases all VODs that have failed, for good or not yet, and nobody works on; with `since`
    those that have failed after it. What the quota holds is not among them.

    With `allow_gaps`, those whose segments Twitch no longer hands out, and no others: a VOD
    that has failed for another reason must not come down with holes that nobody has seen.
    """
    with database.transaction() as connection:
        chosen = vods.find(connection, Filter(failed=True, changed_after=since), limit=None)
    if allow_gaps:
        chosen = [vod for vod in chosen if vod.problem_code == _GAPS]
    return retry(
        database,
        [vod.twitch_vod_id for vod in chosen],
        allow_gaps=allow_gaps,
        actor=actor,
        reason=reason,
        dry_run=dry_run,
    )


def retry_quota(database: Database, *, actor: str, reason: str | None, dry_run: bool) -> Tally:
    """Ends the holds of all accounts, and releases the uploads that they held."""
    with database.transaction() as connection:
        chosen = vods.numbers(connection, Filter(held_by_quota=True))
    accounts = _release_accounts(database, actor, reason, dry_run)
    tally = retry(database, chosen, actor=actor, reason=reason, dry_run=dry_run)
    return Tally((*accounts, *tally.changes), tally.failures)


def _retry(connection: Connection, vod: Vod, *, allow_gaps: bool) -> str:
    verdict = intervention.retry(vod, clock(connection))
    columns: dict[str, Any] = {"processing_error": None} if verdict.acts else {}
    if allow_gaps and (vod.stage.wants_download or vod.stage is Stage.FAILED):
        columns["allow_gaps"] = True
    if columns:
        vods.edit(connection, vod, **columns)
    return verdict.says


def _release_accounts(
    database: Database, actor: str, reason: str | None, dry_run: bool
) -> list[Change]:
    with database.transaction(actor=actor, keep=not dry_run) as connection:
        changes = [
            Change(
                f"YouTube account {hold.account}",
                {"held_until": hold.held_until},
                {"held_until": None},
            )
            for hold in uploads.holds(connection)
        ]
        uploads.release_holds(connection)
        for change in changes:
            audit.record(
                connection,
                actor=actor,
                action="retry",
                target=change.target,
                before=dict(change.before),
                after=dict(change.after),
                reason=reason,
            )
    return changes
