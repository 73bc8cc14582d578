"""The server's processes: started, found, ended.

Whether one is alive is never concluded from a process id, which may have been given to a
stranger or belong to another container: each of them holds the server lock, inherited.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from vodtender.clients.postgres import binaries, privileges
from vodtender.clients.postgres.cluster import COMPLETE_LOG, local_settings
from vodtender.clients.postgres.place import PORT, PidFile, Place
from vodtender.clients.postgres.privileges import Identity

_LOG_LIMIT_BYTES = 4 * 1024 * 1024

_ARCHIVE_SECONDS = 300
"""After this long a segment is archived that is not full yet."""

_HURRIED = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


def start_server(
    place: Place,
    bin_directory: Path,
    socket_directory: Path,
    identity: Identity,
    lock: int,
    *,
    durable: bool,
) -> None:
    """Start a server that outlives us; returns before it is ready. Raises OSError."""
    settings = [
        *local_settings(socket_directory, PORT, place.server_name),
        *_archiving(place, identity),
        *(() if durable else _HURRIED),
    ]
    arguments = [str(bin_directory / "postgres"), "-D", str(place.data)]
    for setting in settings:
        arguments += ["-c", setting]
    with place.log.open("ab") as log:
        launcher = binaries.start(
            arguments,
            identity=identity,
            working_directory=place.data,
            output=log,
            inherited=lock,
            detach=True,
        )
    launcher.wait()


def _archiving(place: Place, identity: Identity) -> tuple[str, ...]:
    """Settings by which every segment of the log is copied to where `place.wal` leads: by
    PostgreSQL's own module, which writes it under another name, syncs it, renames it, and never
    takes another file's place. While the link leads nowhere the segments are kept."""
    if not place.wal.is_symlink():
        return ()
    archive = place.wal / (place.system_id or "")
    with suppress(OSError):
        archive.mkdir(mode=0o700, exist_ok=True)
        privileges.hand_over(archive, identity)
    return (
        *COMPLETE_LOG,
        "archive_mode=on",
        "archive_command=",
        "archive_library=basic_archive",
        f"basic_archive.archive_directory={archive}",
        f"archive_timeout={_ARCHIVE_SECONDS}s",
    )


def interrupt(place: Place, record: PidFile, number: signal.Signals) -> bool:
    """Signal the postmaster, if the recorded process id is still its own."""
    if not is_postmaster_alive(place, record):
        return False
    with suppress(ProcessLookupError, PermissionError):
        os.kill(record.pid, number)
        return True
    return False


def is_postmaster_alive(place: Place, record: PidFile) -> bool:
    """Whether the recorded process id belongs to a process of this data directory."""
    return _belongs_to(record.pid, place, (place.data,))


def end_orphans(place: Place, number: signal.Signals) -> None:
    """Signal what a dead postmaster or a killed creation left running."""
    directories = (place.data, *place.directory.glob("data.new-*"))
    for pid in _all_processes():
        if _belongs_to(pid, place, directories):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)


def trim_log(place: Place) -> None:
    """Keep the log and one older part of it, of at most a few MiB each. Raises OSError.

    The server appends to it all the time, so it is emptied in place.
    """
    with suppress(FileNotFoundError):
        if place.log.stat().st_size <= _LOG_LIMIT_BYTES:
            return
        descriptor = os.open(
            place.log.with_name("log.1"),
            os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW,
            0o600,
        )
        with place.log.open("rb+") as log, open(descriptor, "wb") as older:
            log.seek(-_LOG_LIMIT_BYTES, os.SEEK_END)
            shutil.copyfileobj(log, older)
            log.truncate(0)


def _all_processes() -> Iterator[int]:
    with suppress(FileNotFoundError):
        for name in os.listdir("/proc"):
            if name.isdigit() and int(name) != os.getpid():
                yield int(name)


def _belongs_to(pid: int, place: Place, directories: tuple[Path, ...]) -> bool:
    """Whether a process works on one of the directories (of this place).

    Every PostgreSQL process has its data directory as its working directory. A root without
    CAP_SYS_PTRACE, as in most containers, may not look at that of another user's process: there
    its owner and the server's name, which PostgreSQL shows in each process title, must do.
    """
    try:
        status = os.stat(f"/proc/{pid}/cwd")
    except PermissionError:
        return _is_titled(pid, place, directories)
    except OSError:
        return False
    return any(os.path.samestat(status, found) for found in _statuses(directories))


def _is_titled(pid: int, place: Place, directories: tuple[Path, ...]) -> bool:
    try:
        owner = os.stat(f"/proc/{pid}").st_uid
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    if owner not in {found.st_uid for found in _statuses(directories)}:
        return False
    names = (place.server_name.encode(), *(os.fsencode(path) for path in directories))
    return any(name in command for name in names)


def _statuses(directories: tuple[Path, ...]) -> Iterator[os.stat_result]:
    for directory in directories:
        with suppress(OSError):
            yield directory.stat()
