"""How it stands with the archive, and what moves, for the status and metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vodtender.config.settings import Settings
from vodtender.model.timestamp import rfc3339
from vodtender.store.archive import Totals
from vodtender.store.overview import Transfer


def document(
    found: Totals | None, moving: Sequence[Transfer], settings: Settings
) -> dict[str, Any]:
    """As the status has it. `waiting`: archived, and still to be uploaded to YouTube; `lost`:
    what was there and is not, or not as it was."""
    in_s3 = settings.archive_s3_url is not None
    target = settings.archive_s3_url or settings.archive_dir
    return {
        "enabled": settings.archive_enabled,
        "target": None if target is None else str(target),
        "storage_class": settings.archive_storage_class if in_s3 else None,
        "files": 0 if found is None else found.files,
        "size_bytes": 0 if found is None else found.size_bytes,
        "waiting": 0 if found is None else found.waiting,
        "lost": 0 if found is None else found.amiss,
        "last_at": None if found is None else rfc3339(found.last_at),
        "moving": transfers(moving, "archive"),
    }


def transfers(moving: Sequence[Transfer], direction: str) -> list[dict[str, Any]]:
    """What moves in one direction."""
    return [_transfer(one) for one in moving if one.direction == direction]


def _transfer(one: Transfer) -> dict[str, Any]:
    return {
        "vod_id": one.vod_id,
        "channel": one.channel,
        "title": one.title,
        "phase": one.phase,
        "done_bytes": one.bytes_done,
        "total_bytes": one.bytes_total,
        "bytes_per_second": one.bytes_per_second,
        "left_seconds": one.seconds_left,
        "started_at": rfc3339(one.started_at),
        "updated_at": rfc3339(one.updated_at),
        "worker_id": one.worker_id,
    }
