"""Whether the daemon may begin something new, and who is woken when."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.archive import Archive
from tests.rows import add_worker
from vodtender.config.settings import Settings
from vodtender.daemon.lanes import Bell, Gate
from vodtender.errors import DatabaseUnavailable
from vodtender.pipeline import download, upload, verify
from vodtender.pipeline.accounts import Accounts
from vodtender.pipeline.directory import open_directory
from vodtender.pipeline.room import DownloadRoom
from vodtender.pipeline.workplace import Workplace
from vodtender.store import workers

LANES = (download.LANE, upload.LANE, verify.LANE)


@pytest.fixture
def gate(archive: Archive, tmp_path: Path) -> Gate:
    """Of worker `w`, with nothing that would keep it from working."""
    add_worker(archive.database, "w")
    settings = Settings(yt_enabled=True)
    directory = open_directory(tmp_path / "data")
    return Gate(
        Workplace(
            settings=settings,
            database=archive.database,
            directory=directory,
            worker_id="w",
            accounts=Accounts(settings, archive.database),
            room=DownloadRoom(directory, 0),
        )
    )


def open_lanes(gate: Gate) -> list[str]:
    return [lane.name for lane in LANES if gate.is_open(lane)]


def test_with_room_and_an_account_all_lanes_are_open(gate: Gate) -> None:
    assert open_lanes(gate) == ["download", "upload", "verify"]


def test_a_worker_that_is_told_to_drain_closes_all_lanes_at_its_next_look(gate: Gate) -> None:
    with gate.place.database.transaction() as connection:
        workers.set_draining(connection, "w")
    assert open_lanes(gate) == []
    assert gate.draining.is_set()


def test_without_its_directory_nothing_is_begun_until_it_is_back(
    gate: Gate, tmp_path: Path
) -> None:
    """A disk that was unmounted: its files have not been deleted, and none is written beside."""
    root = gate.place.directory.root
    root.rename(tmp_path / "unmounted")
    assert open_lanes(gate) == []
    root.mkdir()  # the empty mount point
    assert open_lanes(gate) == []
    root.rmdir()
    (tmp_path / "unmounted").rename(root)
    assert open_lanes(gate) == ["download", "upload", "verify"]


def test_a_database_that_is_being_left_is_not_called_away(gate: Gate) -> None:
    """A thread that was late meets the closed pool."""
    gate.place.stopping.set()
    gate.database_failed(DatabaseUnavailable("the pool is already closed"))
    assert gate.database.away_since is None


def test_each_waiter_hears_each_ring_also_one_before_it_waits() -> None:
    bell = Bell()
    heard = bell.rings
    bell.ring()
    bell.wait(heard, 60)  # returns at once, since there was a ring after those heard

    waiters = [threading.Thread(target=bell.wait, args=(bell.rings, 60)) for _ in range(5)]
    for waiter in waiters:
        waiter.start()
    bell.ring()
    for waiter in waiters:
        waiter.join(30)
    assert not any(waiter.is_alive() for waiter in waiters)
