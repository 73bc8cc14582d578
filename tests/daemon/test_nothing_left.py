"""When `run --drain` has done all it can."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.archive import Archive
from vodtender.config.settings import Settings
from vodtender.daemon.lanes import Gate
from vodtender.daemon.nothing_left import Verdict, nothing_left
from vodtender.pipeline.accounts import Accounts
from vodtender.pipeline.directory import open_directory
from vodtender.pipeline.room import DownloadRoom
from vodtender.pipeline.workplace import Workplace
from vodtender.store.database import Connection, Database

GB = 1_000_000_000
VOD = "2300000001"


class Disk:
    """Has so much free, of 100 GB."""

    free_bytes = 10 * GB

    def usage(self, _path: object) -> SimpleNamespace:
        return SimpleNamespace(free=self.free_bytes, total=100 * GB, used=100 * GB)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk()
    monkeypatch.setattr("shutil.disk_usage", disk.usage)
    return disk


@pytest.fixture
def gate(archive: Archive, disk: Disk, tmp_path: Path) -> Gate:
    """Of a worker with a VOD to download and no uploads."""
    archive.add(VOD)
    settings = Settings(yt_enabled=False)
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


def verdict(gate: Gate, *, patient: bool = True) -> Verdict:
    return nothing_left(gate.place, gate, patient=patient)


def test_a_vod_for_which_there_is_no_room_does_not_keep_it(archive: Archive, gate: Gate) -> None:
    assert verdict(gate) is Verdict.BUSY
    gate.place.room.did_not_fit(archive.get(VOD), 60 * GB)
    assert verdict(gate) is Verdict.NO_ROOM


def test_room_that_was_made_while_it_looked_counts(
    archive: Archive, gate: Gate, disk: Disk
) -> None:
    """The last file was on YouTube and is removed between measuring the disk and asking
    whether anybody is still at work."""

    class Removing(Database):
        @contextmanager
        def transaction(self, **options: Any) -> Iterator[Connection]:
            with super().transaction(**options) as connection:
                yield connection
            disk.free_bytes = 90 * GB

    gate.place.room.did_not_fit(archive.get(VOD), 60 * GB)
    gate.place = replace(gate.place, database=Removing(lambda: archive.dsn))
    assert verdict(gate) is Verdict.BUSY
    assert verdict(gate) is Verdict.BUSY
    gate.place.database.close()


def test_a_vod_that_rests_though_there_seems_to_be_room_is_waited_for_a_few_times(
    archive: Archive, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk was full for a moment. If it is a quota that nobody sees, that does not pass."""
    vod = archive.get(VOD)
    for _ in range(3):
        gate.place.room.did_not_fit(vod, 0)
        assert verdict(gate) is Verdict.BUSY
        assert verdict(gate, patient=False) is Verdict.NO_ROOM
        later = time.monotonic() + 60
        monkeypatch.setattr("time.monotonic", lambda now=later: now)
        assert verdict(gate, patient=False) is Verdict.BUSY
    gate.place.room.did_not_fit(vod, 0)
    assert verdict(gate) is Verdict.NO_ROOM
