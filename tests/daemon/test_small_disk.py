"""A disk that holds one or two VODs: the queue drains all the same."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sandbox.world import World
from tests.soak.daemon import command

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "data"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=60m", "none", str(place)], check=True)
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_vods_of_25_mb_drain_through_60_mb(
    world: World, database_dsn: str, small_disk: Path, tmp_path: Path
) -> None:
    for _ in range(3):
        world.add_vod("alice", size_bytes=25_000_000, segment_count=12)
    environ = {
        **os.environ,
        **world.env(),
        **world.settings(),
        "DB_DSN": database_dsn,
        "DATA_DIR": str(small_disk),
        "HTTP_ADDR": "127.0.0.1:0",
        "RETAIN_KEEP_NEWER_THAN_DAYS": "0",
    }
    logins = json.dumps(world.google.credentials())
    imported = command(
        "auth", "import", "youtube", "-", environ=environ, directory=tmp_path, said=logins
    )
    assert imported.returncode == 0, imported.stderr
    done = command("run", "--drain", environ=environ, directory=tmp_path, timeout_seconds=120)
    assert done.returncode == 0, done.stderr
    assert len(world.youtube.videos) == 3, done.stderr
    assert "waits for room" in done.stderr
    tries = done.stderr.count("download started")
    assert tries <= 3 * 3, "it must not try again and again while there is no room"
    assert not list(small_disk.glob("*.mp4"))
