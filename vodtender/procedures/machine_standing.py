"""How it stands with daemons, disks and the database, for the status."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import Any

from vodtender.config.settings import Settings
from vodtender.model.disk import reserve_bytes
from vodtender.model.timestamp import rfc3339
from vodtender.store.workers import Worker


def worker(one: Worker, lease_seconds: float) -> dict[str, Any]:
    """A daemon; it is alive when it was heard of within a lease."""
    return {
        "worker_id": one.worker_id,
        "host": one.host,
        "pid": one.pid,
        "version": one.version,
        "directory": one.directory,
        "channels": list(one.channels),
        "started_at": rfc3339(one.started_at),
        "heartbeat_at": rfc3339(one.heartbeat_at),
        "alive": one.seconds_since_heartbeat < lease_seconds,
        "draining": one.draining,
        "downloads_paused": one.downloads_paused,
        "disk_free_bytes": one.disk_free_bytes,
        "disk_total_bytes": one.disk_total_bytes,
    }


def disk(settings: Settings, known: Sequence[Worker]) -> dict[str, Any]:
    """Of DATA_DIR on this machine; where there is none, as the last worker has reported it."""
    found: dict[str, Any] = {"path": str(settings.data_dir.absolute())}
    try:
        usage = shutil.disk_usage(settings.data_dir)
        found |= {"free_bytes": usage.free, "total_bytes": usage.total}
    except OSError:
        found |= {"free_bytes": None, "total_bytes": None}
        for one in known[:1]:
            found["path"] = one.directory
            found |= {"free_bytes": one.disk_free_bytes, "total_bytes": one.disk_total_bytes}
    total = found["total_bytes"]
    reserve = None if total is None else reserve_bytes(settings.disk_reserve, int(total))
    return {**found, "reserve_bytes": reserve}


def database(
    settings: Settings, server_version: int | None, error: str | None = None
) -> dict[str, Any]:
    """`server_version` is as libpq numbers it; with an `error` the database is away."""
    version = None
    if server_version is not None:
        version = f"{server_version // 10000}.{server_version % 10000}"
    return {
        "ok": error is None,
        "error": error,
        "embedded": settings.dsn is None,
        "server_version": version,
    }
