"""A dump's own statements and rows into an empty database that nobody else uses.

Nothing is undone after an error: the database is worth nothing then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager, suppress
from threading import Lock
from typing import Generic, TypeVar

import psycopg
from psycopg import errors as pg

from vodtender.errors import VodtenderError
from vodtender.model.dumped import Part, Rows
from vodtender.model.post_data import Alone, AtOnce, Build, Settings, Stage, stages
from vodtender.store.database import Connection, connect, translated

_T = TypeVar("_T")
_LOOK_SECONDS = 0.2
_CANCEL_SECONDS = 2.0


class StatementFailedError(VodtenderError):
    """The server refuses something that is in a dump. Its message never has a row in it."""

    code = "statement_failed"


class Loader:
    """Sessions of one database, as many as keep so many cores busy; see `loader`."""

    def __init__(self, sessions: Sequence[Connection], cores: int) -> None:
        self._sessions = sessions
        self._cores = cores

    def load(self, parts: Iterator[Part]) -> None:
        """Tables and rows; those of a large table by several sessions. Raises
        StatementFailedError, DatabaseUnavailable, and whatever `parts` does."""
        for part in parts:
            if isinstance(part, Rows):
                self._copy(part)
            else:
                for stage in stages(part, {}):
                    self._execute(stage)

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

    def _copy(self, rows: Rows) -> None:
        lines = _whole_lines(rows.blocks)
        supply = _Supply(lines, first := next(lines, b""), second := next(lines, b""))

        def work(session: Connection) -> None:
            with session.cursor().copy(rows.statement) as copy:
                while (block := supply.take()) is not None:
                    copy.write(block)

        many = self._sessions[: self._cores if first and second else 1]
        _together(work, many, supply)

    def _build(self, builds: Sequence[Build]) -> None:
        supply = _Supply(iter(builds))
        # Helpers cost more than they bring where each core has an index of its own to build.
        helpers = max(0, self._cores // min(len(builds), len(self._sessions)) - 1)

        def work(session: Connection) -> None:
            session.execute(
                "SELECT set_config('max_parallel_maintenance_workers', %s, false)",
                (str(helpers),),
            )
            while (one := supply.take()) is not None:
                session.execute(one.build)

        _together(work, self._sessions, supply)
        for one in builds:
            if one.attach is not None:
                with _judged():
                    self._sessions[0].execute(one.attach)


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
                session.execute("SELECT set_config('synchronous_commit', 'off', false)")
        yield Loader(sessions, cores)


class _Supply(Generic[_T]):
    """Things to be taken by several threads, one by one."""

    def __init__(self, others: Iterator[_T], *first: _T) -> None:
        self._first = list(first)
        self._others = others
        self._guard = Lock()
        self._has_ended = False

    def take(self) -> _T | None:
        with self._guard:
            if self._has_ended:
                return None
            return self._first.pop(0) if self._first else next(self._others, None)

    def end(self) -> None:
        self._has_ended = True


def _together(
    work: Callable[[Connection], None], sessions: Sequence[Connection], supply: _Supply[_T]
) -> None:
    """Until all have ended. Where one fails, or nobody waits any more, the others are ended."""

    def judged(session: Connection) -> None:
        with _judged():
            work(session)

    with ThreadPoolExecutor(len(sessions), thread_name_prefix="load") as pool:
        working = [pool.submit(judged, session) for session in sessions]
        try:
            for ended in wait(working, return_when=FIRST_EXCEPTION).done:
                ended.result()
        finally:
            supply.end()
            while wait(working, timeout=_LOOK_SECONDS).not_done:
                for session in sessions:
                    with suppress(psycopg.Error):
                        session.cancel_safe(timeout=_CANCEL_SECONDS)


def _whole_lines(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The same in blocks that end with a line."""
    rest = b""
    for block in blocks:
        end = block.rfind(b"\n") + 1
        if end:
            yield rest + block[:end]
            rest = block[end:]
        else:
            rest += block
    if rest:
        yield rest


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
