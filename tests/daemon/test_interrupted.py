"""The daemon is told to stop, killed, or breaks: what is kept, what is given back, what is left."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from tests.clients.ytdlp.fetches import alive, children, segment_requests, wait_until
from tests.daemon.keeper import Keeper, begun
from tests.sandbox.faults import Gate
from tests.sandbox.vods import Vod
from tests.soak.daemon import Daemon
from vodtender.daemon.service import RunMode, ServiceDiedError

SEGMENTS = 12
CONNECTIONS = 3
HELD = 8


class Machine:
    """`vodtender run` as a process, in the midst of a download."""

    def __init__(self, keeper: Keeper, tmp_path: Path) -> None:
        self.keeper = keeper
        self.log = tmp_path / "daemon.log"
        self._directory = tmp_path
        self.daemon: Daemon | None = None
        self.seen: list[psutil.Process] = []

    def start(self, **settings: str) -> Daemon:
        environ = {**os.environ, **self.keeper.environ(**settings)}
        self.daemon = Daemon(environ, self._directory, self.log)
        self.daemon.start()
        return self.daemon

    def fetch_half(self, **settings: str) -> tuple[Daemon, Vod, Gate]:
        """A daemon that waits for one segment, all before it being on the disk."""
        vod = self.keeper.world.add_vod("alice", segment_count=SEGMENTS)
        gate = self.keeper.world.faults.hold(path=f"*/{HELD}.ts")
        daemon = self.start(DOWNLOAD_SEGMENT_CONCURRENCY=str(CONNECTIONS), **settings)
        gate.wait_reached(30)
        wait_until(lambda: self.stored(vod) >= HELD)
        wait_until(self.sees_ffmpeg_too)
        return daemon, vod, gate

    def sees_ffmpeg_too(self) -> bool:
        """Whether all of a download runs: yt-dlp's process and its ffmpeg."""
        assert self.daemon is not None
        self.seen = psutil.Process(self.daemon.pid).children(recursive=True)
        return len(self.seen) >= 2

    def stored(self, vod: Vod) -> int:
        return len(list((self.keeper.data / "in-progress" / vod.id).glob("*.seg")))

    def signal(self, number: signal.Signals) -> None:
        assert self.daemon is not None
        os.kill(self.daemon.pid, number)

    def assert_nothing_runs(self) -> None:
        wait_until(lambda: not [one for one in self.seen if alive(one.pid)], 10)

    def assert_goes_on(self, vod: Vod) -> None:
        """A new daemon brings the rest, and nothing twice but what was on its way."""
        self.keeper.world.faults.clear()
        self.keeper.run_until_done()
        assert self.keeper.stages() == {vod.id: "downloaded"}
        asked = Counter(segment_requests(self.keeper.world, vod))
        assert set(asked) == {f"{n}.ts" for n in range(SEGMENTS)}
        assert sum(asked.values()) <= SEGMENTS + CONNECTIONS
        assert all(asked[f"{n}.ts"] == 1 for n in range(HELD - CONNECTIONS))


@pytest.fixture
def machine(keeper: Keeper, tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(keeper, tmp_path)
    yield machine
    if machine.daemon is not None and machine.daemon.status is None:
        machine.daemon.kill()


def test_a_signal_ends_the_work_in_hand_at_a_safe_point_and_gives_it_back(machine: Machine) -> None:
    daemon, vod, _ = machine.fetch_half()
    began = time.monotonic()
    machine.signal(signal.SIGTERM)
    assert daemon.wait(20) == 0
    assert time.monotonic() - began < 10
    machine.assert_nothing_runs()
    row = machine.keeper.row(vod)
    assert (row["stage"], row["worker_id"], row["processing_error"]) == ("queued", None, None)
    assert not machine.keeper.sql("SELECT FROM workers")
    assert not machine.keeper.sql("SELECT FROM leases WHERE expires_at > now()")
    assert "Traceback" not in machine.log.read_text()
    machine.assert_goes_on(vod)


def test_killed_it_leaves_nothing_running_and_the_next_goes_on_at_once(machine: Machine) -> None:
    daemon, vod, _ = machine.fetch_half(LEASE_SECONDS="3600")
    daemon.kill()
    machine.assert_nothing_runs()
    assert machine.keeper.row(vod)["worker_id"], "nobody has given it back"
    machine.assert_goes_on(vod)


def test_a_second_signal_ends_it_now(machine: Machine) -> None:
    daemon, vod, _ = machine.fetch_half()
    with psycopg.connect(machine.keeper.dsn) as connection:
        # What it has in hand cannot be stored now.
        connection.execute("SELECT FROM vods FOR UPDATE")
        machine.signal(signal.SIGTERM)
        wait_until(lambda: "stopping: work in hand" in machine.log.read_text())
        assert daemon.status is None
        machine.signal(signal.SIGTERM)
        assert daemon.wait(2) == 130
    machine.assert_nothing_runs()
    machine.assert_goes_on(vod)


def test_work_that_reaches_no_safe_point_in_time_is_left_behind(machine: Machine) -> None:
    daemon, vod, _ = machine.fetch_half(SHUTDOWN_TIMEOUT="500ms")
    with psycopg.connect(machine.keeper.dsn) as connection:
        connection.execute("SELECT FROM vods FOR UPDATE")
        machine.signal(signal.SIGTERM)
        wait_until(lambda: "not at a safe point in time" in machine.log.read_text())
    assert daemon.wait(20) == 0
    machine.assert_nothing_runs()
    machine.assert_goes_on(vod)


def test_a_service_that_does_not_answer_holds_up_no_stop(machine: Machine) -> None:
    machine.keeper.world.add_channel("alice")
    gate = machine.keeper.world.faults.hold(host="*.twitch.tv")
    daemon = machine.start()
    gate.wait_reached(30)
    machine.signal(signal.SIGTERM)
    assert daemon.wait(10) == 0


def test_a_thread_that_dies_stops_the_daemon(keeper: Keeper) -> None:
    """As any mistake of ours in a query would have it die."""
    keeper.world.add_vod("alice")
    gate = keeper.world.faults.hold(path="*/3.ts")
    daemon = begun(keeper.environ(MAX_CONCURRENT_DOWNLOADS="2"), RunMode())
    gate.wait_reached(30)
    assert children()
    keeper.sql("ALTER TABLE breakers RENAME TO elsewhere")
    keeper.sql("NOTIFY vodtender")
    died = daemon.ended(30)
    assert isinstance(died, ServiceDiedError)
    assert died.exit == 1
    assert "has died" in died.message
    assert "everything was stopped" in died.message
    assert not children()
