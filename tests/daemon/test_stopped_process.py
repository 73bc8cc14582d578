"""A daemon that was stopped (SIGSTOP, a paused machine) for longer than its lease and is then
continued: by then its VOD is somebody else's, so it writes nothing more and spoils nothing."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from psycopg.rows import dict_row

from tests.clients.ytdlp.fetches import wait_until
from tests.daemon.keeper import Run, at_work
from tests.pipeline.publisher import log_in
from tests.sandbox.vods import Vod
from tests.sandbox.world import World
from tests.soak.daemon import Daemon
from vodtender.store.database import Database

_SETTINGS = {
    "HTTP_ADDR": "127.0.0.1:0",
    "LEASE_SECONDS": "2",
    "UPLOAD_CHUNK_SIZE": "256KiB",
    "DOWNLOAD_STALL_TIMEOUT": "10m",
}


class Site:
    """One database, one outside world, and a daemon on each of two machines."""

    def __init__(self, world: World, dsn: str, tmp_path: Path) -> None:
        self.world = world
        self.dsn = dsn
        self.tmp_path = tmp_path
        self.log = tmp_path / "first.log"
        self.daemon: Daemon | None = None

    def log_in(self) -> None:
        database = Database(lambda: self.dsn)
        log_in(database, self.world)
        database.close()

    def environ(self, data: str) -> dict[str, str]:
        return {
            **os.environ,
            **self.world.settings(),
            **_SETTINGS,
            "DB_DSN": self.dsn,
            "DATA_DIR": str(self.tmp_path / data),
        }

    def start_first(self, data: str) -> Daemon:
        self.daemon = Daemon(self.environ(data), self.tmp_path, self.log)
        self.daemon.start()
        return self.daemon

    def second(self, data: str) -> AbstractContextManager[Run]:
        """It is never stopped, so it needs no process of its own."""
        return at_work(self.environ(data))

    def row(self, vod: Vod) -> dict[str, Any]:
        with psycopg.connect(self.dsn, row_factory=dict_row) as connection:
            found = connection.execute(
                "SELECT youtube_url, downloaded_path, directory_id, file_sha256 FROM vods"
                " WHERE twitch_vod_id = %s",
                (vod.id,),
            ).fetchone()
        return found or {}


@pytest.fixture
def site(in_world: World, database_dsn: str, tmp_path: Path) -> Iterator[Site]:
    in_world.add_channel("alice")
    site = Site(in_world, database_dsn, tmp_path)
    site.log_in()
    yield site
    if site.daemon is not None and site.daemon.status is None:
        _signal(site.daemon, signal.SIGCONT)
        site.daemon.kill()


def _signal(daemon: Daemon, number: signal.Signals) -> None:
    """To the daemon and all that it has started, as when a machine is paused."""
    process = psutil.Process(daemon.pid)
    for one in (process, *process.children(recursive=True)):
        one.send_signal(number)


def test_continued_in_a_download_it_leaves_the_vod_to_the_other(site: Site) -> None:
    vod = site.world.add_vod("alice", segment_count=6)
    gate = site.world.faults.hold(path="*/3.ts")
    first = site.start_first("first-data")
    gate.wait_reached(30)
    _signal(first, signal.SIGSTOP)

    with site.second("second-data"):
        wait_until(lambda: site.row(vod)["youtube_url"] is not None, 60)
        done = site.row(vod)
        assert done["downloaded_path"].startswith(str(site.tmp_path / "second-data"))

        gate.release()
        _signal(first, signal.SIGCONT)
        wait_until(lambda: "somebody else has the VOD" in site.log.read_text())
    assert site.row(vod) == done
    assert not list((site.tmp_path / "first-data").glob("*.mp4"))
    assert len(site.world.youtube.videos) == 1


def test_continued_in_an_upload_it_leaves_the_vod_to_the_other(site: Site) -> None:
    vod = site.world.add_vod("alice", segment_count=6)
    gate = site.world.faults.hold(path="/upload/*", method="PUT", skip=1)
    first = site.start_first("data")
    gate.wait_reached(30)
    _signal(first, signal.SIGSTOP)

    with site.second("data"):
        wait_until(lambda: site.row(vod)["youtube_url"] is not None, 60)
        done = site.row(vod)

        gate.release()
        _signal(first, signal.SIGCONT)
        wait_until(lambda: "somebody else has the VOD" in site.log.read_text())
    assert site.row(vod) == done
    (video,) = site.world.youtube.videos
    assert video.sha256 == done["file_sha256"]
    assert len(site.world.youtube.sessions) == 1
    assert not site.world.youtube.complaints
