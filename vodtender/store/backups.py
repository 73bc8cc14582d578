"""What backups need of the database, and what is remembered of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from psycopg import sql

from vodtender.store.database import Connection


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A moment of the database, exported for others to look at; it is there as long as its
    transaction. `raw_bytes` is about what a dump without compression takes."""

    id: str
    database: str
    schema_version: int
    server_version: int
    taken_at: datetime
    raw_bytes: int


@dataclass(frozen=True, slots=True)
class Run:
    """One try to make a backup. `name` is there when there is a good one on that host, `s3_url`
    when its copy is proven; `problem` is None when it is all that was wanted."""

    began_at: datetime
    ended_at: datetime
    host: str
    name: str | None
    size_bytes: int | None
    s3_url: str | None
    problem: str | None


@dataclass(frozen=True, slots=True)
class Standing:
    """How it stands with backups: the last good ones, the last try, the last drill."""

    local_at: datetime | None
    local_name: str | None
    s3_at: datetime | None
    s3_name: str | None
    last_at: datetime | None
    last_problem: str | None
    drill_at: datetime | None
    drill_seconds: float | None
    drill_problem: str | None


@dataclass(frozen=True, slots=True)
class LastRun:
    """The last try. `failures` counts the tries since the last one that was all that was wanted;
    0: it was that itself."""

    run: Run
    failures: int


def is_pooled(connection: Connection) -> bool:
    """Whether a pooler stands between: then the process that serves us is not the one that
    libpq was told of when it connected."""
    row = connection.execute("SELECT pg_backend_pid() AS pid").fetchone()
    return row is not None and row["pid"] != connection.info.backend_pid


def export_snapshot(connection: Connection) -> Snapshot:
    """For a connection that has done nothing yet in its transaction, which must stay open."""
    connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    connection.execute(
        "SELECT set_config('statement_timeout', '0', true),"
        " set_config('idle_in_transaction_session_timeout', '0', true),"
        " set_config('lock_timeout', '60s', true)"
    )
    row = connection.execute(
        "SELECT pg_export_snapshot() AS id, current_database() AS database,"
        " statement_timestamp() AS taken_at, (SELECT (coalesce(sum(relpages), 0)"
        "  * current_setting('block_size')::bigint)::bigint"
        "  FROM pg_class WHERE relkind = 'r' AND relpersistence = 'p') AS raw_bytes"
    ).fetchone()
    version = connection.execute(
        "SELECT coalesce(max(version), 0) AS version FROM schema_migrations"
    ).fetchone()
    assert row is not None
    assert version is not None
    return Snapshot(
        id=row["id"],
        database=row["database"],
        schema_version=version["version"],
        server_version=connection.info.server_version,
        taken_at=row["taken_at"],
        raw_bytes=row["raw_bytes"],
    )


@dataclass(frozen=True, slots=True)
class Table:
    """A table that a dump holds."""

    schema: str
    relation: str

    @property
    def name(self) -> str:
        """With its schema where that is not `public`."""
        return self.relation if self.schema == "public" else f"{self.schema}.{self.relation}"

    @property
    def pattern(self) -> str:
        """What pg_dump's --table takes."""
        parts = (part.replace('"', '""') for part in (self.schema, self.relation))
        return ".".join(f'"{part}"' for part in parts)


def dumped_tables(connection: Connection) -> list[Table]:
    """All that a dump holds."""
    rows = connection.execute(
        "SELECT nspname, relname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace"
        " WHERE relkind = 'r' AND relpersistence <> 't' AND nspname !~ '^pg_'"
        " AND nspname <> 'information_schema' ORDER BY nspname, relname"
    ).fetchall()
    return [Table(row["nspname"], row["relname"]) for row in rows]


def row_counts(connection: Connection) -> dict[str, int]:
    """Exact, for each table that a dump holds, by its name."""
    counts = {}
    for table in dumped_tables(connection):
        at = sql.Identifier(table.schema, table.relation)
        row = connection.execute(
            sql.SQL("SELECT count(*) AS rows FROM ONLY {}").format(at)
        ).fetchone()
        assert row is not None
        counts[table.name] = row["rows"]
    return counts


def record(connection: Connection, run: Run) -> None:
    """Remembers a try."""
    connection.execute(
        "INSERT INTO backup_runs (began_at, ended_at, host, name, size_bytes, s3_url, problem)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s)",
        (
            *(run.began_at, run.ended_at, run.host, run.name),
            *(run.size_bytes, run.s3_url, run.problem),
        ),
    )


def last_run(connection: Connection) -> LastRun | None:
    """None: nobody has ever tried."""
    row = connection.execute(
        """
        SELECT began_at, ended_at, host, name, size_bytes, s3_url, problem,
            (SELECT count(*) FROM backup_runs WHERE ended_at > coalesce((SELECT max(ended_at)
                FROM backup_runs WHERE problem IS NULL), '-infinity')) AS failures
        FROM backup_runs ORDER BY ended_at DESC LIMIT 1
        """
    ).fetchone()
    if row is None:
        return None
    failures = row.pop("failures")
    return LastRun(Run(**row), failures)


def standing(connection: Connection) -> Standing:
    """See `Standing`. Ages of backups count from the moment that they show: `began_at`."""
    row = connection.execute(
        """
        SELECT local.began_at AS local_at, local.name AS local_name,
            s3.began_at AS s3_at, s3.name AS s3_name,
            last.ended_at AS last_at, last.problem AS last_problem,
            drill.ended_at AS drill_at, drill.seconds AS drill_seconds,
            drill.problem AS drill_problem
        FROM (SELECT) AS nothing
        LEFT JOIN LATERAL (SELECT * FROM backup_runs WHERE name IS NOT NULL
            ORDER BY ended_at DESC LIMIT 1) AS local ON true
        LEFT JOIN LATERAL (SELECT * FROM backup_runs WHERE s3_url IS NOT NULL
            ORDER BY ended_at DESC LIMIT 1) AS s3 ON true
        LEFT JOIN LATERAL (SELECT * FROM backup_runs
            ORDER BY ended_at DESC LIMIT 1) AS last ON true
        LEFT JOIN LATERAL (SELECT * FROM restore_drills
            ORDER BY ended_at DESC LIMIT 1) AS drill ON true
        """
    ).fetchone()
    assert row is not None
    return Standing(**row)
