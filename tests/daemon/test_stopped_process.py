"""A daemon that was stopped (SIGSTOP, a paused machine) for longer than its lease and is then
continued: by then its VOD is somebody else's, so it writes nothing more and spoils nothing."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from psycopg.rows import dict_row

from tests.clients.ytdlp.fetches import wait_until
from tests.sandbox.vods import Vod
from tests.sandbox.world import World
from tests.soak.daemon import Daemon, command

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
        self.environ = {**os.environ, **world.env(), **world.settings(), **_SETTINGS, "DB_DSN": dsn}
        self.daemons: list[Daemon] = []

    def log_in(self) -> None:
        done = command(
            *("auth", "import", "youtube", "-"),
            environ=self.environ,
            directory=self.tmp_path,
            said=json.dumps(self.world.google.credentials()),
        )
        assert done.returncode == 0, done.stderr

    def start(self, name: str, data: str) -> Daemon:
        environ = {**self.environ, "DATA_DIR": str(self.tmp_path / data)}
        daemon = Daemon(environ, self.tmp_path, self.tmp_path / f"{name}.log")
        daemon.start()
        self.daemons.append(daemon)
        return daemon

    def row(self, vod: Vod) -> dict[str, Any]:
        with psycopg.connect(self.dsn, row_factory=dict_row) as connection:
            found = connection.execute(
                "SELECT youtube_url, downloaded_path, directory_id, file_sha256 FROM vods"
                " WHERE twitch_vod_id = %s",
                (vod.id,),
            ).fetchone()
        return found or {}

    def log(self, name: str) -> str:
        return (self.tmp_path / f"{name}.log").read_text()


@pytest.fixture
def site(world: World, database_dsn: str, tmp_path: Path) -> Iterator[Site]:
    world.add_channel("alice")
    site = Site(world, database_dsn, tmp_path)
    site.log_in()
    yield site
    for daemon in site.daemons:
        _signal(daemon, signal.SIGCONT)
        daemon.kill()


def _signal(daemon: Daemon, number: signal.Signals) -> None:
    """To the daemon and all that it has started, as when a machine is paused."""
    process = psutil.Process(daemon.pid)
    for one in (process, *process.children(recursive=True)):
        one.send_signal(number)


def test_continued_in_a_download_it_leaves_the_vod_to_the_other(site: Site) -> None:
    vod = site.world.add_vod("alice", segment_count=6)
    gate = site.world.faults.hold(path="*/3.ts")
    first = site.start("first", "first-data")
    gate.wait_reached(30)
    _signal(first, signal.SIGSTOP)

    site.start("second", "second-data")
    wait_until(lambda: site.row(vod)["youtube_url"] is not None, 60)
    done = site.row(vod)
    assert done["downloaded_path"].startswith(str(site.tmp_path / "second-data"))

    gate.release()
    _signal(first, signal.SIGCONT)
    wait_until(lambda: "somebody else has the VOD" in site.log("first"))
    assert site.row(vod) == done
    assert not list((site.tmp_path / "first-data").glob("*.mp4"))
    assert len(site.world.youtube.videos) == 1


def test_continued_in_an_upload_it_leaves_the_vod_to_the_other(site: Site) -> None:
    vod = site.world.add_vod("alice", segment_count=6)
    gate = site.world.faults.hold(path="/upload/*", method="PUT", skip=1)
    first = site.start("first", "data")
    gate.wait_reached(30)
    _signal(first, signal.SIGSTOP)

    site.start("second", "data")
    wait_until(lambda: site.row(vod)["youtube_url"] is not None, 60)
    done = site.row(vod)

    gate.release()
    _signal(first, signal.SIGCONT)
    wait_until(lambda: "somebody else has the VOD" in site.log("first"))
    assert site.row(vod) == done
    (video,) = site.world.youtube.videos
    assert video.sha256 == done["file_sha256"]
    assert len(site.world.youtube.sessions) == 1
    assert not site.world.youtube.complaints
