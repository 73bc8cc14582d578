"""A base backup becomes a cluster beside the embedded server's own, brought to a moment.

The server that does it works for whoever started it, and ends when that ends.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from vodtender.clients import pg_tools
from vodtender.clients.postgres import (
    binaries,
    cluster,
    locks,
    place,
    privileges,
    probe,
    replacing,
    wal_archive,
)
from vodtender.clients.postgres.place import DATABASE, PORT, ROLE, SUPERUSER, Place
from vodtender.errors import Locked, VodtenderError

_PORT = PORT + 1  # beside the socket of the server that it may take the place of
_STOP_SECONDS = 120
_PROBE_SECONDS = 2.0
_TAIL_BYTES = 256 << 10
_TAIL_LINES = 8
_ENDED_EARLY = "recovery ended before configured recovery target was reached"


@dataclass(frozen=True, slots=True)
class Goal:
    """Where a recovery goes: to a moment (None: as far as the log goes) along a timeline, whose
    segments lie in the first of the directories that has them; that one is the archive. What the
    log holds from the segment `before` on, whatever its timeline, is left alone."""

    moment: datetime | None
    timeline: int
    archives: tuple[Path, ...]
    before: str | None = None


class RecoveryFailedError(VodtenderError):
    """The cluster could not be brought to the moment; the message has what it said."""

    code = "recovery_failed"


class DamagedBaseError(RecoveryFailedError):
    """A base backup is not as its manifest says."""

    code = "damaged_backup"


class EndedEarlyError(RecoveryFailedError):
    """The log ends before anything that was later than the moment."""


class Recovery:
    """A recovery under way, or the cluster that came of it."""

    def __init__(self, where: Place, lock: int, path: Path, goal: Goal) -> None:
        self.path = path
        self._where = where
        self._lock = lock
        self._goal = goal
        self._start()

    def _start(self) -> None:
        started = _start(self._where, self._lock, self.path, self._goal)
        self._sockets, self._process = started.sockets, started.process

    def go_on_to_the_end(self) -> None:
        """For one whose log has ended before its moment: it goes as far as that goes. Raises
        OSError."""
        self._goal = replace(self._goal, moment=None)
        self._start()

    def kill(self) -> None:
        """Ends the server, if it is there still; its cluster is worthless then."""
        if self._process.poll() is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGQUIT)
            self._process.wait()

    def dsn(self, *, admin: bool = False) -> str:
        """The connection string of role and database `vod`, or of the superuser."""
        who = f"user={SUPERUSER} dbname=postgres" if admin else f"user={ROLE} dbname={DATABASE}"
        host = str(self._sockets).replace("\\", r"\\").replace("'", r"\'")
        return f"host='{host}' port={_PORT} {who}"

    def answers(self) -> bool:
        """Whether sessions can be opened. Raises RecoveryFailedError when it has ended."""
        if self._process.poll() is not None:
            raise self._failure()
        found = probe.ask(
            _socket(self._sockets), user=ROLE, database=DATABASE, timeout_seconds=_PROBE_SECONDS
        )
        return found is probe.Answer.READY

    def end(self) -> None:
        """Ends the server; the cluster is whole then. Raises RecoveryFailedError."""
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGINT)
        try:
            status = self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise RecoveryFailedError("The recovered database does not end.") from None
        if status:
            raise self._failure()

    def _failure(self) -> RecoveryFailedError:
        log = self._where.recovery_log
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            said = file.read().decode("utf-8", "replace")
        if _ENDED_EARLY in said:
            return EndedEarlyError(_ENDED_EARLY)
        # Looking for the next segment where there is none is how a recovery finds the end.
        lines = [line for line in said.splitlines() if not line.startswith("cp: ")]
        told = "\n".join(f"  {line}" for line in lines[-_TAIL_LINES:])
        return RecoveryFailedError(
            f"The database could not be recovered; nothing was changed. It said:\n{told}",
            hint=f"See the end of '{log}'",
        )


@dataclass(frozen=True, slots=True)
class _Started:
    process: subprocess.Popen[bytes]
    sockets: Path


@contextmanager
def recovery_lock(directory: Path) -> Iterator[int]:
    """One recovery at a time beside the embedded server in `directory`; what those that died have
    left is removed. Raises Locked, OSError."""
    where = Place(Path(os.path.realpath(directory)))
    where.directory.mkdir(parents=True, exist_ok=True)
    lock = locks.open_lock(where.recovery_lock)
    try:
        privileges.match_owner(where.recovery_lock, where.directory)
        if not locks.try_lock(lock, locks.EXCLUSIVE):
            raise Locked(
                "Another recovery to a moment is under way.",
                hint="wait for it, then: vodtender status",
                code="restore_running",
            )
        replacing.discard_attempts(where)
        yield lock
    finally:
        os.close(lock)


@contextmanager
def recovering(
    directory: Path, lock: int, base: Path, goal: Goal, *, progress: Callable[[int], object]
) -> Iterator[Recovery]:
    """Copies a base backup beside the embedded server's cluster in `directory`, verifies it, and
    starts the recovery. At the end of the block the server is gone, and the cluster, too, unless
    it was given another name. `lock` is the recovery lock.

    Raises DamagedBaseError, OSError.
    """
    where = Place(Path(os.path.realpath(directory)))
    attempt = Path(tempfile.mkdtemp(prefix="data.at-", dir=where.directory))
    recovery = None
    try:
        wal_archive.copy_tree(base, attempt, progress)
        require_good(base, attempt)
        (attempt / "recovery.signal").touch(mode=0o600)
        recovery = Recovery(where, lock, attempt, goal)
        yield recovery
    finally:
        if recovery is not None:
            recovery.kill()
        shutil.rmtree(attempt, ignore_errors=True)


def require_good(base: Path, copy: Path | None = None) -> None:
    """Reads a base backup, or a copy of it. Raises DamagedBaseError."""
    try:
        wal_archive.verify(pg_tools.embedded(), copy or base)
    except pg_tools.ToolFailedError as error:
        said = error.message.rstrip(".")
        raise DamagedBaseError(
            f"The base backup {base.name} is damaged: {said}. Nothing was changed.",
            hint="a dump: vodtender restore latest; from now on: vodtender backup base",
        ) from error


def _start(where: Place, lock: int, attempt: Path, goal: Goal) -> _Started:
    bin_directory = binaries.find()
    identity = cluster.identity(where, bin_directory)
    for path in (attempt, *(one for one in goal.archives[:1] if one.is_dir())):
        privileges.hand_over(path, identity)
    sockets = place.prepare_socket_directory(where, identity.owner_uid, identity.owner_gid)
    socket = _socket(sockets)
    for stale in (socket, socket.with_name(f"{socket.name}.lock")):
        stale.unlink(missing_ok=True)  # we hold the lock: whoever made it is dead
    arguments = [str(bin_directory / "postgres"), "-D", str(attempt)]
    for setting in _settings(where, sockets, goal):
        arguments += ["-c", setting]
    with open(where.recovery_log, "wb", opener=_private) as log:
        process = binaries.start(
            arguments,
            identity=identity,
            working_directory=attempt,
            output=log,
            inherited=lock,
            leashed=True,
        )
    return _Started(process, sockets)


def _settings(where: Place, sockets: Path, goal: Goal) -> list[str]:
    aim = []
    if goal.moment is not None:
        aim.append(f"recovery_target_time={goal.moment.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}+00")
    fetch = " || ".join(f"cp {_quoted(one)}/%f %p" for one in goal.archives)
    if goal.before is not None:  # its name without the timeline; a history's sorts before it
        fetch = f'f=%f; [ "${{f#????????}}" \\< {goal.before[8:]} ] && {{ {fetch}; }}'
    return [
        *cluster.COMPLETE_LOG,
        *cluster.local_settings(sockets, _PORT, f"{where.server_name}-recovery"),
        f"restore_command={fetch}",
        f"recovery_target_timeline={goal.timeline}",
        "recovery_target_action=promote",
        *aim,
        # Nothing is archived until it has taken the other's place; then all of it is.
        f"archive_mode={'on' if where.wal.is_symlink() else 'off'}",
        "archive_library=",
        "archive_command=",
    ]


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _socket(directory: Path) -> Path:
    return directory / f".s.PGSQL.{_PORT}"


def _quoted(path: Path) -> str:
    return shlex.quote(str(path).replace("%", "%%"))
