"""Where the embedded server's write-ahead log is archived, and copies of its whole cluster."""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from vodtender.clients import pg_tools
from vodtender.clients.postgres.place import Place
from vodtender.model.base_backup import is_segment

_ENDED_AT = re.compile(r"desc: (?:COMMIT|ABORT)\S* (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+) UTC")


@dataclass(frozen=True, slots=True)
class Copied:
    """What a base backup's own manifest says of it. `begin` and `end` as PostgreSQL writes places
    in the log."""

    system_id: str
    timeline: int
    begin: str
    end: str
    size_bytes: int


def system_id(directory: Path) -> str | None:
    """The number of the cluster of the embedded server in `directory`, whether it runs or not;
    None where there is none."""
    return Place(directory).system_id


def archive_to(directory: Path, root: Path) -> bool:
    """Has the server in `directory` archive its log in `root`, in a directory with its number,
    from its next start on; whether that is new. Raises OSError."""
    place = Place(directory)
    root.mkdir(mode=0o711, parents=True, exist_ok=True)
    if place.wal.is_symlink() and place.wal.readlink() == root.absolute():
        return False
    new = place.directory / ".wal-new"
    new.unlink(missing_ok=True)
    new.symlink_to(root.absolute())
    os.replace(new, place.wal)
    return True


def is_told(directory: Path) -> bool:
    """Whether the server in `directory` is told to archive its log."""
    return Place(directory).wal.is_symlink()


def archive_of(directory: Path) -> Path:
    """Where the server in `directory` archives its log now."""
    place = Place(directory)
    return place.wal / (place.system_id or "")


def leave_off(directory: Path) -> bool:
    """From its next start on it archives nothing; whether that is new. Raises OSError."""
    try:
        Place(directory).wal.unlink()
    except FileNotFoundError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class OwnLog:
    """The segments in the cluster itself, by name; some of them are prepared for what comes."""

    system_id: str
    segments: frozenset[str]


def own_log(directory: Path) -> OwnLog | None:
    """That of the cluster of the server in `directory`, whether it runs or not; None where it is
    not archived, or cannot be seen."""
    place = Place(directory)
    if not place.wal.is_symlink():
        return None
    log = place.data / "pg_wal"
    try:
        names = frozenset(os.listdir(log))
        number = place.system_id or _number_in(log, names)
    except OSError:
        return None
    return None if number is None else OwnLog(number, names)


def _number_in(log: Path, names: frozenset[str]) -> str | None:
    """The cluster's number by its log: every segment has it behind its first page's header (see
    XLogLongPageHeaderData), and so it is known, too, where the control file is lost."""
    for name in filter(is_segment, names):
        with (log / name).open("rb") as file:
            head = file.read(32)
        if len(head) == 32 and (number := struct.unpack("=Q", head[24:])[0]):
            return str(number)
    return None


def last_change(segment: Path) -> datetime | None:
    """When the last transaction that ends in an archived segment did so; None: none does. Raises
    OSError."""
    status = segment.stat()
    return _last_change(segment, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=64)
def _last_change(segment: Path, _mtime_ns: int, _size: int) -> datetime | None:
    # It ends with an error wherever the next record would lie in another segment.
    done = subprocess.run(
        [pg_tools.embedded().path("pg_waldump"), "--rmgr=Transaction", str(segment)],
        env={**os.environ, "TZ": "UTC", "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    found = _ENDED_AT.findall(done.stdout.decode("utf-8", "replace"))
    return None if not found else datetime.fromisoformat(found[-1]).replace(tzinfo=UTC)


def waiting_bytes(directory: Path) -> int | None:
    """How much of the log lies in the cluster itself, where it stays until it is archived; None
    where that cannot be seen."""
    try:
        with os.scandir(Place(directory).data / "pg_wal") as found:
            return sum(one.stat().st_size for one in found if one.is_file())
    except OSError:
        return None


def copy_cluster(
    tools: pg_tools.Tools, dsn: str, target: Path, *, should_stop: Callable[[], bool]
) -> Copied:
    """Copies the running server's cluster to `target`, which is not there yet, on the disk and
    verified when this returns: every file against the manifest, and the log it needs.

    Raises ToolFailedError, Stopped, OSError.
    """
    arguments = [
        *(f"--pgdata={target}", "--format=plain", "--wal-method=stream", "--checkpoint=fast"),
        *("--manifest-checksums=SHA256", "--no-password", "--label=vodtender"),
    ]
    with pg_tools.running(tools, "pg_basebackup", arguments, dsn=dsn) as started:
        started.wait(should_stop)
        started.finish()
    verify(tools, target)
    return look_into(target)


def verify(tools: pg_tools.Tools, target: Path) -> None:
    """Raises ToolFailedError when a file is not as its manifest says."""
    pg_tools.run(tools, "pg_verifybackup", ["--exit-on-error", str(target)])


def look_into(target: Path) -> Copied:
    """Raises OSError, and ValueError for a manifest that is none."""
    try:
        found = json.loads((target / "backup_manifest").read_text(encoding="utf-8"))
        reach = found["WAL-Ranges"][0]
        return Copied(
            system_id=str(found["System-Identifier"]),
            timeline=int(reach["Timeline"]),
            begin=str(reach["Start-LSN"]),
            end=str(reach["End-LSN"]),
            size_bytes=sum(int(one["Size"]) for one in found["Files"]),
        )
    except (KeyError, IndexError, TypeError) as error:
        raise ValueError(f"not a base backup's manifest: {error!r}") from error


def copy_tree(source: Path, target: Path, progress: Callable[[int], object]) -> None:
    """Copies a cluster's files; `progress` is told how many bytes are done. Raises OSError."""
    done = 0

    def copied(one: str, to: str) -> str:
        nonlocal done
        shutil.copyfile(one, to)
        shutil.copymode(one, to)
        done += os.path.getsize(to)
        progress(done)
        return to

    shutil.copytree(source, target, symlinks=True, copy_function=copied, dirs_exist_ok=True)
    target.chmod(0o700)
