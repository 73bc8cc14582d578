"""A disk that holds one or two VODs: the queue drains all the same."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon.keeper import begun
from tests.pipeline.publisher import log_in
from tests.sandbox.world import World
from vodtender.errors import Exit
from vodtender.store.database import Database

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "data"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=60m", "none", str(place)], check=True)
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_vods_of_25_mb_drain_through_60_mb(
    in_world: World, database: Database, small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        in_world.add_vod("alice", size_bytes=25_000_000, segment_count=12)
    environ = {
        **in_world.settings(),
        "DB_DSN": database.dsn,
        "DATA_DIR": str(small_disk),
        "HTTP_ADDR": "127.0.0.1:0",
        "RETAIN_KEEP_NEWER_THAN_DAYS": "0",
    }
    log_in(database, in_world)
    with caplog.at_level("INFO", "vodtender"):
        assert begun(environ).ended(120) == Exit.DONE
    assert len(in_world.youtube.videos) == 3, caplog.text
    assert any("waits for room" in line for line in caplog.messages)
    tries = caplog.messages.count("download started")
    assert tries <= 3 * 3, "it must not try again and again while there is no room"
    assert not list(small_disk.glob("*.mp4"))
