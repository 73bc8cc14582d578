"""What the tests of fetching share: requests with small limits, and looks into what was made."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil

from tests.sandbox.vods import Vod
from tests.sandbox.world import World
from vodtender.clients import ffmpeg
from vodtender.clients.ytdlp import process
from vodtender.clients.ytdlp.process import FetchedVod, FetchProgress, FetchRequest, StillRecording

FRAMES_IN_SEGMENT = 48
PATIENCE_SECONDS = 20.0


def request(vod: Vod | str, directory: Path, **changes: Any) -> FetchRequest:
    """A request for a VOD in `directory / "work"`, with the settings' defaults."""
    fields: dict[str, Any] = {
        "vod_id": vod if isinstance(vod, str) else vod.id,
        "work_directory": directory / "work",
        "concurrency": 8,
        "rate_limit": None,
        "max_size_bytes": None,
        "timeout": None,
        "stall_timeout": timedelta(seconds=30),
        "cookies_path": None,
        "extra_args": (),
        "verbose": False,
        "allow_gaps": False,
    }
    return FetchRequest(**{**fields, **changes})


def fetch(
    asked: FetchRequest,
    *,
    on_progress: Callable[[FetchProgress], None] = lambda _progress: None,
    should_stop: Callable[[], bool] = lambda: False,
    on_log: Callable[[str, str], None] | None = None,
) -> FetchedVod | StillRecording:
    return process.fetch(asked, on_progress=on_progress, should_stop=should_stop, on_log=on_log)


def fetched(asked: FetchRequest, **more: Any) -> FetchedVod:
    """Fetch, and expect that it is whole."""
    got = fetch(asked, **more)
    assert isinstance(got, FetchedVod)
    return got


def packets(path: Path, streams: str = "v", container: str | None = None) -> list[str]:
    """Every packet of these streams: its size and checksum, in order.

    The same list means the same bytes of video or sound, whatever the container is. What
    belongs to the container is undone first: the form of NAL units, the headers of AAC.
    """
    known = ["-f", container] if container else []
    undo = {"v": "h264_mp4toannexb,filter_units=remove_types=6|7|8|9"}
    if container == "mpegts":
        undo["a"] = "aac_adtstoasc"
    changed = [f"-bsf:{streams}", undo[streams]] if streams in undo else []
    done = subprocess.run(
        [
            str(ffmpeg.find()),
            *["-nostdin", "-v", "error", *known, "-i", str(path), "-map", streams],
            *["-c", "copy", *changed, "-f", "framecrc", "-"],
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line for line in done.stdout.splitlines() if not line.startswith("#")]
    return [",".join(line.split(",")[4:6]) for line in lines]


def frames(path: Path) -> int:
    """How many pictures really come out when the whole file is decoded, without a complaint."""
    command = [str(ffmpeg.find()), "-nostdin", "-v", "error", "-i", str(path), "-map", "v"]
    done = subprocess.run(
        [*command, "-fps_mode", "passthrough", "-f", "framecrc", "-"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert not done.stderr, done.stderr
    return sum(not line.startswith("#") for line in done.stdout.splitlines())


def children() -> list[psutil.Process]:
    """The fetching processes under this one, and their ffmpeg."""
    found = psutil.Process().children(recursive=True)
    return [child for child in found if _is_ours(child)]


def _is_ours(child: psutil.Process) -> bool:
    try:
        return "vodtender.clients.ytdlp.child" in child.cmdline() or "ffmpeg" in child.name()
    except psutil.NoSuchProcess:
        return False


def wait_until(condition: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
    """Asks again and again; the dearer that is the less often, since who asks holds up the rest."""
    deadline = time.monotonic() + seconds
    while True:
        asked = time.monotonic()
        if condition():
            return
        now = time.monotonic()
        assert now < deadline, f"not so within {seconds} s"
        time.sleep(min(0.25, max(0.02, 10 * (now - asked))))


def segment_requests(world: World, vod: Vod) -> list[str]:
    """The names of the segments that were asked for, in order."""
    seen = world.record.matching(path=f"/{vod.folder}/chunked/*")
    names = [one.path.rpartition("/")[2] for one in seen]
    return [name for name in names if not name.endswith(".m3u8")]


def stored_segments(directory: Path) -> int:
    """How many segments are whole in a work directory."""
    return len(list((directory / "work").glob("*.seg")))


class Background(threading.Thread):
    """A fetch in a thread; `outcome` is its result or its error."""

    def __init__(self, asked: FetchRequest) -> None:
        super().__init__(daemon=True)
        self._asked = asked
        self.stop = threading.Event()
        self.outcome: object = None

    def run(self) -> None:
        try:
            self.outcome = fetch(self._asked, should_stop=self.stop.is_set)
        except Exception as error:
            self.outcome = error

    def ended(self) -> object:
        self.join(PATIENCE_SECONDS)
        assert not self.is_alive()
        return self.outcome


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except (ProcessLookupError, psutil.NoSuchProcess):
        return False
