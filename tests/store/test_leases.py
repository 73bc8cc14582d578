"""Jobs that one worker at a time does."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from vodtender.store import leases
from vodtender.store.database import Connection, Database


def let_expire(connection: Connection) -> None:
    connection.execute("UPDATE leases SET expires_at = now() - interval '1 second'")


def test_of_many_workers_one_gets_it(database: Database) -> None:
    def work(worker: int) -> int | None:
        with database.transaction() as connection:
            return leases.take(connection, "job", f"worker-{worker}", 60)

    with ThreadPoolExecutor(8) as pool:
        claims = list(pool.map(work, range(8)))
    assert [claim for claim in claims if claim is not None] == [1]


def test_each_job_is_its_own(connection: Connection) -> None:
    assert leases.take(connection, "one", "worker-1", 60) == 1
    assert leases.take(connection, "two", "worker-2", 60) == 1


def test_it_is_free_when_it_has_run_out_and_whoever_had_it_is_shut_out(
    connection: Connection,
) -> None:
    first = leases.take(connection, "job", "worker-1", 60)
    assert first is not None
    assert leases.take(connection, "job", "worker-2", 60) is None
    let_expire(connection)
    second = leases.take(connection, "job", "worker-2", 60)
    assert second == first + 1
    assert not leases.renew(connection, "job", "worker-1", first, 60)
    leases.release(connection, "job", "worker-1", first)
    assert leases.renew(connection, "job", "worker-2", second, 60)


def test_one_that_has_run_out_unnoticed_can_be_renewed(connection: Connection) -> None:
    claim = leases.take(connection, "job", "worker-1", 60)
    assert claim is not None
    let_expire(connection)
    assert leases.renew(connection, "job", "worker-1", claim, 60)
    assert leases.take(connection, "job", "worker-2", 60) is None


def test_a_worker_that_takes_it_again_shuts_out_its_own_earlier_self(
    connection: Connection,
) -> None:
    first = leases.take(connection, "job", "worker-1", 60)
    second = leases.take(connection, "job", "worker-1", 60)
    assert first is not None
    assert second == first + 1
    assert not leases.renew(connection, "job", "worker-1", first, 60)


def test_what_is_given_back_is_free_and_its_numbers_go_on(connection: Connection) -> None:
    claim = leases.take(connection, "job", "worker-1", 60)
    assert claim is not None
    leases.release(connection, "job", "worker-1", claim)
    assert leases.take(connection, "job", "worker-2", 60) == claim + 1
    assert not leases.renew(connection, "job", "worker-1", claim, 60)


def test_a_worker_that_leaves_gives_back_all_that_it_has(connection: Connection) -> None:
    leases.take(connection, "one", "worker-1", 60)
    leases.take(connection, "two", "worker-1", 60)
    leases.take(connection, "three", "worker-2", 60)
    leases.release_all(connection, "worker-1")
    assert leases.take(connection, "one", "worker-2", 60) == 2
    assert leases.take(connection, "two", "worker-2", 60) == 2
    assert leases.take(connection, "three", "worker-1", 60) is None
