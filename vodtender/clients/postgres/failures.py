"""What an operator is told when the embedded server does not come up."""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import suppress

from vodtender.clients.postgres.place import Place
from vodtender.errors import DatabaseUnavailable

NOT_STARTED = "database_not_started"

_TAIL_LINES = 8
_TAIL_BYTES = 8192
_LITTLE_SPACE_BYTES = 64 * 1024 * 1024


def log_size(place: Place) -> int:
    """Where the log ends now, so that a later failure quotes only what came after."""
    try:
        return place.log.stat().st_size
    except OSError:
        return 0


def log_tail(place: Place, since: int) -> str:
    """The last lines of the server's log, from offset `since` on."""
    try:
        with place.log.open("rb") as log:
            end = log.seek(0, os.SEEK_END)
            log.seek(max(since if since <= end else 0, end - _TAIL_BYTES))
            lines = log.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return "\n".join(f"  {line}" for line in lines[-_TAIL_LINES:])


def not_started(place: Place, what: str, since: int, *, code: str) -> DatabaseUnavailable:
    """The error for a server (or its creation) that ended or did not answer."""
    tail = log_tail(place, since)
    said = f" It said:\n{tail}" if tail else " It said nothing."
    with suppress(OSError):
        free = shutil.disk_usage(place.directory).free
        if free < _LITTLE_SPACE_BYTES:
            return DatabaseUnavailable(
                f"{what} The disk is full: {free // 1024} KiB are free in {place.directory}.{said}",
                hint=f"Make room (df -h '{place.directory}'), then try again",
                code="database_disk_full",
            )
    hint = f"See the end of '{place.log}', then try again"
    if code == NOT_STARTED and place.exists:
        hint += f"\nif it does not start any more: {_way_back(place)}"
    return DatabaseUnavailable(f"{what}{said}", hint=hint, code=code)


def _way_back(place: Place) -> str:
    """A dump is restored by a server that runs; a moment takes the cluster's place by itself."""
    aside = f"mv '{place.directory}' '{place.directory}.damaged', then: vodtender restore latest"
    if place.wal.is_symlink():
        return f"vodtender restore --at latest\nor, from a dump: {aside}"
    return aside


def from_os_error(error: OSError, place: Place) -> DatabaseUnavailable:
    """The error for a file operation that the system refused."""
    where = error.filename or place.directory
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return DatabaseUnavailable(
            f"The embedded database cannot be used: no space is left on the disk ({where}).",
            hint=f"Make room (df -h '{place.directory}'), then try again",
            code="database_disk_full",
        )
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return DatabaseUnavailable(
            f"The embedded database cannot be used: user {os.geteuid()} may not write"
            f" {where} ({error.strerror}).",
            hint="Run as the user who owns DATA_DIR, or set DATA_DIR to a directory of your own",
            code="database_not_writable",
        )
    return DatabaseUnavailable(
        f"The embedded database in {place.directory} cannot be used: {where}: {error.strerror}.",
        hint="Check DATA_DIR",
        code="database_unusable",
    )
