"""What a daemon asks all the time costs the same however large the archive is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from tests.postgres import NewDatabase
from tests.store.rows import DIRECTORY, NOW, WORKER
from vodtender.model.breaker import BreakerPolicy
from vodtender.model.discovery import ListedVod, Looks
from vodtender.model.settlement import Settlement, Signal
from vodtender.model.vod import Stage, Standing, Vod
from vodtender.store import breaker, claims, files, overview, queue, vods, workers
from vodtender.store.claims import Claim
from vodtender.store.database import Connection, connect
from vodtender.store.queue import CHECKS, DOWNLOADS, UPLOADS
from vodtender.store.vods import Entry

SIZE = 20_000
CHANNELS = ["c0", "c1", "c2", "c3", "c4"]

_FILL = """
    INSERT INTO vods (twitch_vod_id, channel, title, date, vanishes_at, created_at, updated_at,
        processed, download_state, stage, problem, problem_code, processing_error, video_id,
        next_try_at, waiting_for, worker_id, lease_expires_at, claim, downloaded_path,
        directory_id, published_at)
    SELECT n::text, 'c' || mod(n, 5), 'VOD ' || n, now() - make_interval(hours => n),
        now() + make_interval(mins => n), now() - make_interval(hours => n),
        now() - make_interval(mins => n),
        stage NOT IN ('queued', 'downloading', 'live'), 'complete', stage, problem,
        CASE stage WHEN 'downloaded' THEN 'quota' END, problem,
        CASE WHEN stage IN ('published', 'verifying') THEN 'v' || n END,
        CASE WHEN waiting THEN now() + interval '5 hours' END,
        CASE WHEN waiting THEN 'quota' END,
        CASE stage WHEN 'downloading' THEN 'worker-9' END,
        CASE stage WHEN 'downloading' THEN now() + interval '1 hour' END, 1,
        CASE WHEN stage IN ('downloaded', 'uploading') THEN '/data/a_' || n || '.mp4' END,
        CASE WHEN stage IN ('downloaded', 'uploading') THEN 'directory-' || mod(n, 10) END, now()
    FROM (
        SELECT n, CASE
                WHEN n > 1500 THEN 'published' WHEN n > 1400 THEN 'failed'
                WHEN n > 1000 THEN 'queued' WHEN n > 500 THEN 'downloaded'
                WHEN n > 450 THEN 'uploading' WHEN n > 400 THEN 'verifying'
                WHEN n > 300 THEN 'skipped' WHEN n > 290 THEN 'live'
                WHEN n > 280 THEN 'downloading' ELSE 'published' END AS stage,
            n > 500 AND n <= 990 AS waiting,
            CASE WHEN n > 500 AND n <= 990 THEN 'the quota is used up' WHEN n > 1400 AND n <= 1500
                THEN 'subscribers only' END AS problem
        FROM generate_series(1, %s) AS n) AS made
