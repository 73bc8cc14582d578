"""What is known of VODs: lists, and everything about one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from vodtender.config.settings import Settings
from vodtender.errors import UsageError
from vodtender.model.archive import ArchivedFile
from vodtender.model.next_step import NextStep, Surroundings, next_step
from vodtender.model.vod import STATES, Stage, Vod
from vodtender.pipeline.oauth_services import YOUTUBE, uploads_wanted
from vodtender.procedures.vod_change import unknown
from vodtender.store import archive, audit, breaker, overview, pause, tokens, uploads, vods, workers
from vodtender.store.audit import AuditLine
from vodtender.store.database import Connection, Database, clock
from vodtender.store.overview import Transfer
from vodtender.store.uploads import Upload
from vodtender.store.vods import Filter, HistoryLine

_CHANGES = 100
_LOOKED_AT = 10


@dataclass(frozen=True, slots=True)
class Listing:
    """The first VODs that fit, and how many fit in all."""

    vods: list[Vod]
    total: int


@dataclass(frozen=True, slots=True)
class Details:
    """Everything about one VOD. `changes` are those by commands; both lists begin with the
    oldest."""

    vod: Vod
    archived: ArchivedFile | None
    now: datetime
    moving: Transfer | None
    uploads: list[Upload]
    history: list[HistoryLine]
    changes: list[AuditLine]
    next: NextStep


def listing(database: Database, wanted: Filter, limit: int | None) -> Listing:
    """The VODs that fit, the newest stream first. Raises UsageError for a state that there is
    not."""
    for state in wanted.states:
        if state not in STATES:
            raise UsageError(f"{state!r} is no state", hint=f"give one of: {', '.join(STATES)}")
    with database.transaction() as connection:
        found = vods.find(connection, wanted, limit=limit)
        total = len(found)
        if limit is not None and total == limit:
            total = vods.count(connection, wanted)
    return Listing(found, total)


def details(database: Database, settings: Settings, vod_id: str) -> Details:
    """Raises NotFound."""
    with database.transaction() as connection:
        vod = vods.get(connection, vod_id)
        if vod is None:
            raise unknown(vod_id)
        moving = [one for one in overview.transfers(connection) if one.vod_id == vod_id]
        around = _surroundings(connection, settings, vod)
        return Details(
            vod=vod,
            archived=archive.get(connection, vod_id),
            now=around.now,
            moving=moving[0] if moving else None,
            uploads=uploads.of_vod(connection, vod.id),
            history=vods.history(connection, vod),
            changes=audit.find(connection, target=vod_id, limit=_CHANGES)[::-1],
            next=next_step(vod, around),
        )


def obstacles(database: Database, settings: Settings, vod_ids: Iterable[str]) -> list[NextStep]:
    """What keeps these VODs where they are although they might go on; each once. Of many only
    the first are looked at."""
    found: dict[str, NextStep] = {}
    with database.transaction() as connection:
        for vod_id in islice(vod_ids, _LOOKED_AT):
            vod = vods.get(connection, vod_id)
            if vod is not None:
                step = next_step(vod, _surroundings(connection, settings, vod))
                found[step.text] = step
    return [step for step in found.values() if step.is_held]


def _surroundings(connection: Connection, settings: Settings, vod: Vod) -> Surroundings:
    account = _account(connection, settings, vod)
    stored = tokens.find(connection)
    login = next((t for t in stored if (t.provider, t.account) == (YOUTUBE, account)), None)
    hold = {hold.account: hold for hold in uploads.holds(connection)}.get(account)
    paused = pause.get(connection)
    return Surroundings(
        now=clock(connection),
        paused=paused.reason if paused else None,
        breaker=breaker.get(connection, vod.channel),
        daemon_runs=bool(workers.find(connection, heard_within_seconds=settings.lease_seconds)),
        uploads_wanted=uploads_wanted(settings, stored),
        account=account,
        account_problem="nobody has logged in" if login is None else login.problem,
        held_until=hold.held_until if hold else None,
        held_for=hold.reason if hold and hold.code != "quota" else None,
        absence_wait=settings.upload_absence_wait,
    )


def _account(connection: Connection, settings: Settings, vod: Vod) -> str:
    """Which has its video, or gets it: what was once sent stays with the account it went to."""
    if vod.stage in (Stage.FINALIZING, Stage.VERIFYING):
        for upload in uploads.of_vod(connection, vod.id):
            return upload.account
    return settings.youtube_account(vod.channel)


# --- as JSON ----------------------------------------------------------------------------


def as_document(vod: Vod) -> dict[str, Any]:
    """A VOD as programs see it."""
    return {
        "vod_id": vod.twitch_vod_id,
        "url": vod.url,
        "channel": vod.channel,
        "kind": vod.kind,
        "title": vod.title,
        "date": vod.date,
        "duration_seconds": vod.duration_seconds,
        "state": vod.state,
        "processed": vod.processed,
        "download_state": vod.download_state,
        "youtube_url": vod.youtube_url,
        "processing_error": vod.processing_error,
        "error_code": vod.problem_code,
        "next_try_at": vod.next_try_at,
        "waiting_for": vod.waiting_for,
        "vanishes_at": vod.vanishes_at,
        "priority": vod.priority,
        "skip_upload": vod.skip_upload,
        "allow_gaps": vod.allow_gaps,
        "worker_id": vod.worker_id,
        "cancel_reason": vod.cancel_reason,
        "created_at": vod.created_at,
        "updated_at": vod.updated_at,
        "published_at": vod.published_at,
        "file": _file(vod),
    }


def details_document(found: Details) -> dict[str, Any]:
    """Everything about a VOD as programs see it."""
    vod = found.vod
    return {
        **as_document(vod),
        "description": vod.description,
        "stream_id": vod.stream_id,
        "download_attempts": vod.download_attempts,
        "upload_attempts": vod.upload_attempts,
        "archived": _archived(found),
        "moving": None if found.moving is None else _moving(found.moving),
        "uploads": _uploads(found.uploads),
        "history": [
            {
                "at": line.at,
                "actor": line.actor,
                "from": line.from_stage,
                "to": line.to_stage,
                "detail": line.detail,
            }
            for line in found.history
        ],
        "changes": [
            {"at": line.at, "actor": line.actor, "action": line.action, "reason": line.reason}
            for line in found.changes
        ],
        "next": {"text": found.next.text, "commands": found.next.commands},
    }


def _file(vod: Vod) -> dict[str, Any] | None:
    if vod.file_sha256 is None:
        return None
    return {
        "path": vod.downloaded_path,
        "size_bytes": vod.file_size_bytes,
        "sha256": vod.file_sha256,
        "crc32": vod.file_crc32,
        "duration_seconds": vod.file_seconds,
        "muted_segments": vod.muted_segments,
        "gaps": vod.gaps,
        "downloaded_at": vod.downloaded_at,
        "removed_at": vod.file_removed_at,
    }


def _archived(found: Details) -> dict[str, Any] | None:
    copy = found.archived
    if copy is None:
        return None
    return {
        "place": copy.place,
        "storage_class": copy.storage_class,
        "size_bytes": copy.size_bytes,
        "sha256": copy.sha256,
        "same_file": copy.sha256 == found.vod.file_sha256,
        "archived_at": copy.archived_at,
        "checked_at": copy.checked_at,
        "problem": copy.problem,
        "asked_at": copy.asked_at,
    }


def _moving(one: Transfer) -> dict[str, Any]:
    return {
        "direction": one.direction,
        "phase": one.phase,
        "done_bytes": one.bytes_done,
        "total_bytes": one.bytes_total,
        "bytes_per_second": one.bytes_per_second,
        "left_seconds": one.seconds_left,
        "started_at": one.started_at,
    }


def _uploads(known: Sequence[Upload]) -> list[dict[str, Any]]:
    """The session's address is a secret and stays where it is."""
    return [
        {
            "part": one.part,
            "parts": one.parts,
            "account": one.account,
            "marker": one.marker,
            "video_id": one.video_id,
            "session_open": one.session_uri is not None,
            "may_be_complete": one.video_id is None and one.sent_bytes >= one.size_bytes,
            "size_bytes": one.size_bytes,
            "opened_at": one.opened_at,
        }
        for one in known
    ]
