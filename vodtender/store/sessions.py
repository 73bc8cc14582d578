"""Who is connected to the server, who holds others back, and ending what is idle."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from psycopg import errors as pg
from psycopg.rows import class_row

from vodtender.store.database import Connection

_LONG_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Room:
    """How many connections the server takes. `reserved` are for superusers and such."""

    max_connections: int
    reserved: int
    in_use: int

    @property
    def usable(self) -> int:
        """How many an ordinary role can have, all together."""
        return self.max_connections - self.reserved


@dataclass(frozen=True, slots=True)
class Group:
    """Connections that are alike. `state` is None where our role may not see it."""

    database: str
    role: str
    application: str
    client: str
    state: str | None
    connections: int
    longest_seconds: float | None


@dataclass(frozen=True, slots=True)
class Session:
    """One connection to our database. `started` tells it from another of the same pid."""

    pid: int
    started: str
    role: str
    application: str
    client: str
    state: str
    idle_seconds: float


@dataclass(frozen=True, slots=True)
class Holder:
    """A transaction that keeps vacuum from removing rows, and concurrent reindexing from
    ending. `since_seconds` is None where our role may not see it."""

    pid: int
    role: str
    application: str
    client: str
    is_dump: bool
    since_seconds: float | None


_CLIENT = "coalesce(host(client_addr), 'local')"
_IS_DUMP = "(application_name ~ '\\mpg_dump')"


def room(connection: Connection) -> Room:
    """How many connections there can be, and are."""
    with connection.cursor(row_factory=class_row(Room)) as cursor:
        row = cursor.execute(
            """
            SELECT current_setting('max_connections')::int AS max_connections,
                current_setting('superuser_reserved_connections')::int
                    + coalesce(current_setting('reserved_connections', true), '0')::int
                    AS reserved,
                (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')
                    AS in_use
            """
        ).fetchone()
    assert row is not None
    return row


def server_started_at(connection: Connection) -> datetime:
    """When the server began to run."""
    row = connection.execute("SELECT pg_postmaster_start_time() AS at").fetchone()
    assert row is not None
    at: datetime = row["at"]
    return at


def groups(connection: Connection) -> list[Group]:
    """All client connections of the server, the most numerous first."""
    with connection.cursor(row_factory=class_row(Group)) as cursor:
        return cursor.execute(
            f"""
            SELECT coalesce(datname, '') AS database, coalesce(usename, '') AS role,
                coalesce(application_name, '') AS application, {_CLIENT} AS client, state,
                count(*) AS connections,
                max(extract(epoch FROM now() - state_change))::float8 AS longest_seconds
            FROM pg_stat_activity WHERE backend_type = 'client backend'
            GROUP BY 1, 2, 3, 4, 5 ORDER BY connections DESC, 1, 2, 3, 4, 5
            """
        ).fetchall()


def idle(
    connection: Connection, older_than_seconds: float, *, in_transaction: bool
) -> list[Session]:
    """Connections to this database that have done nothing for so long, never our own; the
    longest idle first."""
    with connection.cursor(row_factory=class_row(Session)) as cursor:
        return cursor.execute(
            f"""
            SELECT pid, backend_start::text AS started, coalesce(usename, '') AS role,
                coalesce(application_name, '') AS application, {_CLIENT} AS client, state,
                extract(epoch FROM now() - state_change)::float8 AS idle_seconds
            FROM pg_stat_activity
            WHERE {_IDLE} ORDER BY state_change, pid
            """,
            _idle_parameters(older_than_seconds, in_transaction=in_transaction),
        ).fetchall()


def end(
    connection: Connection,
    session: Session,
    older_than_seconds: float,
    *,
    in_transaction: bool,
    wait_seconds: float = 5.0,
) -> bool | None:
    """Ends one of them if it is still idle, and waits until it is gone. None: it is not idle
    any more or has gone by itself; False: it may not be ended, or does not end."""
    try:
        with connection.transaction():
            row = connection.execute(
                f"""
                SELECT pg_terminate_backend(pid, %(wait)s) AS ended FROM pg_stat_activity
                WHERE pid = %(pid)s AND backend_start::text = %(started)s AND {_IDLE}
                """,
                {
                    "pid": session.pid,
                    "started": session.started,
                    "wait": round(wait_seconds * 1000),
                    **_idle_parameters(older_than_seconds, in_transaction=in_transaction),
                },
            ).fetchone()
    except pg.InsufficientPrivilege:
        return False
    return None if row is None else bool(row["ended"])


def holders(connection: Connection, longer_than_seconds: float = _LONG_SECONDS) -> list[Holder]:
    """Transactions that have been open for so long, and every dump; the oldest first. The row
    versions that they can still see must stay."""
    with connection.cursor(row_factory=class_row(Holder)) as cursor:
        return cursor.execute(
            f"""
            SELECT pid, coalesce(usename, '') AS role,
                coalesce(application_name, '') AS application, {_CLIENT} AS client,
                {_IS_DUMP} AS is_dump,
                extract(epoch FROM now() - xact_start)::float8 AS since_seconds
            FROM pg_stat_activity
            WHERE pid <> pg_backend_pid() AND backend_xmin IS NOT NULL
                AND backend_type IN ('client backend', 'walsender')
                AND (datname = current_database() OR backend_type = 'walsender')
                AND pid NOT IN (SELECT pid FROM pg_stat_progress_vacuum)
                AND ({_IS_DUMP} OR xact_start IS NULL
                    OR xact_start < clock_timestamp() - make_interval(secs => %s))
            ORDER BY xact_start NULLS LAST, pid
            """,
            (longer_than_seconds,),
        ).fetchall()


_IDLE = """
    datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
        AND state = ANY(%(states)s)
        AND state_change <= now() - make_interval(secs => %(older)s)
"""


def _idle_parameters(older_than_seconds: float, *, in_transaction: bool) -> dict[str, object]:
    states = ["idle"]
    if in_transaction:
        states += ["idle in transaction", "idle in transaction (aborted)"]
    return {"states": states, "older": older_than_seconds}
