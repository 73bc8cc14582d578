"""The embedded PostgreSQL: one server per directory, shared by every process that needs it.

    with acquire(data_dir / "postgres") as server:
        connect(server.dsn)

The first one in starts it, the last one out stops it, and a death at any point leaves nothing
that stands in the way of the next: locks end with their holders, the data directory appears
by a rename, and a server left running is taken over.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Self

from vodtender.clients.postgres import (
    binaries,
    cluster,
    failures,
    locks,
    place,
    privileges,
    processes,
)
from vodtender.clients.postgres.place import DATABASE, ROLE, SUPERUSER, Place
from vodtender.clients.postgres.probe import Answer
from vodtender.errors import DatabaseUnavailable

_POLL_SECONDS = 0.01
_PROBE_SECONDS = 2.0
_SHORTEST_PROBE_SECONDS = 0.1
_STOP_SECONDS = 20.0
_ORPHAN_GRACE_SECONDS = 2.0
_CREATION_SECONDS = 120.0


class EmbeddedServer:
    """A share in the embedded server; released by `release()` or at the end of a `with`."""

    def __init__(self, where: Place, users: int, *, timeout_seconds: float, durable: bool) -> None:
        self._place = where
        self._users = users
        self._timeout_seconds = timeout_seconds
        self._durable = durable
        self._guard = Lock()
        self._released = False

    @property
    def dsn(self) -> str:
        """libpq connection string of role and database `vod`; good for psql, too."""
        return _dsn(self._place, ROLE, DATABASE)

    @property
    def admin_dsn(self) -> str:
        """The same for the superuser, in database `postgres`."""
        return _dsn(self._place, SUPERUSER, "postgres")

    @property
    def bin_directory(self) -> Path:
        """Where psql, pg_dump, pg_basebackup … of the same version are."""
        return binaries.find()

    @property
    def log_path(self) -> Path:
        return self._place.log

    def ensure_running(self) -> bool:
        """Start the server again if it has died; True when that was needed.

        For a user whose connections fail. Raises DatabaseUnavailable.
        """
        with self._guard:
            if self._released:
                raise RuntimeError("this share in the embedded server has been released")
            try:
                processes.trim_log(self._place)
                return _bring_up(self._place, self._timeout_seconds, self._durable)
            except OSError as error:
                raise failures.from_os_error(error, self._place) from error

    def release(self) -> None:
        """Give the share back; the last one out stops the server. Twice is once."""
        with self._guard:
            if self._released:
                return
            self._released = True
            try:
                # A failed conversion loses our shared lock too, which is what we want.
                if locks.try_lock(self._users, locks.EXCLUSIVE):
                    _stop(self._place)
            finally:
                os.close(self._users)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


def acquire(
    directory: Path, *, timeout_seconds: float = 30, durable: bool = True
) -> EmbeddedServer:
    """Join the server that lives in `directory`; start it, create it, if need be.

    `durable=False` trades safety of the data for speed, for tests. Creating the database the
    first time may take longer than `timeout_seconds`. Raises DatabaseUnavailable.
    """
    where = Place(Path(os.path.realpath(directory)))
    deadline = time.monotonic() + timeout_seconds
    try:
        _make_directory(where.directory)
        users = locks.open_lock(where.users_lock)
        try:
            privileges.match_owner(where.users_lock, where.directory)
            _wait_for_a_stop_to_end(where, users, timeout_seconds)
            _bring_up(where, max(0.0, deadline - time.monotonic()), durable)
        except BaseException:
            os.close(users)
            raise
    except OSError as error:
        raise failures.from_os_error(error, where) from error
    return EmbeddedServer(where, users, timeout_seconds=timeout_seconds, durable=durable)


def running_dsn(directory: Path) -> str | None:
    """The connection string of the server in `directory` if one runs; starts nothing."""
    where = Place(Path(os.path.realpath(directory)))
    if where.ask(_PROBE_SECONDS) is not Answer.READY:
        return None
    with suppress(FileNotFoundError):
        return where.dsn(user=ROLE, database=DATABASE)
    return None


def _wait_for_a_stop_to_end(where: Place, users: int, timeout_seconds: float) -> None:
    if not locks.wait_for_lock(users, locks.SHARED, time.monotonic() + timeout_seconds):
        raise DatabaseUnavailable(
            f"The embedded database in {where.directory} is being stopped by another"
            f" vodtender and has not ended within {timeout_seconds:g} s.",
            hint=f"See the end of '{where.log}', then try again",
            code="database_stopping",
        )


def _dsn(where: Place, user: str, database: str) -> str:
    try:
        return where.dsn(user=user, database=database)
    except OSError:
        raise DatabaseUnavailable(
            f"The embedded database in {where.directory} is not running any more.",
            hint=f"See the end of '{where.log}', then try again",
            code="database_not_running",
        ) from None


def _make_directory(directory: Path) -> None:
    if directory.is_dir():
        return
    directory.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        # Not 0700: a server that is not root must walk through it. All in it is private.
        directory.mkdir()
        directory.chmod(0o711)
        privileges.match_owner(directory, directory.parent)


def _bring_up(where: Place, timeout_seconds: float, durable: bool) -> bool:
    """Have a server that answers; True when one had to be started."""
    deadline = time.monotonic() + timeout_seconds
    if _is_ready(where, deadline):
        return False
    start = locks.open_lock(where.start_lock)
    try:
        privileges.match_owner(where.start_lock, where.directory)
        if not locks.wait_for_lock(start, locks.EXCLUSIVE, deadline):
            raise failures.not_started(
                where,
                "Another vodtender has been starting the embedded database for"
                f" {timeout_seconds:g} s.",
                failures.log_size(where),
                code="database_starting",
            )
        if _is_ready(where, deadline):
            return False
        return _Start(where, timeout_seconds, durable).run()
    finally:
        os.close(start)


def _is_ready(where: Place, deadline: float) -> bool:
    record = where.pid_file()
    return record is not None and record.ready and _answers(where, deadline)


def _answers(where: Place, deadline: float) -> bool:
    patience_seconds = min(_PROBE_SECONDS, deadline - time.monotonic())
    return where.ask(max(_SHORTEST_PROBE_SECONDS, patience_seconds)) is Answer.READY


@dataclass(slots=True)
class _Start:
    """One start, under the start lock."""

    where: Place
    timeout_seconds: float
    durable: bool
    log_start: int = 0

    def run(self) -> bool:
        """True when a server was started, False when one that was there became ready."""
        where = self.where
        self.log_start = failures.log_size(where)
        deadline = time.monotonic() + self.timeout_seconds
        server = locks.open_lock(where.server_lock)
        try:
            privileges.match_owner(where.server_lock, where.directory)
            if not self._wait_for_nobody(server, deadline):
                return False
            self._start(server)
        finally:
            # Closed, never unlocked: the server's own copy of the descriptor holds the lock.
            os.close(server)
        self._wait_until_ready(time.monotonic() + self.timeout_seconds)
        return True

    def _wait_for_nobody(self, server: int, deadline: float) -> bool:
        """Take the server lock, or find that the server that holds it is ready: False."""
        where = self.where
        orphans_since: float | None = None
        while not locks.try_lock(server, locks.EXCLUSIVE):
            record = where.pid_file()
            if record is not None and processes.is_postmaster_alive(where, record):
                orphans_since = None
                if _is_ready(where, deadline):
                    return False
                if record.ready and record.socket_path and not record.socket_path.exists():
                    # Somebody removed the socket: nobody will ever reach this server again.
                    processes.interrupt(where, record, signal.SIGINT)
            elif where.exists and _answers(where, deadline):
                return False  # a server in another container, with ids of its own
            else:
                now = time.monotonic()
                orphans_since = orphans_since or now
                patient = where.exists and now - orphans_since < _ORPHAN_GRACE_SECONDS
                processes.end_orphans(where, signal.SIGQUIT if patient else signal.SIGKILL)
            if time.monotonic() >= deadline:
                raise self._failure("does not answer", "database_not_answering")
            time.sleep(_POLL_SECONDS)
        return True

    def _start(self, server: int) -> None:
        where = self.where
        bin_directory = binaries.find()
        processes.trim_log(where)
        self.log_start = failures.log_size(where)
        with suppress(FileExistsError):
            os.close(os.open(where.log, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        privileges.match_owner(where.log, where.directory)
        cluster.discard_attempts(where)
        cluster.check(where, bin_directory)
        identity = privileges.choose(where.directory, bin_directory)
        if not where.exists:
            creation = time.monotonic() + max(self.timeout_seconds, _CREATION_SECONDS)
            cluster.create(
                where,
                bin_directory,
                identity,
                server,
                durable=self.durable,
                deadline=creation,
            )
        privileges.hand_over(where.data, identity)
        socket = place.prepare_socket_directory(where, identity.owner_uid, identity.owner_gid)
        # We hold the server lock, so whatever process these name is not a server of ours; a
        # reused process id, or a dead server that nobody has reaped, must not block this one.
        for stale in (where.data / "postmaster.pid", *place.socket_files(socket)):
            stale.unlink(missing_ok=True)
        processes.launch(where, bin_directory, socket, identity, server, durable=self.durable)

    def _wait_until_ready(self, deadline: float) -> None:
        where = self.where
        server = locks.open_lock(where.server_lock)
        try:
            while not _is_ready(where, deadline):
                if locks.try_lock(server, locks.EXCLUSIVE):
                    raise self._failure("did not start", "database_not_started")
                if time.monotonic() >= deadline:
                    raise self._failure("is not ready yet", "database_not_answering")
                time.sleep(_POLL_SECONDS)
        finally:
            os.close(server)

    def _failure(self, how: str, code: str) -> DatabaseUnavailable:
        what = f"The embedded database in {self.where.directory} {how}."
        return failures.not_started(self.where, what, self.log_start, code=code)


def _stop(where: Place) -> None:
    """End the server cleanly. With the users' lock held exclusively, so nobody is using it."""
    record = where.pid_file()
    if record is None or not processes.interrupt(where, record, signal.SIGINT):
        return
    with suppress(OSError):
        server = locks.open_lock(where.server_lock)
        try:
            # Should it take longer, it ends by itself; who comes next waits for it.
            if locks.wait_for_lock(server, locks.EXCLUSIVE, time.monotonic() + _STOP_SECONDS):
                place.remove_socket_directory(record, where)
        finally:
            os.close(server)
