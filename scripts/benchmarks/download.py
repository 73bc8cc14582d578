"""A download of 2 GB: our own child against `yt-dlp -N 10`, from the same server."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

from scripts.benchmarks.figures import (
    Effort,
    Figure,
    Peak,
    alternating,
    changed_environment,
    ratio,
    told,
)
from scripts.outside import sandbox
from tests.sandbox.vods import FIRST_VOD_ID
from vodtender.clients import ffmpeg
from vodtender.clients.ytdlp.process import FetchedVod, FetchRequest, fetch
from vodtender.config.settings import Settings

VOD_ID = str(FIRST_VOD_ID)
_TIME_LIMIT = 0.6
_DISK_LIMIT = 2.1
_SAMPLE_SECONDS = 0.25


def measure(directory: Path, effort: Effort) -> Iterator[Figure]:
    disk = _Disk(directory)
    quick = effort is Effort.QUICK
    with (
        sandbox("bench-quick" if quick else "bench-plain", os.environ) as world,
        changed_environment(world),
    ):
        found = alternating(
            effort.choose(3, 5),
            {
                "vodtender": lambda: disk.measured("vodtender", _vodtender),
                "yt-dlp -N 10": lambda: disk.measured("yt-dlp", _ytdlp),
            },
        )
    taken = ratio(found, "vodtender", "yt-dlp -N 10")
    yield Figure("download, wall time against yt-dlp -N 10", taken, _TIME_LIMIT, "", told(found))
    for name, limit in (("vodtender", _DISK_LIMIT), ("yt-dlp", None)):
        yield Figure(f"download, {name}'s peak on disk / file", disk.worst[name], limit)


class _Disk:
    """Measures time, and how much of the disk is in use at most against the file's size."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.worst: dict[str, float] = {}

    def measured(self, name: str, task: Callable[[Path], Path]) -> float:
        place = self._directory / name
        place.mkdir()
        with Peak(lambda: _used_bytes(place), _SAMPLE_SECONDS) as peak:
            began = time.perf_counter()
            made = task(place)
            seconds = time.perf_counter() - began
        peaked = peak.value / made.stat().st_size
        self.worst[name] = max(self.worst.get(name, 0.0), peaked)
        shutil.rmtree(place)
        # What one leaves for the kernel to write must not slow the other down.
        os.sync()
        return seconds


def _vodtender(place: Path) -> Path:
    request = FetchRequest(
        vod_id=VOD_ID,
        work_directory=place,
        concurrency=Settings().download_segment_concurrency,
        rate_limit=None,
        max_size_bytes=None,
        timeout=None,
        stall_timeout=timedelta(minutes=2),
        cookies_path=None,
        extra_args=(),
        verbose=False,
        allow_gaps=False,
    )
    never = threading.Event()
    fetched = fetch(request, on_progress=lambda _: None, should_stop=never.is_set)
    assert isinstance(fetched, FetchedVod)
    return fetched.path


def _ytdlp(place: Path) -> Path:
    made = place / "vod.mp4"
    options = [
        "-q",
        "--no-warnings",
        "--no-progress",
        "-N",
        "10",
        "--ffmpeg-location",
        str(ffmpeg.find()),
    ]
    address = f"https://www.twitch.tv/videos/{VOD_ID}"
    command = [sys.executable, "-m", "yt_dlp", "--ignore-config", *options, "-o", str(made)]
    compatible = ["--compat-options", "no-certifi"]
    subprocess.run([*command, *compatible, address], stdin=subprocess.DEVNULL, check=True)
    return made


def _used_bytes(place: Path) -> int:
    used = 0
    for folder, _, names in os.walk(place):
        for name in names:
            try:
                used += os.lstat(os.path.join(folder, name)).st_blocks * 512
            except FileNotFoundError:
                continue
    return used
