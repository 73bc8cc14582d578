"""Killed, stopped, starved, crowded: what is kept, what is left running, what comes of it."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from tests.clients.ytdlp.fetches import (
    FRAMES_IN_SEGMENT,
    Background,
    alive,
    children,
    fetch,
    fetched,
    frames,
    packets,
    request,
    segment_requests,
    stored_segments,
    wait_until,
)
from tests.clients.ytdlp.warm import fetched_warm
from tests.sandbox.vods import Vod
from tests.sandbox.world import World
from vodtender.clients.ytdlp.process import FetchProgress
from vodtender.clients.ytdlp.workdir import discard
from vodtender.errors import Locked, Stopped, Transient


def _is_whole(vod: Vod, path: Path, scratch: Path) -> bool:
    served = scratch / "served.ts"
    places = range(len(vod.segments))
    served.write_bytes(b"".join(bytes(vod.segment_body(place)) for place in places))
    return packets(path) == packets(served, container="mpegts")


def _kill_all(running: list[psutil.Process]) -> None:
    for one in running:
        one.suspend()
    for one in running:
        one.kill()


def test_killed_at_any_moment_it_goes_on_from_the_segments(in_world: World, tmp_path: Path) -> None:
    """After each kill: nothing that was whole is fetched again, and in the end all is there."""
    vod = in_world.add_vod("alice", segment_count=24)
    for segment in vod.segments:
        segment.bytes_per_second = 600_000
    moments = random.Random(4)
    kills = 0
    while kills < 3:
        running = Background(request(vod, tmp_path, concurrency=3))
        already = stored_segments(tmp_path)
        running.start()
        more = already + moments.randint(1, 5)
        wait_until(lambda more=more: stored_segments(tmp_path) >= more)  # type: ignore[misc]
        time.sleep(moments.random() * 0.05)
        _kill_all(children())
        outcome = running.ended()
        assert isinstance(outcome, Transient)
        assert outcome.code == "child_failed"
        kills += 1
    got = fetched_warm(request(vod, tmp_path))
    assert _is_whole(vod, got.path, tmp_path)
    asked = Counter(segment_requests(in_world, vod))
    assert set(asked) == {f"{n}.ts" for n in range(24)}
    again = sum(count - 1 for count in asked.values())
    assert again <= 3 * kills, "only what was on its way at a kill comes twice"


def test_killed_while_it_verifies_it_fetches_nothing_again(in_world: World, tmp_path: Path) -> None:
    vod = in_world.add_vod("alice", segment_count=6)

    def kill(progress: FetchProgress) -> None:
        if progress.phase in {"muxing", "verifying"}:
            _kill_all(children())

    for _ in range(2):
        try:
            fetched(request(vod, tmp_path), on_progress=kill)
        except Transient:
            continue
    got = fetched_warm(request(vod, tmp_path))
    assert _is_whole(vod, got.path, tmp_path)
    assert sorted(segment_requests(in_world, vod)) == [f"{n}.ts" for n in range(6)]


def test_what_is_finished_and_was_not_taken_away_is_given_again(
    in_world: World, tmp_path: Path
) -> None:
    vod = in_world.add_vod("alice")
    first = fetched_warm(request(vod, tmp_path))
    in_world.record.clear()
    assert fetched_warm(request(vod, tmp_path)) == first
    assert not in_world.record.requests
    record = first.path.with_name("finished.json")
    known = json.loads(record.read_text())
    assert known.pop("crc32") == first.crc32
    record.write_text(json.dumps(known))
    assert fetched_warm(request(vod, tmp_path)) == first, "an older program has left it"
    damaged = bytearray(first.path.read_bytes())
    damaged[1000] ^= 0xFF
    first.path.write_bytes(damaged)
    again = fetched_warm(request(vod, tmp_path))
    assert again.sha256 == first.sha256, "the damage was seen, and all was fetched anew"


def test_a_kept_segment_that_was_harmed_is_fetched_again(in_world: World, tmp_path: Path) -> None:
    """As after a power cut: the file has its name and its length, but not its content."""
    vod = in_world.add_vod("alice", segment_count=6)
    gate = in_world.faults.hold(path="*/5.ts")
    running = Background(request(vod, tmp_path))
    running.start()
    gate.wait_reached()
    wait_until(lambda: stored_segments(tmp_path) == 5)
    running.stop.set()
    assert isinstance(running.ended(), Stopped)
    in_world.faults.clear()
    kept = sorted((tmp_path / "work").glob("*.seg"))
    kept[0].write_bytes(bytes(kept[0].stat().st_size))
    kept[1].write_bytes(kept[1].read_bytes()[:-188])
    kept[2].unlink()
    with (tmp_path / "work" / "segments.jsonl").open("a") as journal:
        journal.write('{"key": "torn')
    got = fetched_warm(request(vod, tmp_path))
    assert _is_whole(vod, got.path, tmp_path)
    assert len(segment_requests(in_world, vod)) == 6 + 3 + 1


def test_a_stop_ends_everything_within_seconds_and_keeps_what_is_there(
    in_world: World, tmp_path: Path
) -> None:
    vod = in_world.add_vod("alice", segment_count=20)
    gate = in_world.faults.stall(1000, path="*/9.ts")
    running = Background(request(vod, tmp_path, concurrency=2))
    running.start()
    gate.wait_reached()
    wait_until(lambda: stored_segments(tmp_path) >= 12)
    seen = children()
    assert seen
    started = time.monotonic()
    running.stop.set()
    assert isinstance(running.ended(), Stopped)
    assert time.monotonic() - started < 5
    wait_until(lambda: not [one for one in seen if alive(one.pid)], seconds=5)
    assert stored_segments(tmp_path) >= 12


def test_what_progress_raises_ends_the_fetch(in_world: World, tmp_path: Path) -> None:
    """So a lost lease reported from there ends it at once."""

    class LostError(Exception):
        pass

    def lose(_progress: FetchProgress) -> None:
        raise LostError

    with pytest.raises(LostError):
        fetch(request(in_world.add_vod("alice"), tmp_path), on_progress=lose)
    assert not children()


_PARENT = """
import sys
from datetime import timedelta
from pathlib import Path
from vodtender.clients.ytdlp.process import FetchRequest, fetch
fetch(
    FetchRequest(sys.argv[1], Path(sys.argv[2]), 3, None, None, None, timedelta(seconds=60),
                 None, (), False, False),
    on_progress=lambda progress: None, should_stop=lambda: False,
)
"""


@pytest.mark.parametrize("kind", ["fine", "fmp4-init-changes"])
def test_the_parent_killed_the_child_and_its_ffmpeg_are_gone(
    in_world: World, tmp_path: Path, kind: str
) -> None:
    vod = in_world.add_vod("alice", kind, segment_count=12)
    gate = in_world.faults.hold(path="*/8.*", times=None)
    parent = subprocess.Popen([sys.executable, "-c", _PARENT, vod.id, str(tmp_path / "work")])
    try:
        gate.wait_reached()
        wait_until(lambda: "ffmpeg" in {one.name().partition("-")[0] for one in children()})
        seen = psutil.Process(parent.pid).children(recursive=True)
        assert len(seen) >= 2
    finally:
        parent.kill()
        parent.wait()
    wait_until(lambda: not [one for one in seen if alive(one.pid)], seconds=5)
    in_world.faults.clear()
    assert fetched_warm(request(vod, tmp_path)).segments == 12


def test_the_child_and_the_parent_killed_ffmpeg_is_gone(in_world: World, tmp_path: Path) -> None:
    """Nothing is left that could kill it: its inputs end, and so does it."""
    vod = in_world.add_vod("alice", segment_count=12)
    vod.segments[4].discontinuity = vod.segments[9].discontinuity = True
    gate = in_world.faults.hold(path="*/2.ts", times=None)
    parent = subprocess.Popen([sys.executable, "-c", _PARENT, vod.id, str(tmp_path / "work")])
    gate.wait_reached()
    wait_until(lambda: "ffmpeg" in {one.name().partition("-")[0] for one in children()})
    child = psutil.Process(parent.pid).children()[0]
    ffmpegs = child.children(recursive=True)
    _kill_all([psutil.Process(parent.pid), child])
    parent.wait()
    wait_until(lambda: not [one for one in ffmpegs if alive(one.pid)], seconds=5)


def test_no_progress_for_too_long_is_an_error(in_world: World, tmp_path: Path) -> None:
    in_world.faults.stall(1000, path="*/2.ts", times=None)
    vod = in_world.add_vod("alice")
    with pytest.raises(Transient, match="DOWNLOAD_STALL_TIMEOUT") as caught:
        fetch(request(vod, tmp_path, stall_timeout=timedelta(seconds=2)))
    assert caught.value.code == "stalled"
    assert stored_segments(tmp_path) == 3
    assert not children()


def test_too_long_in_all_is_an_error(in_world: World, tmp_path: Path) -> None:
    vod = in_world.add_vod("alice", "slow")
    with pytest.raises(Transient, match="DOWNLOAD_TIMEOUT") as caught:
        fetch(request(vod, tmp_path, timeout=timedelta(seconds=1.5)))
    assert caught.value.code == "timeout"


def test_two_fetches_of_the_same_vod_do_not_meet(in_world: World, tmp_path: Path) -> None:
    vod = in_world.add_vod("alice")
    gate = in_world.faults.hold(path="*/2.ts")
    first = Background(request(vod, tmp_path))
    first.start()
    gate.wait_reached()
    with pytest.raises(Locked) as caught:
        fetch(request(vod, tmp_path))
    assert caught.value.code == "work_directory_busy"
    with pytest.raises(Locked):
        discard(tmp_path / "work")
    gate.release()
    assert not isinstance(first.ended(), Exception)
    discard(tmp_path / "work")
    assert not (tmp_path / "work").exists()
    discard(tmp_path / "work")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("only root can mount a small file system")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.parametrize("count", [9, 16])
def test_a_full_disk_is_told_and_what_is_there_is_kept(
    in_world: World, small_disk: Path, tmp_path: Path, count: int
) -> None:
    """Full while segments come (16 of 190 kB), or while the MP4 is written beside them (9)."""
    vod = in_world.add_vod("alice", segment_count=count)
    with pytest.raises(Transient) as caught:
        fetch(request(vod, small_disk))
    assert caught.value.code == "disk_full"
    assert "prune" in caught.value.hint
    kept = stored_segments(small_disk)
    assert kept >= 7
    assert not list(small_disk.glob("work/mux-*"))
    shutil.copytree(small_disk / "work", tmp_path / "work")
    in_world.record.clear()
    got = fetched_warm(request(vod, tmp_path))
    assert frames(got.path) == count * FRAMES_IN_SEGMENT
    assert len(segment_requests(in_world, vod)) == count - kept


def test_a_vod_that_will_not_fit_is_not_fetched_to_the_end(in_world: World, tmp_path: Path) -> None:
    vod = in_world.add_vod("alice", "slow", segment_count=60)
    reserve = shutil.disk_usage(tmp_path).total
    with pytest.raises(Transient) as caught:
        fetch(request(vod, tmp_path, reserve_bytes=reserve))
    assert caught.value.code == "disk_full"
    assert stored_segments(tmp_path) < 40


def test_a_limit_on_file_sizes_is_told_as_a_full_disk(in_world: World, tmp_path: Path) -> None:
    vod = in_world.add_vod("alice", segment_count=8)
    script = (
        f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (400_000,) * 2)\n{_PARENT}"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, vod.id, str(tmp_path / "work")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "The disk is full" in done.stderr


def test_a_child_that_dies_by_itself_is_told_with_its_last_words(
    in_world: World, tmp_path: Path
) -> None:
    gate = in_world.faults.hold(path="*/2.ts")
    running = Background(request(in_world.add_vod("alice"), tmp_path))
    running.start()
    gate.wait_reached()
    children()[0].send_signal(signal.SIGSEGV)
    outcome = running.ended()
    assert isinstance(outcome, Transient)
    assert outcome.code == "child_failed"
    assert "SIGSEGV" in outcome.message


def test_no_secret_reaches_the_child(
    in_world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DB_DSN", "ENCRYPTION_KEY", "YT_CLIENT_SECRET", "ADMIN_TOKEN"):
        monkeypatch.setenv(name, "hidden")
    gate = in_world.faults.hold(path="*/2.ts")
    running = Background(request(in_world.add_vod("alice"), tmp_path))
    running.start()
    gate.wait_reached()
    child = children()[0]
    assert "hidden" not in json.dumps(child.environ())
    assert child.nice() > psutil.Process().nice()
    running.stop.set()
    running.ended()


def test_a_stranger_in_the_working_directory_is_not_imported(
    in_world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise RuntimeError('a stranger')\n")
    monkeypatch.chdir(tmp_path)
    assert fetched(request(in_world.add_vod("alice"), tmp_path)).segments == 4
