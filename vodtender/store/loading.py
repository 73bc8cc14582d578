"""A dump's own statements and rows into an empty database that nobody else uses.

Nothing is undone after an error: the database is worth nothing then.
"""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager, suppress

import psycopg
from psycopg import errors as pg

from vodtender.errors import VodtenderError
from vodtender.model.dumped import Part, Rows
from vodtender.model.post_data import Alone, AtOnce, Build, Settings, Stage, stages
from vodtender.store.database import Connection, connect, translated

_LOOK_SECONDS = 0.2
_CANCEL_SECONDS = 2.0
_ROOM_BYTES = 1 << 20


class StatementFailedError(VodtenderError):
    """The server refuses something that is in a dump. Its message never has a row in it."""

    code = "statement_failed"


class Loader:
    """Sessions of one database, as many as keep so many cores busy; see `loader`."""

    def __init__(self, sessions: Sequence[Connection], cores: int) -> None:
        self._sessions = sessions
        self._cores = cores

    def load(self, parts: Iterator[Part]) -> None:
        """Tables and rows, in one transaction, in which the rows are frozen at once: so the first
        look at each does not write all of it anew. Raises StatementFailedError,
        DatabaseUnavailable, and whatever `parts` does."""
        session = self._sessions[0]
        with _judged(), session.transaction():
            for part in parts:
                if not isinstance(part, Rows):
                    session.execute(part)
                    continue
                with session.cursor().copy(part.statement) as copy:
                    for block in part.blocks:
                        copy.write(block)

    def finish(self, text: bytes) -> None:
        """What pg_restore makes of a dump when its rows are in: indexes, several at a time,
        constraints and whatever else. Raises StatementFailedError, DatabaseUnavailable."""
        with translated():
            tables = _tables(self._sessions[0])
        for stage in stages(text, tables):
            self._execute(stage)

    def _execute(self, stage: Stage) -> None:
        match stage:
            case Settings(text):
                for session in self._sessions:
                    with _judged():
                        session.execute(text)
            case Alone(text):
                with _judged():
                    self._sessions[0].execute(text)
            case AtOnce(builds):
                self._build(builds)

    def _build(self, builds: Sequence[Build]) -> None:
        waiting = deque(builds)
        # Helpers cost more than they bring where each core has an index of its own to build.
        helpers = max(0, self._cores // min(len(builds), len(self._sessions)) - 1)

        def work(session: Connection) -> None:
            with _judged(), suppress(IndexError):
                _set(session, "max_parallel_maintenance_workers", str(helpers))
                while True:
                    session.execute(waiting.popleft().build)

        with ThreadPoolExecutor(len(self._sessions), thread_name_prefix="index") as pool:
            working = [pool.submit(work, session) for session in self._sessions]
            try:
                for ended in wait(working, return_when=FIRST_EXCEPTION).done:
                    ended.result()
            finally:
                waiting.clear()
                self._end(working)
        for one in builds:
            if one.attach is not None:
                with _judged():
                    self._sessions[0].execute(one.attach)

    def _end(self, working: Sequence[Future[None]]) -> None:
        """Where one has failed, or nobody waits any more, the others are ended."""
        while wait(working, timeout=_LOOK_SECONDS).not_done:
            for session in self._sessions:
                with suppress(psycopg.Error):
                    session.cancel_safe(timeout=_CANCEL_SECONDS)


@contextmanager
def loader(dsn: str, *, cores: int) -> Iterator[Loader]:
    """Raises DatabaseUnavailable."""
    with ExitStack() as stack:
        # One more than cores: they share them, and so end at about the same time, where one that
        # waited for its turn would be the last, with cores that have nothing to do.
        sessions = [stack.enter_context(connect(dsn, autocommit=True)) for _ in range(cores + 1)]
        for session in sessions:
            with translated():
                # On the disk it is with the first commit of somebody else.
                _set(session, "synchronous_commit", "off")
        _widen(sessions[0])
        yield Loader(sessions, cores)


def _set(session: Connection, name: str, value: str) -> None:
    session.execute("SELECT set_config(%s, %s, false)", (name, value))


def _widen(session: Connection) -> None:
    """Gives a Unix socket room for what the server takes while we make more; else it waits for
    us at every turn. Of others the system sets it, by how far the server is."""
    with socket.socket(fileno=os.dup(session.fileno())) as found:
        if found.family == socket.AF_UNIX:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _ROOM_BYTES)


def _tables(connection: Connection) -> dict[bytes, int]:
    """Those that hold rows themselves, as pg_dump writes their names, with their sizes."""
    rows = connection.execute(
        "SELECT quote_ident(nspname) || '.' || quote_ident(relname) AS name,"
        " pg_table_size(c.oid) AS size FROM pg_class c"
        " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE relkind IN ('r', 'm')"
        " AND nspname <> 'information_schema' AND NOT starts_with(nspname, 'pg_')"
    ).fetchall()
    return {row["name"].encode(): row["size"] for row in rows}


@contextmanager
def _judged() -> Iterator[None]:
    """What befalls the server, or the way to it, is not held against the dump."""
    try:
        with translated():
            try:
                yield
            except pg.InsufficientPrivilege as error:
                raise _refused(error) from None
    except psycopg.Error as error:
        raise _refused(error) from None


def _refused(error: psycopg.Error) -> StatementFailedError:
    said = error.diag.message_primary or type(error).__name__
    return StatementFailedError(f"{error.sqlstate}: {said}")
