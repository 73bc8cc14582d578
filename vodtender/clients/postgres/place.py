"""Where an embedded server keeps its things, and what its files say about it.

Under one directory (`DATA_DIR/postgres`):

    data/         PostgreSQL's data directory
    log           what the server says; kept small
    socket/       the Unix socket, unless its path would be too long
    users.lock    shared: held by every process that uses the server
    start.lock    exclusive: held while the server is created or started
    server.lock   exclusive: held by the server's own processes as long as one of them lives
    data.new-*    an attempt to create data/; worthless to all but the attempt
    wal           a link to where the write-ahead log is archived, that of each cluster in a
                  directory of its own; where there is no link, it is not archived
    recovery.lock exclusive: held while the cluster is brought to a moment beside data/
    recovery.log  what the last one said
    data.at-*     such a cluster; worthless to all but who holds that lock
    data.swap-*   one that is whole and about to become data/
    data.before-* what was data/ until another took its place
"""

from __future__ import annotations

import hashlib
import os
import re
import struct
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vodtender.clients.postgres import probe

ROLE = "vod"
DATABASE = "vod"
SUPERUSER = "postgres"
PORT = 5432  # only part of the socket's name

_SOCKET_NAME = f".s.PGSQL.{PORT}"
# sockaddr_un holds 108 bytes, the closing NUL included (unix(7)).
_SOCKET_DIRECTORY_LIMIT_BYTES = 107 - len(f"/{_SOCKET_NAME}")
# What both PostgreSQL's list of directories and libpq's list of hosts take without quoting rules
# of their own.
_SOCKET_DIRECTORY_FORM = re.compile(r"""/[^,"'\\\n\r]*""")


@dataclass(frozen=True, slots=True)
class PidFile:
    """What `postmaster.pid` says; it outlives a server that was killed."""

    pid: int
    socket_directory: Path | None
    ready: bool

    @property
    def socket_path(self) -> Path | None:
        return self.socket_directory / _SOCKET_NAME if self.socket_directory else None


@dataclass(frozen=True, slots=True)
class Place:
    """The directory of one embedded server."""

    directory: Path

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def log(self) -> Path:
        return self.directory / "log"

    @property
    def users_lock(self) -> Path:
        return self.directory / "users.lock"

    @property
    def start_lock(self) -> Path:
        return self.directory / "start.lock"

    @property
    def server_lock(self) -> Path:
        return self.directory / "server.lock"

    @property
    def wal(self) -> Path:
        return self.directory / "wal"

    @property
    def recovery_lock(self) -> Path:
        return self.directory / "recovery.lock"

    @property
    def recovery_log(self) -> Path:
        return self.directory / "recovery.log"

    @property
    def exists(self) -> bool:
        """Whether a data directory was ever completed here."""
        return (self.data / "PG_VERSION").is_file()

    @property
    def system_id(self) -> str | None:
        """The cluster's own number, which the control file begins with; None: no cluster."""
        try:
            with (self.data / "global" / "pg_control").open("rb") as file:
                return str(struct.unpack("=Q", file.read(8))[0])
        except (FileNotFoundError, NotADirectoryError, struct.error):
            return None

    def swapping(self) -> list[Path]:
        """Clusters that are to become `data`."""
        return sorted(self.directory.glob("data.swap-*"))

    @property
    def server_name(self) -> str:
        """A name that no other embedded server has, and the same at every start."""
        return f"vodtender-{hashlib.sha256(os.fsencode(self.directory)).hexdigest()[:16]}"

    def pid_file(self) -> PidFile | None:
        """The server's own record, or None when there is none (yet)."""
        try:
            lines = (self.data / "postmaster.pid").read_bytes().split(b"\n")
            pid = abs(int(lines[0]))
        except (OSError, ValueError):
            return None
        directory = lines[4].strip() if len(lines) > 4 else b""
        status = lines[7].strip() if len(lines) > 7 else b""
        return PidFile(pid, Path(os.fsdecode(directory)) if directory else None, status == b"ready")

    def ask(self, timeout_seconds: float) -> probe.Answer:
        """Whether the server recorded here answers."""
        record = self.pid_file()
        if record is None or record.socket_path is None:
            return probe.Answer.ABSENT
        return probe.ask(
            record.socket_path, user=ROLE, database=DATABASE, timeout_seconds=timeout_seconds
        )

    def dsn(self, *, user: str, database: str) -> str:
        """A libpq connection string for the server recorded here. Raises FileNotFoundError."""
        record = self.pid_file()
        if record is None or record.socket_directory is None:
            raise FileNotFoundError(self.data / "postmaster.pid")
        host = str(record.socket_directory).replace("\\", r"\\").replace("'", r"\'")
        return f"host='{host}' port={PORT} user={user} dbname={database}"


def socket_directory(place: Place) -> Path:
    """Where the socket goes: beside the data, or a short private path when that is too long.

    The short one lies under the system's directory for temporary files, named after the place,
    so that an operator's connection string stays the same from one start to the next.
    """
    beside = place.directory / "socket"
    path = os.fsencode(beside)
    try:
        fits = _SOCKET_DIRECTORY_FORM.fullmatch(path.decode()) is not None
    except UnicodeDecodeError:
        fits = False
    if fits and len(path) <= _SOCKET_DIRECTORY_LIMIT_BYTES:
        return beside
    return Path(_short_temporary_directory()) / place.server_name


def _short_temporary_directory() -> str:
    temporary = tempfile.gettempdir()
    longest = len(os.fsencode(temporary)) + len("/vodtender-0123456789abcdef")
    if longest > _SOCKET_DIRECTORY_LIMIT_BYTES or not _SOCKET_DIRECTORY_FORM.fullmatch(temporary):
        return "/tmp"  # noqa: S108 - only the parent; the directory in it is private
    return temporary


def prepare_socket_directory(place: Place, uid: int, gid: int) -> Path:
    """Create the socket's directory, 0700 and owned by `uid`; raises OSError.

    Whatever sits under that name and is not ours (somebody else's directory, a link in a shared
    `/tmp`) is left alone and another name taken: the server records which.
    """
    wanted = socket_directory(place)
    with suppress(FileExistsError):
        wanted.mkdir(mode=0o700)
    status = wanted.lstat()
    private = os.path.isdir(wanted) and not os.path.islink(wanted)
    inside = wanted.parent == place.directory
    if not private or (not inside and status.st_uid not in {uid, os.geteuid()}):
        wanted = Path(tempfile.mkdtemp(prefix="vodtender-", dir=wanted.parent))
    os.chmod(wanted, 0o700)
    if wanted.lstat().st_uid != uid:
        os.chown(wanted, uid, gid, follow_symlinks=False)
    return wanted


def socket_files(directory: Path) -> tuple[Path, Path]:
    """The socket and the lock file that PostgreSQL puts beside it."""
    return directory / _SOCKET_NAME, directory / f"{_SOCKET_NAME}.lock"


def remove_socket_directory(record: PidFile | None, place: Place) -> None:
    """Remove a socket directory that lies outside the place, once its server has ended."""
    if record is None or record.socket_directory is None:
        return
    if record.socket_directory.parent == place.directory:
        return
    with suppress(OSError):
        record.socket_directory.rmdir()
