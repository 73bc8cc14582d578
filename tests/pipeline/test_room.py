"""Room on the disk: who waits for it, and who does not have to."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.model.test_retention import vod
from vodtender.model.vod import Vod
from vodtender.pipeline.directory import open_directory
from vodtender.pipeline.room import DownloadRoom

GB = 1_000_000_000


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Says how much the disk has free, of 100 GB."""

    def has_free(free_bytes: int) -> None:
        usage = SimpleNamespace(free=free_bytes, total=100 * GB, used=100 * GB - free_bytes)
        monkeypatch.setattr("shutil.disk_usage", lambda _path: usage)

    return has_free


@pytest.fixture
def room(tmp_path: Path) -> DownloadRoom:
    return DownloadRoom(open_directory(tmp_path / "data"), 10 * GB)


def test_nothing_begins_below_the_reserve(room: DownloadRoom, disk: Callable[[int], None]) -> None:
    disk(10 * GB - 1)
    assert "downloads wait until there are 10,000 MB (DISK_RESERVE)" in (room.why_none() or "")
    disk(10 * GB)
    assert room.why_none() is None
    assert room.why_some_wait() is None


def test_a_large_vod_waits_and_lets_others_go(
    room: DownloadRoom, disk: Callable[[int], None]
) -> None:
    disk(30 * GB)
    large = _vod()
    room.did_not_fit(large, 60 * GB)
    assert room.too_large_now() == {1: 40 * GB}
    assert room.why_none() is None
    assert "for 1 of the next VODs; the smallest wants 40,000 MB more" in (
        room.why_some_wait() or ""
    )
    disk(70 * GB)
    assert room.too_large_now() == {}
    disk(30 * GB)
    room.fitted(large)
    assert room.too_large_now() == {}


@pytest.mark.parametrize(("set_to", "expected"), [(None, 5 * GB), (2 * GB, 2 * GB), (0, 0)])
def test_the_reserve_is_as_set_or_suits_the_disk(
    tmp_path: Path, disk: Callable[[int], None], set_to: int | None, expected: int
) -> None:
    disk(50 * GB)
    room = DownloadRoom(open_directory(tmp_path / "data"), set_to)
    assert room.reserve_bytes == min(expected, 1 << 30 if set_to is None else expected)


def test_what_is_kept_of_a_vod_is_not_wanted_again(
    room: DownloadRoom, disk: Callable[[int], None]
) -> None:
    disk(10 * GB)
    room.did_not_fit(_vod(), 5000)
    work = room.directory.work("2300000001")
    work.mkdir(parents=True)
    (work / "a.seg").write_bytes(bytes(3000))
    (work / "mux-1.video").write_bytes(bytes(3000))
    assert room.too_large_now() == {1: 2000}
    (work / "a.seg").unlink()
    assert room.too_large_now() == {1: 5000}


def test_where_there_seems_to_be_room_a_refused_vod_rests_for_a_while(
    room: DownloadRoom, disk: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quota is used up, or files may not be that large: what is free does not show it."""
    disk(90 * GB)
    room.did_not_fit(_vod(), 0)
    assert list(room.too_large_now()) == [1]
    later = time.monotonic() + 60
    monkeypatch.setattr("time.monotonic", lambda: later)
    assert room.too_large_now() == {}


def test_a_guess_does_not_keep_a_vod_off_a_disk_that_nearly_holds_it(
    room: DownloadRoom, disk: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It failed while somebody else filled the disk, with its first segments the largest."""
    disk(10 * GB)
    room.did_not_fit(_vod(), 60 * GB)
    assert room.too_large_now() == {1: 60 * GB}
    disk(65 * GB)
    assert room.too_large_now() == {}
    room.did_not_fit(_vod(), 60 * GB)
    assert room.too_large_now() == {1: 5 * GB}, "and then it rests"
    later = time.monotonic() + 60
    monkeypatch.setattr("time.monotonic", lambda: later)
    assert room.too_large_now() == {}
    for _ in range(20):
        room.did_not_fit(_vod(), 60 * GB)
    later += 1799
    assert room.too_large_now() == {1: 5 * GB}, "longer and longer"
    assert not room.may_fit_soon


def _vod() -> Vod:
    return vod(id=1, twitch_vod_id="2300000001")
