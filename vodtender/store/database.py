"""Connections to PostgreSQL, and its failures in our words.

Nothing relies on session state, so that PgBouncer may stand between in transaction mode: no
prepared statements, no session locks, settings only with SET LOCAL.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import errors as pg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import DictRow, dict_row

from vodtender.errors import DatabaseUnavailable

if TYPE_CHECKING:
    from psycopg_pool import ConnectionPool

Connection = psycopg.Connection[DictRow]

CHANNEL = "vodtender"
"""On which NOTIFY says that there is something new to do."""

DAMAGED = "database_damaged"
"""The error code for what the server itself calls damage of its files."""

_STATEMENT_TIMEOUT_SECONDS = 60
_CONNECT_TIMEOUT_SECONDS = 10
_POOL_TIMEOUT_SECONDS = 15.0
_KWARGS: dict[str, Any] = {
    "row_factory": dict_row,
    "prepare_threshold": None,
    "application_name": "vodtender",
}
_UNLESS_SAID: dict[str, Any] = {
    "connect_timeout": _CONNECT_TIMEOUT_SECONDS,
    "keepalives_idle": 20,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
"""What holds where DB_DSN says nothing else."""


class Database:
    """Transactions on one database. With `pool_size` threads share so many connections;
    without, every transaction uses the same one (`first`, if given), for a command that does a
    single thing.

    `dsn` is asked anew for each connection, since the embedded server may move; `revive` starts
    that one again.
    """

    def __init__(
        self,
        dsn: Callable[[], str],
        *,
        pool_size: int | None = None,
        idle: int = 1,
        first: Connection | None = None,
        revive: Callable[[], object] | None = None,
    ) -> None:
        self._dsn = dsn
        self._revive = revive
        self._single = first
        self._pool: ConnectionPool[Connection] | None = None
        if pool_size is not None:
            self._pool = _pool(dsn, pool_size, min(idle, pool_size))

    @contextmanager
    def transaction(
        self,
        *,
        actor: str = "",
        keep: bool = True,
        timeout_seconds: float = _STATEMENT_TIMEOUT_SECONDS,
        wait_seconds: float = _POOL_TIMEOUT_SECONDS,
    ) -> Iterator[Connection]:
        """One transaction. `actor` is noted in the history of the VODs it changes. Without
        `keep` it is a rehearsal: everything happens, triggers included, and is undone. A
        connection of the pool's is waited for so long.

        Raises:
            DatabaseUnavailable: no connection, or it broke; whether a commit took effect is
                then not known, so whatever is repeated must bear it.
        """
        with (
            translated(),
            self._connection(min(timeout_seconds, wait_seconds)) as connection,
            connection.transaction(),
        ):
            connection.execute(
                "SELECT set_config('statement_timeout', %s, true),"
                " set_config('vodtender.actor', %s, true)",
                (str(int(timeout_seconds * 1000)), actor),
            )
            yield connection
            if not keep:
                raise psycopg.Rollback

    @property
    def dsn(self) -> str:
        """Where it is now; holds a password."""
        return self._dsn()

    def revive(self) -> None:
        """Starts the server again if it is ours and has died. Raises DatabaseUnavailable."""
        if self._revive is not None:
            self._revive()

    def close(self) -> None:
        """Ends all connections. Twice is once."""
        if self._pool is not None:
            self._pool.close(timeout=2)
        if self._single is not None:
            self._single.close()
            self._single = None

    @contextmanager
    def _connection(self, wait_seconds: float) -> Iterator[Connection]:
        if self._pool is not None:
            with self._pool.connection(wait_seconds) as connection:
                yield connection
            return
        if self._single is None or self._single.closed:
            self._single = connect(self._dsn(), autocommit=True)
        yield self._single


def connect(dsn: str, *, autocommit: bool = False) -> Connection:
    """A connection of its own.

    Raises:
        DatabaseUnavailable: it cannot be had.
    """
    with translated():
        return psycopg.connect(_completed(dsn), autocommit=autocommit, **_KWARGS)


def clock(connection: Connection) -> datetime:
    """The database's time."""
    row = connection.execute("SELECT now() AS now").fetchone()
    assert row is not None
    now: datetime = row["now"]
    return now


def with_database_of(dsn: str, other: str) -> str:
    """`other`, led to the database that `dsn` names. Raises DatabaseUnavailable."""
    name = conninfo_to_dict(_completed(dsn)).get("dbname")
    return make_conninfo(_completed(other), **({"dbname": name} if name else {}))


def _completed(dsn: str) -> str:
    try:
        said = conninfo_to_dict(dsn)
    except psycopg.ProgrammingError as error:
        raise DatabaseUnavailable(
            "DB_DSN cannot be read as a connection string.",
            hint="it should look like postgresql://vod@host:5432/vod",
            code="dsn",
        ) from error
    return make_conninfo(dsn, **{k: v for k, v in _UNLESS_SAID.items() if k not in said})


@contextmanager
def translated() -> Iterator[None]:
    """Failures of the database or of the way to it become DatabaseUnavailable. Mistakes in
    our statements do not: they are defects, and stay what they are."""
    try:
        yield
    except psycopg.Error as error:
        meaning = _meaning(error)
        if meaning is None:
            raise
        raise meaning from error


# sqlstate classes and errors, our code, what it means, what to do; the first that fits counts.
_MEANINGS: tuple[tuple[tuple[type[Exception], ...], str, str, str], ...] = (
    (
        (pg.ReadOnlySqlTransaction,),
        "read_only",
        "The database accepts no changes: it is a standby or set to read-only",
        "point DB_DSN at the primary",
    ),
    (
        (pg.InsufficientPrivilege,),
        "no_privilege",
        "The database role may not do this",
        "let it own the database: ALTER DATABASE vod OWNER TO vod",
    ),
    ((pg.DiskFull,), "database_disk_full", "The database's disk is full", "make room on it"),
    (
        (pg.DataCorrupted, pg.IndexCorrupted, pg.UndefinedFile, pg.IoError),
        DAMAGED,
        "The database is damaged",
        "see how far: vodtender db check; go back: vodtender restore latest --replace",
    ),
    (
        # Includes shutdowns, too many connections, deadlocks and cancelled statements; and every
        # refused login, of which libpq tells nothing but the server's own words.
        (pg.OperationalError, pg.InterfaceError, pg.InternalError),
        "database_unavailable",
        "The database cannot be reached",
        "check that it runs, and that DB_DSN and DB_PASSWORD are right",
    ),
)


def _meaning(error: psycopg.Error) -> DatabaseUnavailable | None:
    for kinds, code, meaning, hint in _MEANINGS:
        if isinstance(error, kinds):
            return DatabaseUnavailable(f"{meaning}: {first_line(error)}.", hint=hint, code=code)
    return None


def first_line(error: psycopg.Error) -> str:
    """The first line of what the server or libpq says; neither ever repeats a password."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


def _pool(dsn: Callable[[], str], size: int, idle: int) -> ConnectionPool[Connection]:
    from psycopg_pool import ConnectionPool

    # It would warn of each of its connections and each try; who waits for one says it once.
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    return ConnectionPool(
        conninfo=lambda: _completed(dsn()),
        connection_class=psycopg.Connection[DictRow],
        kwargs={**_KWARGS, "autocommit": True},
        min_size=max(1, idle),
        max_size=size,
        timeout=_POOL_TIMEOUT_SECONDS,
        # Tries of the pool are twice as far apart each time. Whoever asks after this begins
        # anew, so that what was away for hours is found again within seconds.
        reconnect_timeout=10,
        open=True,
    )
