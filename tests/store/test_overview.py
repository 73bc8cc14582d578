"""What `status` counts is what there is, however it came about."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from tests.store import rows
from tests.store.statement import Statement
from vodtender.store import overview
from vodtender.store.database import Connection, Database, clock


def truth(connection: Connection) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for row in connection.execute("SELECT channel, state, count(*) AS n FROM vods GROUP BY 1, 2"):
        found.setdefault(row["channel"], {})[row["state"]] = row["n"]
    return found


def all_situations(connection: Connection) -> None:
    for number, name in enumerate(rows.SITUATIONS, 1):
        rows.situation(connection, name, number)


# --- counts -----------------------------------------------------------------------------


def test_every_situation_is_counted_under_its_state(connection: Connection) -> None:
    assert overview.counts(connection) == {}
    all_situations(connection)
    (counts,) = overview.counts(connection).values()
    assert counts == {
        "live": 1,
        "queued": 1,
        "retrying": 1,
        "downloading": 1,
        "downloaded": 1,
        "held": 1,
        "kept": 1,
        "uploading": 1,
        "finalizing": 1,
        "verifying": 1,
        "published": 2,
        "failed": 3,
        "skipped": 2,
    }
    assert overview.counts(connection) == truth(connection)


def test_counts_follow_edits_deletions_and_renamed_channels(connection: Connection) -> None:
    all_situations(connection)
    for statement in (
        "UPDATE vods SET processed = false WHERE stage = 'published'",
        "UPDATE vods SET channel = 'bob' WHERE stage = 'failed'",
        "UPDATE vods SET skip_upload = NOT skip_upload WHERE stage = 'downloaded'",
        "UPDATE vods SET lease_expires_at = now() + interval '1 h' WHERE worker_id IS NOT NULL",
        "DELETE FROM vods WHERE stage = 'skipped'",
        "INSERT INTO vods (twitch_vod_id) SELECT n::text FROM generate_series(100, 110) AS n",
    ):
        connection.execute(statement.encode())
        assert overview.counts(connection) == truth(connection), statement


def test_counts_are_exact_while_many_write_and_some_add_up(database: Database) -> None:
    edits = (
        "UPDATE vods SET processed = false WHERE mod(id, 7) = %s",
        "UPDATE vods SET processing_error = 'x', processed = true WHERE mod(id, 7) = %s",
        "UPDATE vods SET channel = 'c' || mod(id, 3) WHERE mod(id, 7) = %s",
        "UPDATE vods SET download_state = 'skipped' WHERE mod(id, 7) = %s",
        "DELETE FROM vods WHERE mod(id, 7) = %s AND random() < 0.1",
    )
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO vods (twitch_vod_id, channel)"
            " SELECT n::text, 'c' || mod(n, 3) FROM generate_series(1, 300) AS n"
        )

    def write(worker: int) -> None:
        chance = random.Random(worker)
        for _ in range(12):
            with database.transaction(keep=chance.random() < 0.8) as connection:
                connection.execute(chance.choice(edits).encode(), (worker,))
            if worker % 3 == 0:
                with database.transaction() as connection:
                    overview.compact_counts(connection)

    with ThreadPoolExecutor(7) as pool:
        list(pool.map(write, range(7)))
    with database.transaction() as connection:
        assert overview.counts(connection) == truth(connection)
        overview.compact_counts(connection)
        assert overview.counts(connection) == truth(connection)


def test_adding_up_leaves_one_row_for_each_count_and_none_for_nothing(
    connection: Connection,
) -> None:
    all_situations(connection)
    for _ in range(3):
        connection.execute("UPDATE vods SET download_state = 'pending'")
        connection.execute("UPDATE vods SET download_state = 'skipped'")
    overview.compact_counts(connection)
    left = connection.execute("SELECT channel, state, n FROM vod_counts").fetchall()
    assert left == [{"channel": "alice", "state": "skipped", "n": len(rows.SITUATIONS)}]


def test_a_count_is_never_half_added_up(
    connection: Connection, another: Callable[[], Connection]
) -> None:
    all_situations(connection)
    adding = another()
    with adding.transaction():
        overview.compact_counts(adding)
        assert overview.counts(connection) == truth(connection)
        overview.compact_counts(connection)
    assert overview.counts(connection) == truth(connection)


def test_an_emptied_table_counts_nothing_even_if_somebody_was_just_adding_up(
    connection: Connection, another: Callable[[], Connection]
) -> None:
    all_situations(connection)
    adding = another()
    with adding.transaction():
        overview.compact_counts(adding)
        emptying = Statement(another(), "TRUNCATE vods CASCADE")
        emptying.wait_until_it_waits(connection)
    emptying.join()
    assert overview.counts(connection) == {}
    rows.insert(connection)
    assert overview.counts(connection) == {"alice": {"queued": 1}}


def test_all_tables_can_be_emptied_together(connection: Connection) -> None:
    all_situations(connection)
    connection.execute("TRUNCATE vods, vod_counts, vod_history, uploads CASCADE")
    assert overview.counts(connection) == {}


# --- lists ------------------------------------------------------------------------------


def test_errors_are_those_that_a_person_may_mend_the_latest_first(connection: Connection) -> None:
    all_situations(connection)
    connection.execute("UPDATE vods SET problem = 'now' WHERE twitch_vod_id = '3'")
    found = overview.errors(connection, 10)
    assert [line.state for line in found] == [
        "retrying",
        "failed",
        "failed",
        "failed",
        "finalizing",
        "held",
    ]
    assert (found[0].vod_id, found[0].error) == ("3", "now")
    assert len(overview.errors(connection, 2)) == 2


def test_what_vanishes_soon_and_is_not_on_disk_is_told_the_soonest_first(
    connection: Connection,
) -> None:
    now = clock(connection)
    hour = timedelta(hours=1)
    for number, (name, vanishes_at) in enumerate(
        (
            ("queued", now + 5 * hour),
            ("live", now + 2 * hour),
            ("downloading", now + 3 * hour),
            ("queued", now + 30 * hour),
            ("queued", now - hour),
            ("queued", None),
            ("downloaded", now + hour),
        ),
        1,
    ):
        rows.situation(connection, name, number)
        connection.execute(
            "UPDATE vods SET vanishes_at = %s WHERE twitch_vod_id = %s", (vanishes_at, str(number))
        )
    soonest, count = overview.vanishing(connection, 86_400, 2)
    assert ([line.vod_id for line in soonest], count) == (["2", "3"], 3)
