"""The database that a restore takes the place of: who is at work on it, what it has that the
new one lacks, and what goes over to that."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from vodtender.config.settings import Settings
from vodtender.errors import Refused, VodtenderError
from vodtender.procedures.scratch import Filled, Server
from vodtender.store import audit, backups, databases, restored, workers
from vodtender.store.database import Connection, Database, connect, translated
from vodtender.store.restored import Vods

_LOOK_SECONDS = 1.0
_GOING_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Present:
    """The database as it is before a restore. `rows` is None where it cannot be read, of which
    `problem` says why; empty where there is none. `daemons` are those that are alive."""

    name: str
    exists: bool
    rows: dict[str, int] | None
    problem: str
    daemons: list[str]

    @property
    def is_empty(self) -> bool:
        """Whether nobody would miss it."""
        return self.rows is not None and restored.is_empty(self.rows)


@dataclass(frozen=True, slots=True)
class Loss:
    """What there was and the backup does not have. `vods` is None where the old database could
    not be read; `rows` by table (before, now), where they differ."""

    vods: Vods | None
    rows: dict[str, tuple[int, int]]


def without_daemons(
    server: Server, settings: Settings, *, wait: bool, note: Callable[[str], object]
) -> Present:
    """The database once no daemon is alive; with `wait` that is waited for.

    Raises Refused (code `daemon_alive`).
    """
    told: list[str] = []
    while True:
        present = look(server, settings)
        if not present.daemons or not wait:
            break
        if present.daemons != told:
            told = present.daemons
            note(f"waiting for {', '.join(told)} to end")
        time.sleep(_LOOK_SECONDS)
    if present.daemons:
        raise _daemon_alive(present)
    return present


def look(server: Server, settings: Settings) -> Present:
    """The database as it is now."""
    with translated():
        if not databases.exists(server.admin, server.name):
            return Present(server.name, False, {}, "", [])
        try:
            with connect(server.dsn, autocommit=True) as connection, translated():
                restored.be_patient(connection)
                rows = backups.row_counts(connection)
                within = settings.lease_seconds
                alive = workers.count(connection, heard_within_seconds=within)
                daemons = (
                    [one.worker_id for one in workers.find(connection, heard_within_seconds=within)]
                    if alive
                    else []
                )
            return Present(server.name, True, rows, "", daemons)
        except VodtenderError as error:
            problem = error.message
        except Exception as error:  # whatever damage makes of its catalog
            problem = f"{type(error).__name__}: {error}"
        # Who lives cannot be read there; who is connected can be seen from outside.
        there = _settled_sessions(server)
        return Present(server.name, True, None, problem, [f"vodtender on {one}" for one in there])


def _settled_sessions(server: Server) -> list[str]:
    """A session that has just been closed, our own for instance, is seen for a moment yet."""
    deadline = time.monotonic() + _GOING_SECONDS
    while there := databases.sessions(server.admin, server.name):
        if time.monotonic() > deadline:
            break
        time.sleep(_GOING_SECONDS / 20)
    return there


def require_unchanged(server: Server, settings: Settings, before: Present) -> None:
    """A daemon may have come meanwhile, and rows into what was empty."""
    now = look(server, settings)
    if now.daemons:
        raise _daemon_alive(now)
    if before.is_empty and not now.is_empty:
        raise Refused(
            f"Something was written to the database {now.name} meanwhile; it was not replaced.",
            hint="vodtender restore latest --replace",
            code="not_empty",
        )


def _daemon_alive(present: Present) -> Refused:
    return Refused(
        f"At work on the database {present.name}: {', '.join(present.daemons)}. Nothing was"
        " changed.",
        hint="end it and wait: vodtender drain --all --wait; or restore … --wait\n"
        "a daemon that was killed counts as alive for LEASE_SECONDS",
        code="daemon_alive",
    )


def compare_and_carry(present: Present, server: Server, fresh: Filled) -> Loss | None:
    """What the new database lacks; and the record of backups and drills goes over to it. None
    where there was nothing."""
    if present.is_empty or present.rows is None:
        return None if present.is_empty else Loss(None, {})
    names = dict.fromkeys([*present.rows, *fresh.rows])
    counts = {name: (present.rows.get(name, 0), fresh.rows.get(name, 0)) for name in names}
    rows = {name: both for name, both in counts.items() if both[0] != both[1]}
    vods = None
    with (
        suppress(VodtenderError),
        connect(server.dsn, autocommit=True) as old,
        connect(fresh.dsn, autocommit=True) as new,
    ):
        vods = restored.vods_between(old, new)
        restored.carry_over(old, new)
    return Loss(vods, rows)


def make_fit(fresh: Filled, after: Mapping[str, object], *, actor: str, reason: str | None) -> None:
    """In the new database before anybody sees it, so that it is there at once or not at all.
    `after` is what the audit tells of it."""
    with _transaction(fresh) as connection:
        restored.freshen(connection)
        audit.record(
            connection,
            actor=actor,
            action="restore",
            target="database",
            after=after,
            reason=reason,
        )


@contextmanager
def _transaction(fresh: Filled) -> Iterator[Connection]:
    database = Database(lambda: fresh.dsn)
    try:
        with database.transaction(timeout_seconds=3600) as connection:
            yield connection
    finally:
        database.close()
