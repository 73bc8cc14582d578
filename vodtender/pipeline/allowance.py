"""May an upload begin? Whether the account can be used, and what is left of its day."""

from __future__ import annotations

from vodtender.model import upload_limits
from vodtender.model.outcome import Held
from vodtender.model.quota import pacific_day
from vodtender.model.upload_limits import Limits
from vodtender.model.vod import Waiting
from vodtender.pipeline.claimed_vod import ClaimedVod
from vodtender.pipeline.oauth_services import SERVICES, YOUTUBE
from vodtender.pipeline.workplace import Workplace
from vodtender.store import claims, tokens, uploads
from vodtender.store.database import clock
from vodtender.store.uploads import Upload


def why_not_usable(place: Workplace, account: str) -> Held | None:
    """Whether somebody has to log in first; then the VOD waits, and a login wakes it."""
    with place.database.transaction() as connection:
        stored = tokens.get(connection, YOUTUBE, account)
        until = clock(connection) + place.settings.processing_retry_cooldown
    if stored is not None and stored.problem is None:
        return None
    why = stored.problem if stored is not None else "nobody has logged in"
    hint = SERVICES[YOUTUBE].login_hint(account)
    return Held(f"YouTube account {account!r}: {why}. {hint}", "login", until, Waiting.LOGIN)


def why_held(place: Workplace, account: str) -> Held | None:
    """Whether YouTube has told the account to wait."""
    with place.database.transaction() as connection:
        held = {hold.account: hold for hold in uploads.holds(connection)}.get(account)
    if held is None:
        return None
    reason = Waiting.LOGIN if held.code == "login" else Waiting.QUOTA
    return Held(held.reason, held.code, held.held_until, reason)


def spend(place: Workplace, claimed: ClaimedVod, upload: Upload) -> Held | None:
    """Counts an attempt in the ledger, unless our own limits of the day forbid it.

    Raises LeaseLost.
    """
    vod, settings = claimed.vod, place.settings
    limits = Limits(
        uploads=settings.upload_daily_limit,
        backfill_uploads=settings.backfill_upload_daily_limit,
        units=settings.yt_quota_units_per_day,
        upload_cost_units=settings.yt_upload_cost_units,
        spread=settings.upload_spread,
    )
    with place.database.transaction() as connection:
        claims.lock(connection, claimed.claim)
        now = clock(connection)
        uploads.lock_project(connection, upload.project)
        day = pacific_day(now)
        spent = uploads.spent(connection, upload.project, day, not_for=vod.twitch_vod_id)
        backfill = upload_limits.is_backfill(
            vod.date or vod.created_at, settings.retain_keep_newer_than_days, now
        )
        wait = upload_limits.why_wait(limits, spent, backfill=backfill, now=now)
        if wait is not None:
            return Held(wait.reason, "quota", wait.until, Waiting.QUOTA)
        uploads.record_attempt(
            connection,
            now=now,
            quota_day=day,
            project=upload.project,
            account=upload.account,
            twitch_vod_id=vod.twitch_vod_id,
            part=upload.part,
            backfill=backfill,
        )
    return None
