"""The write-ahead log of a server that archives it. For a connection of a superuser, in
autocommit mode."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from vodtender.store.database import Connection


@dataclass(frozen=True, slots=True)
class Archiving:
    """How it goes. While the last try has failed, `failed_at` says when, `failing` with what."""

    last_at: datetime | None
    failed_at: datetime | None
    failing: str | None


def is_on(connection: Connection) -> bool:
    """Whether the server archives its log as we have told it; not by an operator's own command."""
    row = connection.execute(
        "SELECT current_setting('archive_mode') <> 'off'"
        " AND coalesce(current_setting('basic_archive.archive_directory', true), '') <> '' AS yes"
    ).fetchone()
    return row is not None and bool(row["yes"])


def segment_bytes(connection: Connection) -> int:
    """The size of its segments."""
    row = connection.execute(
        "SELECT pg_size_bytes(current_setting('wal_segment_size')) AS size"
    ).fetchone()
    assert row is not None
    return int(row["size"])


def cluster_bytes(connection: Connection) -> int:
    """About what a copy of all its databases takes."""
    row = connection.execute("SELECT sum(pg_database_size(oid))::bigint AS size FROM pg_database")
    found = row.fetchone()
    assert found is not None
    return int(found["size"])


def now(connection: Connection) -> datetime:
    """By the server's clock, which is in the log."""
    row = connection.execute("SELECT clock_timestamp() AS now").fetchone()
    assert row is not None
    found: datetime = row["now"]
    return found


def close_segment(connection: Connection) -> str:
    """Ends the segment that is being written, so that it can be archived; its name. It ends with
    a commit of now: only by what was committed later does a recovery know that it has come to a
    moment."""
    connection.execute("SELECT pg_current_xact_id()")
    row = connection.execute("SELECT pg_walfile_name(pg_switch_wal()) AS name").fetchone()
    assert row is not None
    return str(row["name"])


def is_archived(connection: Connection, segment: str) -> bool:
    """Whether a segment that is complete waits no more."""
    row = connection.execute(
        "SELECT count(*) AS waiting FROM pg_ls_archive_statusdir() WHERE name = %s",
        (f"{segment}.ready",),
    ).fetchone()
    return row is not None and row["waiting"] == 0


def standing(connection: Connection) -> Archiving:
    """Any role may ask."""
    row = connection.execute(
        "SELECT last_archived_time AS last_at, last_failed_time AS failed_at,"
        " last_failed_wal AS failing,"
        " last_failed_time > coalesce(last_archived_time, '-infinity') AS is_failing"
        " FROM pg_stat_archiver"
    ).fetchone()
    assert row is not None
    if not row["is_failing"]:
        return Archiving(row["last_at"], None, None)
    return Archiving(row["last_at"], row["failed_at"], row["failing"])


@dataclass(frozen=True, slots=True)
class Progress:
    """Of a recovery: whether it is still under way, and to which moment, and which place in the
    log, it has come; None: to none yet."""

    recovering: bool
    at: datetime | None
    position: str | None


def progress(connection: Connection) -> Progress:
    """How far it is."""
    row = connection.execute(
        "SELECT pg_is_in_recovery() AS recovering, pg_last_xact_replay_timestamp() AS at,"
        " pg_last_wal_replay_lsn()::text AS position"
    ).fetchone()
    assert row is not None
    return Progress(bool(row["recovering"]), row["at"], row["position"])


def timeline(connection: Connection) -> int:
    """The one that the server writes on."""
    row = connection.execute(
        "SELECT ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int AS number"
    ).fetchone()
    assert row is not None
    return int(row["number"])
