"""How `vodtender db` shows what it has found."""

from __future__ import annotations

from collections.abc import Sequence
from shlex import quote
from typing import TYPE_CHECKING, Any

from vodtender.cli.output import duration, note, size, write_line, write_table

if TYPE_CHECKING:
    from vodtender.procedures.integrity import Result
    from vodtender.procedures.sessions import Connections
    from vodtender.procedures.sizes import Sizes
    from vodtender.store.sessions import Holder, Session

_MANY_DEAD = 0.2
_WORTH_IT_ROWS = 10_000


def write_sizes(found: Sizes) -> None:
    """One line per table, and the sum."""
    columns = ("TABLE", "ROWS", "DEAD", "DATA", "INDEXES", "TOAST", "TOTAL")
    rows = [
        (
            table.name,
            str(table.rows),
            str(table.dead_rows),
            size(table.table_bytes),
            size(table.index_bytes),
            size(table.toast_bytes),
            size(table.total_bytes),
        )
        for table in found.tables
    ]
    write_table(columns, rows)
    write_line(f"The database takes {size(found.total_bytes)}.")
    for table in found.tables:
        if table.dead_rows > _WORTH_IT_ROWS and table.dead_rows > _MANY_DEAD * table.rows:
            note(f"many rows of {table.name} are dead: vodtender vacuum --table {table.name}")


def connections_document(found: Connections) -> dict[str, Any]:
    """As the contract has it."""
    demand = found.demand
    return {
        "max_connections": demand.max_connections,
        "reserved": demand.reserved,
        "usable": demand.usable,
        "in_use": demand.in_use,
        "nearly_full": demand.is_nearly_full,
        "raise_to": demand.raise_to,
        "daemons": demand.daemons,
        "db_max_open_conns": demand.per_daemon,
        "connections": found.groups,
        "holding_back_vacuum": found.holders,
    }


def write_connections(found: Connections, *, embedded: bool) -> None:
    """One line per kind of connection, what there is room for, and what to change."""
    columns = ("CONNECTIONS", "STATE", "DATABASE", "ROLE", "APPLICATION", "CLIENT", "LONGEST")
    rows = [
        (
            str(group.connections),
            group.state or "hidden",
            group.database,
            group.role,
            group.application,
            group.client,
            "" if group.longest_seconds is None else duration(group.longest_seconds),
        )
        for group in found.groups
    ]
    write_table(columns, rows)
    demand = found.demand
    write_line(
        f"{demand.in_use} of {demand.usable} are in use (max_connections"
        f" {demand.max_connections}, {demand.reserved} of them reserved); each of"
        f" {demand.daemons} daemons may hold {demand.per_daemon} (DB_MAX_OPEN_CONNS) and a few"
        " more."
    )
    if demand.is_nearly_full:
        note("nearly full; what is idle can be ended: vodtender db kill-idle --older-than 5m")
    if demand.raise_to is not None:
        note(
            f"to have room for everybody: ALTER SYSTEM SET max_connections = {demand.raise_to}"
            " as a superuser, then vodtender db restart; or a smaller DB_MAX_OPEN_CONNS"
        )
        if embedded:
            note("the embedded server reads it from DATA_DIR/postgres/data/postgresql.conf, too")
    write_holders(found.holders)


def write_holders(holders: Sequence[Holder]) -> None:
    """Says who keeps dead rows from being removed."""
    for holder in holders:
        what = "a dump" if holder.is_dump else "a transaction"
        since = "" if holder.since_seconds is None else f" for {duration(holder.since_seconds)}"
        note(
            f"{what} holds back vacuum{since}: pid {holder.pid}, role {holder.role},"
            f" {holder.application or 'no name'}, from {holder.client}"
        )


def write_idle(sessions: Sequence[Session]) -> None:
    """What is about to be ended."""
    columns = ("PID", "IDLE FOR", "STATE", "ROLE", "APPLICATION", "CLIENT")
    rows = [
        (str(one.pid), duration(one.idle_seconds), one.state, one.role, one.application, one.client)
        for one in sessions
    ]
    write_table(columns, rows)


def check_document(results: Sequence[Result]) -> dict[str, Any]:
    """As the contract has it."""
    return {
        "ok": all(result.is_good for result in results),
        "checks": [
            {
                "check": result.check.name,
                "promise": result.check.promise,
                "ok": None if result.skipped else result.is_good,
                "skipped": result.skipped or None,
                "defects": result.defects,
                "hint": "" if result.is_good else result.check.advice,
            }
            for result in results
        ],
    }


def write_check(results: Sequence[Result]) -> None:
    """One line per check, what is wrong below it, and what to type."""
    for result in results:
        word = "skipped" if result.skipped else "ok" if result.is_good else "WRONG"
        why = f": {result.skipped}" if result.skipped else ""
        write_line(f"{word:<8}{result.check.promise}{why}")
        for defect in result.defects:
            write_line(f"        {defect.target}: {defect.problem}")
    advice = [line for result in results if not result.is_good for line in _advice(result)]
    for line in dict.fromkeys(advice):
        note(line)


def _advice(result: Result) -> list[str]:
    mends = [f"vodtender db shell -- -c {quote(one.mend)}" for one in result.defects if one.mend]
    return [*mends, *result.check.advice.splitlines()]
