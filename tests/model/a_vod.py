"""VODs for pure decisions."""

from __future__ import annotations

from datetime import UTC, datetime

from vodtender.model.vod import Stage, Vod

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def vod(stage: Stage = Stage.UPLOADING, **more: object) -> Vod:
    """A VOD with a file, of which nothing else is known but what is said here."""
    known: dict[str, object] = dict.fromkeys(Vod.__dataclass_fields__)
    known |= {
        "id": 1,
        "twitch_vod_id": "1001",
        "channel": "alice",
        "title": "A stream",
        "stage": stage,
        "gaps": (),
        "download_attempts": 0,
        "upload_attempts": 0,
        "polls": 0,
        "recheck": False,
        "downloaded_path": "/data/x.mp4",
        "created_at": NOW,
        "priority": 0,
        "claim": 1,
        **more,
    }
    return Vod(**known)  # type: ignore[arg-type]
