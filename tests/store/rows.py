"""Rows of `vods` as the pipeline leaves them, and what operators see of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import sql

from vodtender.model.vod import Vod
from vodtender.store import vods
from vodtender.store.claims import Claim
from vodtender.store.database import Connection

WORKER = "worker-1"
DIRECTORY = "directory-1"
URL = "https://www.youtube.com/watch?v=VIDEO"
NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
ANY = object()

_FILE = {
    "downloaded_path": "/data/a_{}.mp4",
    "directory_id": DIRECTORY,
    "file_size_bytes": 1000,
    "file_sha256": "00ff",
    "file_crc32": 0xFF00FF00,
    "file_seconds": 60.0,
}
_IN_WORK = {"worker_id": WORKER, "lease_expires_at": datetime(2999, 1, 1, tzinfo=UTC)}
_VIDEO = {"video_id": "VIDEO"}
_LATER = {"next_try_at": datetime(2999, 1, 1, tzinfo=UTC), "waiting_for": "cooldown"}


@dataclass(frozen=True, slots=True)
class Situation:
    """Where a VOD can be, in the pipeline's own columns, and the contract's row for it."""

    columns: dict[str, Any]
    processed: bool
    download_state: str
    youtube_url: str | None = None
    has_error: bool = False
    moments: dict[str, Any] = field(default_factory=dict)


def _at(stage: str, *more: dict[str, Any], problem: str = "", code: str = "") -> dict[str, Any]:
    columns: dict[str, Any] = {"stage": stage}
    for columns_of in more:
        columns |= columns_of
    if problem:
        columns |= {"problem": problem, "problem_code": code or "server_error"}
    return columns


SITUATIONS: dict[str, Situation] = {
    "live": Situation(
        _at("live", {"next_try_at": NOW, "waiting_for": "recording"}), False, "pending"
    ),
    "queued": Situation(_at("queued"), False, "pending"),
    "retrying": Situation(
        _at("queued", _LATER, {"download_attempts": 6}, problem="Twitch answered 503"),
        False,
        "failed",
        has_error=True,
    ),
    "downloading": Situation(_at("downloading", _IN_WORK), False, "downloading"),
    "downloaded": Situation(_at("downloaded", _FILE), True, "complete"),
    "held": Situation(
        _at("downloaded", _FILE, _LATER, problem="the quota is used up", code="quota"),
        True,
        "complete",
        has_error=True,
    ),
    "kept": Situation(_at("downloaded", _FILE, {"skip_upload": True}), True, "complete"),
    "uploading": Situation(_at("uploading", _FILE, _IN_WORK), True, "complete"),
    "finalizing": Situation(
        _at(
            "finalizing",
            _FILE,
            _LATER,
            {"uncertain_since": NOW},
            problem="it may have taken effect",
            code="uncertain",
        ),
        True,
        "complete",
        has_error=True,
    ),
    "verifying": Situation(_at("verifying", _FILE, _VIDEO, _IN_WORK), True, "complete", URL),
    "published": Situation(
        _at("published", _FILE, _VIDEO, {"published_at": NOW}), True, "complete", URL
    ),
    "pruned": Situation(_at("published", _VIDEO, {"published_at": NOW}), True, "complete", URL),
    "failed": Situation(_at("failed", problem="subscribers only"), True, "failed", has_error=True),
    "failed+file": Situation(
        _at("failed", _FILE, problem="YouTube refuses it"), True, "failed", has_error=True
    ),
    "failed+video": Situation(
        _at("failed", _FILE, _VIDEO, problem="the sound is bad"),
        True,
        "failed",
        URL,
        has_error=True,
    ),
    "skipped": Situation(_at("skipped", problem="not wanted"), True, "skipped", has_error=True),
    "skipped+file": Situation(
        _at("skipped", _FILE, problem="not wanted"), True, "skipped", has_error=True
    ),
}
"""Every stage, and what there can be in it that makes a difference to an edit."""


def insert(connection: Connection, number: int = 1, **columns: Any) -> Vod:
    """A row with these columns, as the pipeline would have left it."""
    values: dict[str, Any] = {
        "twitch_vod_id": str(number),
        "channel": "alice",
        "title": f"VOD {number}",
        "date": NOW - timedelta(days=1),
        **columns,
    }
    if isinstance(values.get("downloaded_path"), str):
        values["downloaded_path"] = values["downloaded_path"].format(values["twitch_vod_id"])
    names = list(values)
    connection.execute(
        sql.SQL("INSERT INTO vods ({}) VALUES ({})").format(
            sql.SQL(", ").join(map(sql.Identifier, names)),
            sql.SQL(", ").join(map(sql.Placeholder, names)),
        ),
        values,
    )
    return get(connection, number)


def situation(connection: Connection, name: str, number: int = 1) -> Vod:
    """A row in one of the situations."""
    return insert(connection, number, **SITUATIONS[name].columns)


def get(connection: Connection, number: int = 1) -> Vod:
    """The row as it is now."""
    vod = vods.get(connection, str(number))
    assert vod is not None
    return vod


def raw(connection: Connection, number: int = 1) -> dict[str, Any]:
    """All columns of the row."""
    row = connection.execute(
        "SELECT * FROM vods WHERE twitch_vod_id = %s", (str(number),)
    ).fetchone()
    assert row is not None
    return row


def claim_of(vod: Vod) -> Claim:
    """The claim that whoever works on it holds."""
    assert vod.worker_id is not None
    return Claim(vod.id, vod.worker_id, vod.claim)


def assert_shown_as_promised(row: dict[str, Any]) -> None:
    """The visible columns are those of the contract's table ("Tables that operators edit")."""
    stage, problem = row["stage"], row["problem"]
    shown = (row["processed"], row["download_state"])
    match stage:
        case "live":
            assert shown == (False, "pending")
        case "queued":
            assert shown == (False, "pending" if problem is None else "failed")
        case "downloading":
            assert shown == (False, "downloading")
            assert row["processing_error"] is None
            assert row["worker_id"] is not None
        case "failed" | "skipped":
            assert shown == (True, stage)
        case _:
            assert shown == (True, "complete")
    if stage == "failed":
        assert row["processing_error"]
    if stage in ("verifying", "published"):
        assert row["youtube_url"]
    if stage == "published":
        assert row["processing_error"] is None
    video_id = row["video_id"]
    assert row["processing_error"] == problem
    assert row["youtube_url"] == (
        None if video_id is None else f"https://www.youtube.com/watch?v={video_id}"
    )


def can_move(row: dict[str, Any]) -> bool:
    """Whether something will move it without anybody's help, or it is where it shall stay."""
    if row["stage"] in ("published", "failed", "skipped") or row["state"] == "kept":
        return True
    if row["worker_id"] is not None:
        return bool(row["lease_expires_at"])
    if row["stage"] == "live":
        return bool(row["next_try_at"])
    return bool(row["stage"] != "downloading")