"""


@pytest.fixture(scope="module")
def large(new_database: NewDatabase, migrated_template: str) -> Iterator[Connection]:
    """An archive of some age: nearly everything in it is done."""
    with (
        new_database(migrated_template) as dsn,
        connect(dsn, autocommit=True) as connection,
    ):
        with connection.transaction():
            connection.execute("ALTER TABLE vods DISABLE TRIGGER entered")
            connection.execute(_FILL, (SIZE,))
            connection.execute("ALTER TABLE vods ENABLE TRIGGER entered")
        connection.execute(
            "INSERT INTO transfers (vod_id, claim, direction, phase)"
            " SELECT id, claim, 'download', 'segments' FROM vods WHERE stage = 'downloading'"
        )
        connection.execute("VACUUM ANALYZE")
        yield connection


def listed(number: int) -> Entry:
    vod = ListedVod(str(number), "c0", "archive", "new title", "url", started_at=NOW)
    return Entry(vod, False, NOW, Looks(NOW, 60, None))


def take(connection: Connection, stages: tuple[Stage, ...]) -> Vod | None:
    return queue.take(
        connection,
        stages,
        worker_id=WORKER,
        directory_id=DIRECTORY,
        lease_seconds=60,
        channels=CHANNELS,
        avoiding=[1, 2, 3],
    )


def settle(connection: Connection) -> None:
    vod = take(connection, DOWNLOADS)
    assert vod is not None
    claim = Claim(vod.id, WORKER, vod.claim)
    claims.renew(connection, claim, 60, None)
    claims.settle(connection, claim, Stage.DOWNLOADING, Settlement(Standing(Stage.QUEUED)))


def learn(connection: Connection) -> None:
    policy = BreakerPolicy(5, timedelta(minutes=5))
    breaker.learn(connection, "c0", Signal.FAILURE, direction="download", vod_id=1, policy=policy)


QUERIES: dict[str, tuple[Callable[[Connection], object], int]] = {
    "wake": (queue.wake, 20),
    "take a download": (lambda c: take(c, DOWNLOADS), 200),
    "take an upload": (lambda c: take(c, UPLOADS), 200),
    "take a check": (lambda c: take(c, CHECKS), 200),
    "settle": (settle, 300),
    "whether a download is left": (
        lambda c: queue.is_any_left(c, DOWNLOADS, "c0", directory_id=DIRECTORY),
        20,
    ),
    "whether an upload is left, of a channel that has none": (
        lambda c: queue.is_any_left(c, UPLOADS, "nobody", directory_id=DIRECTORY),
        600,
    ),
    "outlook": (
        lambda c: queue.outlook(
            c, worker_id=WORKER, directory_id=DIRECTORY, channels=CHANNELS, too_large=[1]
        ),
        1200,
    ),
    "release all": (lambda c: claims.release_all(c, WORKER), 20),
    "in hand": (workers.in_hand, 20),
    "counts": (overview.counts, 0),
    "transfers": (overview.transfers, 20),
    "errors": (lambda c: overview.errors(c, 10), 1000),
    "vanishing": (lambda c: overview.vanishing(c, 86_400, 10), 1500),
    "files of a directory": (lambda c: files.in_directory(c, "directory-3"), 100),
    "one vod": (lambda c: vods.get(c, "7"), 1),
    "what earlier looks have shown": (
        lambda c: vods.looks(c, [str(n) for n in range(100, 200)]),
        100,
    ),
    "enter a page": (lambda c: vods.enter(c, [listed(n) for n in range(100, 200)]), 600),
    "the newest": (lambda c: vods.find(c, vods.Filter(), limit=50), 100),
    "what failed": (lambda c: vods.find(c, vods.Filter(states=("failed",)), limit=50), 300),
    "what the breaker learns": (learn, 5),
    "who failed": (breaker.failed_vods, 5),
}
"""What is asked, and how many rows of `vods` may be looked at for the answer."""


def looked_at(connection: Connection) -> tuple[int, int]:
    """How often the whole table was read, and how many rows were found through an index."""
    row = connection.execute(
        """
        SELECT pg_stat_get_xact_numscans('vods'::regclass) AS scans,
            pg_stat_get_xact_tuples_fetched('vods'::regclass) AS fetched
        """
    ).fetchone()
    assert row is not None
    return row["scans"], row["fetched"]


@pytest.mark.parametrize("name", list(QUERIES))
def test_a_question_of_every_few_seconds_reads_few_rows(name: str, large: Connection) -> None:
    ask, limit = QUERIES[name]
    with large.transaction(force_rollback=True):
        scans, fetched = looked_at(large)
        ask(large)
        scans_after, fetched_after = looked_at(large)
    assert scans_after == scans, "it reads the whole table"
    assert fetched_after - fetched <= limit


def test_the_measure_sees_a_whole_table_read(large: Connection) -> None:
    with large.transaction(force_rollback=True):
        scans, _ = looked_at(large)
        large.execute("SELECT count(*) FROM vods WHERE title LIKE '%9%'")
        assert looked_at(large)[0] == scans + 1


def test_the_rows_that_count_grow_with_what_is_written_and_not_with_what_is_read(
    large: Connection,
) -> None:
    """While no daemon runs nobody adds them up: only operators' statements leave any."""
    with large.transaction(force_rollback=True):

        def left() -> int:
            return large.execute("SELECT FROM vod_counts").rowcount

        overview.compact_counts(large)
        before = left()
        large.execute("UPDATE vods SET processing_error = NULL WHERE processing_error IS NOT NULL")
        assert left() - before <= 2 * 2 * len(CHANNELS)
        large.execute("UPDATE vods SET priority = 1 WHERE stage = 'queued'")
        assert left() - before <= 2 * 2 * len(CHANNELS)
        overview.compact_counts(large)
        assert left() <= before + 2 * len(CHANNELS)
