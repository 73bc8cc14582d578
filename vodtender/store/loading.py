"""A dump's own statements and rows into an empty database that nobody else uses."""

from __future__ import annotations

import queue
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


class StatementFailedError(VodtenderError):
    """The server refuses something that is in a dump. Its message never has a row in it."""

    code = "statement_failed"


def load(dsn: str, parts: Iterator[Part]) -> None:
    """Tables and rows, in one transaction.

    Raises StatementFailedError, DatabaseUnavailable, and whatever `parts` does.
    """
    with connect(dsn, autocommit=True) as connection, _judged(), connection.transaction():
        for part in parts:
            if not isinstance(part, Rows):
                connection.execute(part)
                continue
            with connection.cursor().copy(part.statement) as copy:
                for block in part.blocks:
                    copy.write(block)


def finish(dsn: str, text: bytes, *, cores: int) -> None:
    """Indexes, constraints and whatever else follows the rows: what pg_restore makes of that
    section of a dump. Indexes are built at the same time, as many as keep so many cores busy.

    Raises StatementFailedError, DatabaseUnavailable.
    """
    with ExitStack() as stack:
        sessions = [
            # One more than cores: they share them, and so end at about the same time, where one
            # that waited for its turn would be the last, with cores that have nothing to do.
            stack.enter_context(connect(dsn, autocommit=True))
            for _ in range(cores + 1)
        ]
        for stage in stages(text, _tables(sessions[0])):
            _execute(stage, sessions, cores)


def _execute(stage: Stage, sessions: Sequence[Connection], cores: int) -> None:
    match stage:
        case Settings(text):
            for session in sessions:
                with _judged():
                    session.execute(text)
        case Alone(text):
            with _judged():
                sessions[0].execute(text)
        case AtOnce(builds):
            _build(builds, sessions, cores)


def _build(builds: Sequence[Build], sessions: Sequence[Connection], cores: int) -> None:
    waiting: queue.SimpleQueue[Build] = queue.SimpleQueue()
    for one in builds:
        waiting.put(one)

    def work(session: Connection) -> None:
        with suppress(queue.Empty), _judged():
            # Helpers cost more than they bring where each core has an index of its own to build.
            session.execute(
                "SELECT set_config('max_parallel_maintenance_workers', %s, false)",
                (str(max(0, cores // min(len(builds), len(sessions)) - 1)),),
            )
            while True:
                session.execute(waiting.get_nowait().build)

    with ThreadPoolExecutor(len(sessions), thread_name_prefix="index") as pool:
        working = [pool.submit(work, session) for session in sessions]
        try:
            for ended in wait(working, return_when=FIRST_EXCEPTION).done:
                ended.result()
        finally:
            _end(working, waiting, sessions)
    for build in builds:
        if build.attach is not None:
            with _judged():
                sessions[0].execute(build.attach)


def _end(
    working: Sequence[Future[None]],
    waiting: queue.SimpleQueue[Build],
    sessions: Sequence[Connection],
) -> None:
    """Where one has failed, or nobody wants them any more, the others need not go on."""
    with suppress(queue.Empty):
        while True:
            waiting.get_nowait()
    while wait(working, timeout=_LOOK_SECONDS).not_done:
        for session in sessions:
            with suppress(psycopg.Error):
                session.cancel_safe(timeout=_CANCEL_SECONDS)


def _tables(connection: Connection) -> dict[bytes, int]:
    """Those that hold rows themselves, as pg_dump writes their names, with their sizes."""
    with translated():
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
