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

from vodtender.clients.postgres import binaries
from vodtender.clients.postgres.place import PORT, PidFile, Place
from vodtender.clients.postgres.privileges import Identity

_LOG_LIMIT_BYTES = 4 * 1024 * 1024

_HURRIED = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


def launch(
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
        "listen_addresses=",
        f'unix_socket_directories="{socket_directory}"',
        "unix_socket_permissions=0700",
        f"port={PORT}",
        "logging_collector=off",
        "log_destination=stderr",
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


def interrupt(place: Place, record: PidFile, number: signal.Signals) -> bool:
    """Signal the postmaster, if the recorded process id is still its own."""
    if not _works_in(record.pid, (place.data,)):
        return False
    with suppress(ProcessLookupError):
        os.kill(record.pid, number)
        return True
    return False


def is_postmaster_alive(place: Place, record: PidFile) -> bool:
    """Whether the recorded process id belongs to a process of this data directory."""
    return _works_in(record.pid, (place.data,))


def end_orphans(place: Place, number: signal.Signals) -> int:
    """Signal what a dead postmaster or a killed creation left running; returns how many."""
    count = 0
    directories = (place.data, *place.directory.glob("data.new-*"))
    for pid in _all_processes():
        if _works_in(pid, directories):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)
                count += 1
    return count


def trim_log(place: Place) -> None:
    """Keep the log and one older part of it, of at most a few MiB each. Raises OSError.

    The server appends to it all the time, so it is emptied in place.
    """
    with suppress(FileNotFoundError):
        if place.log.stat().st_size <= _LOG_LIMIT_BYTES:
            return
        with place.log.open("rb+") as log, place.log.with_name("log.1").open("wb") as older:
            log.seek(-_LOG_LIMIT_BYTES, os.SEEK_END)
            shutil.copyfileobj(log, older)
            log.truncate(0)


def _all_processes() -> Iterator[int]:
    with suppress(FileNotFoundError):
        for name in os.listdir("/proc"):
            if name.isdigit() and int(name) != os.getpid():
                yield int(name)


def _works_in(pid: int, directories: tuple[Path, ...]) -> bool:
    """Every PostgreSQL process has the data directory as its working directory."""
    try:
        status = os.stat(f"/proc/{pid}/cwd")
    except OSError:
        return False
    for directory in directories:
        with suppress(OSError):
            if os.path.samestat(status, directory.stat()):
                return True
    return False
