"""The embedded PostgreSQL: one server per directory, shared by every process that needs it.

    with acquire(data_dir / "postgres") as server:
        connect(server.dsn)

The first one in starts it, the last one out stops it, and a death at any point leaves nothing
that stands in the way of the next: locks end with their holders, the data directory appears
by a rename, and a server left running is taken over.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Self

from vodtender.clients.postgres import (
    binaries,
    failures,
    lifecycle,
    locks,
    privileges,
    processes,
    replacing,
)
from vodtender.clients.postgres.place import DATABASE, ROLE, SUPERUSER, Place
from vodtender.clients.postgres.probe import Answer
from vodtender.errors import DatabaseUnavailable, Refused

_PROBE_SECONDS = 2.0


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
                return lifecycle.bring_up(self._place, self._timeout_seconds, self._durable)
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
                    lifecycle.stop(self._place)
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
            lifecycle.bring_up(where, max(0.0, deadline - time.monotonic()), durable)
        except BaseException as error:
            # After Ctrl-C nobody may ever come back to stop what has just been started. After
            # a failure the server may be recovering still, and the next one will want it.
            interrupted = not isinstance(error, Exception)
            if interrupted and locks.try_lock(users, locks.EXCLUSIVE):
                lifecycle.stop(where)
            os.close(users)
            raise
    except OSError as error:
        raise failures.from_os_error(error, where) from error
    return EmbeddedServer(where, users, timeout_seconds=timeout_seconds, durable=durable)


def restart(directory: Path, *, timeout_seconds: float = 30, durable: bool = True) -> None:
    """Ends the server in `directory`, one that does not answer too, and starts it again; its
    users lose their connections and go on with the new one. One that nobody used ends again.

    Raises DatabaseUnavailable.
    """
    where = Place(Path(os.path.realpath(directory)))
    try:
        _make_directory(where.directory)
        users = locks.open_lock(where.users_lock)
        try:
            privileges.match_owner(where.users_lock, where.directory)
            _wait_for_a_stop_to_end(where, users, timeout_seconds)
            lifecycle.restart(where, timeout_seconds, durable)
            if locks.try_lock(users, locks.EXCLUSIVE):
                lifecycle.stop(where)
        finally:
            os.close(users)
    except OSError as error:
        raise failures.from_os_error(error, where) from error


def replace(directory: Path, made: Path, now: datetime, *, timeout_seconds: float = 10) -> str:
    """The cluster in `made`, beside the one of the server in `directory`, takes its place; the
    path of the one that was there, empty where there was none. The server must not be in use.

    Raises Refused (code `in_use`), DatabaseUnavailable.
    """
    where = Place(Path(os.path.realpath(directory)))
    deadline = time.monotonic() + timeout_seconds
    try:
        users, server = locks.open_lock(where.users_lock), locks.open_lock(where.server_lock)
        try:
            for lock in (where.users_lock, where.server_lock):
                privileges.match_owner(lock, where.directory)
            if not locks.wait_for_lock(users, locks.EXCLUSIVE, deadline):
                raise _in_use(where)
            lifecycle.end(where)
            if not locks.wait_for_lock(server, locks.EXCLUSIVE, deadline):
                raise _in_use(where)
            replacing.complete(where)
            return str(replacing.replace(where, made, now) or "")
        finally:
            os.close(server)
            os.close(users)
    except OSError as error:
        raise failures.from_os_error(error, where) from error


def _in_use(where: Place) -> Refused:
    return Refused(
        f"Somebody uses the embedded database in {where.directory}, so it was not replaced.",
        hint="end what is running: vodtender drain --all --wait; then restore again",
        code="in_use",
    )


def has_database(directory: Path) -> bool:
    """Whether a database, in whatever state, lies in `directory`; touches nothing."""
    where = Place(directory)
    try:
        return bool(where.swapping()) or any(where.data.iterdir())
    except FileNotFoundError:
        return False
    except OSError:
        return True  # whoever opens it is told what is wrong


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
