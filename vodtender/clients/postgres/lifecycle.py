"""Bringing the server up and down: what happens under the locks.

Order of locks: a user holds `users.lock` (shared) all the time; whoever starts a server takes
`start.lock`, then `server.lock`, which the server inherits. Stopping takes `users.lock`
exclusively, so nobody can be starting or using it meanwhile.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass

from vodtender.clients.postgres import (
    binaries,
    cluster,
    failures,
    locks,
    place,
    privileges,
    processes,
    replacing,
)
from vodtender.clients.postgres.place import Place
from vodtender.clients.postgres.probe import Answer
from vodtender.errors import DatabaseUnavailable

_POLL_SECONDS = 0.01
_PROBE_SECONDS = 2.0
_SHORTEST_PROBE_SECONDS = 0.1
_STOP_SECONDS = 20.0
_BREAK_OFF_SECONDS = 5.0
_ORPHAN_GRACE_SECONDS = 2.0
_CREATION_SECONDS = 120.0


def bring_up(where: Place, timeout_seconds: float, durable: bool) -> bool:
    """Have a server that answers; True when one had to be started.

    Raises DatabaseUnavailable and OSError.
    """
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
        replacing.complete(where)
        cluster.discard_attempts(where)
        cluster.check(where, bin_directory)
        identity = cluster.identity(where, bin_directory)
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
        processes.start_server(where, bin_directory, socket, identity, server, durable=self.durable)

    def _wait_until_ready(self, deadline: float) -> None:
        where = self.where
        server = locks.open_lock(where.server_lock)
        try:
            while not _is_ready(where, deadline):
                if locks.try_lock(server, locks.EXCLUSIVE):
                    raise self._failure("did not start", failures.NOT_STARTED)
                if time.monotonic() >= deadline:
                    raise self._failure("is not ready yet", "database_not_answering")
                time.sleep(_POLL_SECONDS)
        finally:
            os.close(server)

    def _failure(self, how: str, code: str) -> DatabaseUnavailable:
        what = f"The embedded database in {self.where.directory} {how}."
        return failures.not_started(self.where, what, self.log_start, code=code)


def restart(where: Place, timeout_seconds: float, durable: bool) -> None:
    """End the server, however stubborn, and have a new one; whoever uses it meanwhile loses the
    connection and finds the new one. Nobody else can start one in between.

    Raises DatabaseUnavailable and OSError.
    """
    start = locks.open_lock(where.start_lock)
    try:
        privileges.match_owner(where.start_lock, where.directory)
        if not locks.wait_for_lock(start, locks.EXCLUSIVE, time.monotonic() + timeout_seconds):
            raise failures.not_started(
                where,
                "Another vodtender is starting the embedded database.",
                failures.log_size(where),
                code="database_starting",
            )
        end(where)
        _Start(where, timeout_seconds, durable).run()
    finally:
        os.close(start)


def end(where: Place) -> None:
    """Asks the server, then breaks it off, then kills it: what it has committed is in its log.
    Where nobody else can start one meanwhile."""
    server = locks.open_lock(where.server_lock)
    try:
        privileges.match_owner(where.server_lock, where.directory)
        for number, patience_seconds in (
            (signal.SIGINT, _STOP_SECONDS),
            (signal.SIGQUIT, _BREAK_OFF_SECONDS),
            (signal.SIGKILL, _BREAK_OFF_SECONDS),
        ):
            record = where.pid_file()
            if record is not None:
                processes.interrupt(where, record, number)
            if number is signal.SIGKILL:
                processes.end_orphans(where, number)
            if locks.wait_for_lock(server, locks.EXCLUSIVE, time.monotonic() + patience_seconds):
                place.remove_socket_directory(record, where)
                return
    finally:
        os.close(server)


def stop(where: Place) -> None:
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
