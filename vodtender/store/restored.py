"""A database that comes from a backup: made fit for the present, and compared with the one whose
place it takes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg import sql

from vodtender.store import archive
from vodtender.store.database import Connection

_NOT_WORK = frozenset(
    {
        *("schema_migrations", "workers", "leases", "channels", "catalog_cursors"),
        *("vod_counts", "backup_runs", "restore_drills", "audit"),
    }
)
"""What a daemon or command leaves in a database in which nothing has happened yet."""

_ROLE = re.compile(
    r'(?:(?<= TO )|(?<= FROM )|(?<= FOR ROLE ))(?:"((?:[^"]|"")+)"|(\w+))'
    r"(?=;| WITH GRANT| IN | GRANT | REVOKE )"
)
"""Whose rights a statement of pg_dump changes; and whose objects, in a default."""

_RECORDS = {
    "backup_runs": ("began_at", "ended_at", "host", "name", "size_bytes", "s3_url", "problem"),
    "restore_drills": ("began_at", "ended_at", "host", "name", "seconds", "problem"),
}


@dataclass(frozen=True, slots=True)
class Vods:
    """What became of VODs between a backup and now, by their Twitch numbers. `unknown`: found
    since. `published`: brought to YouTube since. `returned`: removed since."""

    unknown: tuple[str, ...]
    published: tuple[str, ...]
    returned: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Drill:
    """One drill. `problem` None: the backup can be restored, and in time."""

    began_at: datetime
    ended_at: datetime
    host: str
    name: str | None
    seconds: float
    problem: str | None


@dataclass(frozen=True, slots=True)
class Rights:
    """What could not be given of the rights that a backup knows: `missing` roles are not there;
    `failed` statements the server refused."""

    missing: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()


NO_RIGHTS = Rights()
"""None were missing."""


def give_rights(connection: Connection, statements: Sequence[str]) -> Rights:
    """Executes pg_dump's statements that give rights, or take them, for roles that are there.
    The connection is in autocommit mode."""
    rows = connection.execute("SELECT rolname FROM pg_roles").fetchall()
    roles = {row["rolname"] for row in rows} | {"public"}
    missing, failed = [], []
    for statement in statements:
        absent = [role for role in _roles_in(statement) if role not in roles]
        missing += absent
        if absent:
            continue
        try:
            connection.execute(statement.encode())
        except psycopg.DatabaseError:
            failed.append(statement)
    return Rights(tuple(sorted(set(missing))), tuple(failed))


def _roles_in(statement: str) -> list[str]:
    found = []
    for quoted, plain in _ROLE.findall(statement):
        found.append(quoted.replace('""', '"') if quoted else plain.lower())
    return found


def is_empty(rows: dict[str, int]) -> bool:
    """Whether a database with these row counts holds nothing that anybody would miss."""
    return not any(count for table, count in rows.items() if table not in _NOT_WORK)


def freshen(connection: Connection) -> None:
    """Nobody works on what was in hand when the backup was made; and YouTube is asked before
    anything is fetched that may have been brought there since."""
    connection.execute("DELETE FROM workers")
    connection.execute("DELETE FROM leases")
    connection.execute("UPDATE vods SET lease_expires_at = now() WHERE worker_id IS NOT NULL")
    connection.execute("UPDATE vods SET recheck = true WHERE stage IN ('queued', 'downloading')")


def be_patient(connection: Connection) -> None:
    """For the rest of this session, statements may take as long as they do."""
    connection.execute("SELECT set_config('statement_timeout', '0', false)")


def analyze(connection: Connection) -> None:
    """What the planner knows of tables is not in a dump. Of those of the server itself it knows
    enough, as in any new database."""
    rows = connection.execute(
        "SELECT nspname, relname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace"
        " WHERE relkind IN ('r', 'm', 'p') AND relpersistence <> 't' AND nspname !~ '^pg_'"
        " AND nspname <> 'information_schema'"
    ).fetchall()
    tables = [sql.Identifier(row["nspname"], row["relname"]) for row in rows]
    if tables:
        connection.execute(sql.SQL("ANALYZE {}").format(sql.SQL(", ").join(tables)))


def vods_between(old: Connection, new: Connection) -> Vods | None:
    """What the old database knows of VODs and the new one does not, and the other way round;
    None when the old one is too damaged, or too old, to tell."""
    query = "SELECT twitch_vod_id, stage = 'published' AS done FROM vods ORDER BY twitch_vod_id"
    try:
        was = {row["twitch_vod_id"]: row["done"] for row in old.execute(query)}
    except psycopg.Error:
        return None
    now = {row["twitch_vod_id"]: row["done"] for row in new.execute(query)}
    return Vods(
        unknown=tuple(number for number in was if number not in now),
        published=tuple(
            number for number, done in was.items() if done and now.get(number) is False
        ),
        returned=tuple(number for number in now if number not in was),
    )


def carry_over(old: Connection, new: Connection) -> None:
    """Which backups and drills there have been, and where archived files lie, is true whatever
    is restored. Nothing happens where the old database cannot tell."""
    _carry_archive(old, new)
    for table, columns in _RECORDS.items():
        newest = new.execute(f"SELECT max(ended_at) AS at FROM {table}".encode()).fetchone()
        query = (
            f"SELECT {', '.join(columns)} FROM {table}"
            " WHERE ended_at > coalesce(%s, '-infinity'::timestamptz) ORDER BY id"
        )
        try:
            rows = old.execute(query.encode(), (newest and newest["at"],)).fetchall()
        except psycopg.Error:
            continue
        places = ", ".join(["%s"] * len(columns))
        insert = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})"
        for row in rows:
            new.execute(insert.encode(), [row[column] for column in columns])


def _carry_archive(old: Connection, new: Connection) -> None:
    try:
        copies = archive.find(old)
    except psycopg.Error:
        return
    for copy in copies:
        archive.put(new, copy)


def record(connection: Connection, drill: Drill) -> None:
    """Remembers a drill, for status, metrics and alerts."""
    connection.execute(
        "INSERT INTO restore_drills (began_at, ended_at, host, name, seconds, problem)"
        " VALUES (%s, %s, %s, %s, %s, %s)",
        (
            *(drill.began_at, drill.ended_at, drill.host),
            *(drill.name, drill.seconds, drill.problem),
        ),
    )
