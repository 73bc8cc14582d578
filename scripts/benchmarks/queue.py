"""What a million VODs cost, against a thousand: a claim of each kind, and the status."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from scripts.benchmarks.figures import Effort, Figure, alternating, ratio, told
from vodtender.clients.postgres.server import EmbeddedServer, acquire
from vodtender.config.settings import Settings
from vodtender.model.vod import Stage
from vodtender.procedures import status
from vodtender.store import queue
from vodtender.store.database import Database, connect
from vodtender.store.migrate import migrate

_FEW = 1_000
_LIMIT = 2.0
_CHANNELS = tuple(f"channel_{number}" for number in range(20))
# As an archive looks: nearly all is done, and of what is left some waits.
_FILL = """
    INSERT INTO vods (twitch_vod_id, channel, title, date, duration_seconds, vanishes_at, stage,
        problem, problem_code, video_id, downloaded_path, directory_id, next_try_at, waiting_for)
    SELECT n::text, 'channel_' || n %% 20, 'Stream ' || n, now() - n * interval '1 minute', 3600,
        now() - n * interval '1 minute' + interval '14 days',
        CASE WHEN kind < 5 THEN 'queued' WHEN kind < 7 THEN 'downloaded'
            WHEN kind < 8 THEN 'verifying' WHEN kind < 10 THEN 'failed'
            WHEN kind < 12 THEN 'skipped' ELSE 'published' END,
        CASE WHEN kind BETWEEN 8 AND 9 THEN 'gone' WHEN kind = 4 THEN 'the network broke' END,
        CASE WHEN kind BETWEEN 8 AND 9 THEN 'vod_missing' WHEN kind = 4 THEN 'network' END,
        CASE WHEN kind = 7 OR kind > 11 THEN 'video' || n END,
        CASE WHEN kind BETWEEN 5 AND 6 THEN '/data/' || n || '.mp4' END,
        CASE WHEN kind BETWEEN 5 AND 6 THEN 'here' END,
        CASE WHEN kind = 4 THEN now() + interval '1 hour' END,
        CASE WHEN kind = 4 THEN 'backoff' END
    FROM (SELECT n, n %% 97 AS kind FROM generate_series(1, %s) AS n) AS numbered
"""


def measure(directory: Path, effort: Effort) -> Iterator[Figure]:
    many = effort.choose(200_000, 1_000_000)
    rounds = effort.choose(100, 300)
    with acquire(directory / "postgres") as server:
        few_dsn, many_dsn = _filled(server, _FEW), _filled(server, many)
        few, lots = Database(lambda: few_dsn), Database(lambda: many_dsn)
        settings = Settings(data_dir=directory, twitch_channels=_CHANNELS, db_dsn=many_dsn)
        tasks = {
            "claim of the next download": lambda database: _claim(database, queue.DOWNLOADS),
            "claim of the next upload": lambda database: _claim(database, queue.UPLOADS),
            "claim of the next check": lambda database: _claim(database, queue.CHECKS),
            "status": lambda database: status.document(database, settings),
        }
        try:
            for name, task in tasks.items():
                title = f"{name}, {many:,} VODs against {_FEW:,}"
                yield _figure(title, rounds, partial(task, few), partial(task, lots))
        finally:
            few.close()
            lots.close()


def _filled(server: EmbeddedServer, count: int) -> str:
    """A database of so many VODs, and its connection string."""
    name = f"bench_{count}"
    with psycopg.connect(server.admin_dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER vod").format(sql.Identifier(name)))
    dsn = make_conninfo(server.dsn, dbname=name)
    migrate(dsn)
    with connect(dsn, autocommit=True) as connection:
        connection.execute(_FILL, (count,))
        connection.execute("VACUUM (ANALYZE)")
    return dsn


def _claim(database: Database, stages: Sequence[Stage]) -> None:
    with database.transaction(keep=False) as connection:
        found = queue.take(
            connection,
            stages,
            worker_id="bench",
            directory_id="here",
            lease_seconds=60,
            channels=_CHANNELS,
        )
        assert found is not None


def _figure(
    name: str, rounds: int, few: Callable[[], object], many: Callable[[], object]
) -> Figure:
    for warm in (few, many) * 5:
        warm()
    found = alternating(rounds, {"many": lambda: _seconds(many), "few": lambda: _seconds(few)})
    return Figure(name, ratio(found, "many", "few"), _LIMIT, "", told(found, digits=4))


def _seconds(task: Callable[[], object]) -> float:
    began = time.perf_counter()
    task()
    return time.perf_counter() - began
