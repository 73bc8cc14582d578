"""ffmpeg, as a subprocess: where it is, putting streams into MP4 files, looking at these.

Nothing here re-encodes. There is no ffprobe in the `imageio-ffmpeg` wheel, so a file's
duration is read from its own header, and whether it plays is found by decoding its ends.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import struct
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from vodtender.errors import SettingsError, Stopped, Transient

_END_SECONDS = 3
_PROBE_TIMEOUT_SECONDS = 120
_LOOK_SECONDS = 0.2
_WORDS = 2000
QUIET = ("-hide_banner", "-nostdin", "-v", "error")
# Twitch's audio can begin late (a muted beginning): look far enough to find it. Costs nothing
# where the streams are known at once.
LOOK_FAR = ("-analyzeduration", "30000000", "-probesize", "67108864")
_ANY_SOURCE = ("-safe", "0", "-protocol_whitelist", "file,pipe,fd")
# No encoder's name and no time of making in the file: the same input gives the same bytes.
TO_MP4 = ("-c", "copy", "-dn", "-sn", "-max_muxing_queue_size", "9999", "-fflags", "+bitexact")


def find() -> Path:
    """The ffmpeg on the PATH, else the one that the `imageio-ffmpeg` wheel brought.

    Raises SettingsError when there is neither.
    """
    on_path = shutil.which("ffmpeg")
    if on_path:
        return Path(on_path)
    spec = importlib.util.find_spec("imageio_ffmpeg")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for candidate in sorted(Path(folder, "binaries").glob("ffmpeg-*")):
            if os.access(candidate, os.X_OK):
                return candidate
    raise SettingsError(
        "There is no ffmpeg on this machine: VODs cannot be put into MP4 files.",
        hint="apt-get install ffmpeg   (or: pip install 'vodtender[standalone]')",
        code="ffmpeg_missing",
    )


def mux_command(binary: Path, *, container: str, source: str, target: str) -> list[str]:
    """The command that copies the streams of `source` (or `pipe:0`) into an MP4.

    `container` is the input's format by ffmpeg's name: `mpegts`, `mov`, `concat`.
    """
    wide = _ANY_SOURCE if container == "concat" else LOOK_FAR
    read = ["-f", container, *wide, "-i", source]
    return [str(binary), *QUIET, "-y", *read, *TO_MP4, "-f", "mp4", target]


def convert_command(binary: Path) -> list[str]:
    """The command that makes a transport stream of the fragmented MP4 on its standard input."""
    read = ["-f", "mov", *LOOK_FAR, "-i", "pipe:0"]
    return [str(binary), *QUIET, *read, "-map", "0", *TO_MP4, "-f", "mpegts", "pipe:1"]


def split(
    binary: Path,
    path: Path,
    at_seconds: Sequence[float],
    out_dir: Path,
    should_stop: Callable[[], bool],
) -> list[Path]:
    """Cut an MP4 into parts at these times, without re-encoding.

    Each cut moves forward to the next key frame, so no frame is lost and none comes twice.
    The parts are `1.video`, `2.video` and so on (no search for *.mp4 is to find them); the same
    file and times give the same parts, perhaps fewer than wanted. They are complete when this
    returns. Raises Transient(code="mux_failed"), or Stopped when asked to stop.
    """
    times = sorted({round(time, 3) for time in at_seconds if time > 0})
    out_dir.mkdir(parents=True, exist_ok=True)
    cut = ["-segment_times", ",".join(f"{time:.3f}" for time in times)] if times else []
    if not cut:
        cut = ["-segment_time", "1000000"]
    pattern = f"{str(out_dir).replace('%', '%%')}/%d.video"
    command = [str(binary), *QUIET, "-y", "-i", f"file:{path}", "-map", "0", *TO_MP4]
    command += ["-f", "segment", "-segment_format", "mp4", "-reset_timestamps", "1"]
    command += ["-segment_start_number", "1", *cut, pattern]
    status, complaints = _run(command, should_stop)
    if status:
        raise failed("splitting the file", status, complaints)
    # The last time may lie behind the last key frame: then there is one part fewer.
    parts = [out_dir / f"{number + 1}.video" for number in range(len(times) + 1)]
    return [part for part in parts if part.exists()]


def _run(command: Sequence[str], should_stop: Callable[[], bool]) -> tuple[int, bytes]:
    """The exit status and what was written to stderr."""
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        while True:
            try:
                _, complaints = process.communicate(timeout=_LOOK_SECONDS)
            except subprocess.TimeoutExpired:
                if should_stop():
                    process.kill()
                    raise Stopped("ffmpeg was stopped") from None
            else:
                return process.returncode, complaints


@dataclass(frozen=True, slots=True)
class Playable:
    """What decoding the ends of a file showed. `complaint` is ffmpeg's, for people to read."""

    plays: bool
    complaint: str


def play_ends(binary: Path, path: Path) -> Playable:
    """Decode the first and the last seconds of a file: both must give pictures or sound.

    What counts is the exit status and that something was decoded: broadcasts now and then
    begin in the middle of a picture, and decoders complain of that although all is there.
    """
    complaints: list[str] = []
    plays = True
    for seek in ([], ["-sseof", f"-{_END_SECONDS}"]):
        command = [str(binary), *QUIET, "-progress", "pipe:1", *seek, "-t", str(_END_SECONDS)]
        command += ["-i", f"file:{path}", "-f", "null", "-"]
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                timeout=_PROBE_TIMEOUT_SECONDS,
            )
        except subprocess.TimeoutExpired:
            return Playable(False, f"ffmpeg did not finish in {_PROBE_TIMEOUT_SECONDS} s")
        plays &= done.returncode == 0 and _decoded_anything(done.stdout)
        complaints.append(_tail(done.stderr))
    return Playable(plays, " ".join(filter(None, complaints)))


def duration_seconds(path: Path) -> float:
    """How long an MP4 claims to play, from its `mvhd` box (ISO 14496-12).

    Raises Transient(code="unplayable") when it has no readable header.
    """
    try:
        with path.open("rb") as file:
            end = os.fstat(file.fileno()).st_size
            moov = _find_box(file, b"moov", 0, end)
            start, _ = _find_box(file, b"mvhd", *moov)
            file.seek(start)
            head = file.read(32)
        if head[0] == 1:
            timescale, units = struct.unpack(">IQ", head[20:32])
        else:
            timescale, units = struct.unpack(">II", head[12:20])
        return float(units / timescale)
    except (ValueError, IndexError, struct.error, ZeroDivisionError) as error:
        raise Transient(
            f"{path.name} is not a readable MP4 file ({error}).", code="unplayable"
        ) from error


def failed(what: str, status: int, stderr: bytes) -> Transient:
    """The answer for an ffmpeg that ended with this status."""
    words = _tail(stderr) or "it said nothing"
    return Transient(f"ffmpeg failed while {what} (status {status}): {words}", code="mux_failed")


def _find_box(file: BinaryIO, kind: bytes, start: int, end: int) -> tuple[int, int]:
    """Where the content of the first box of this kind begins and ends."""
    while start + 8 <= end:
        file.seek(start)
        head = file.read(16)
        size, found = struct.unpack(">I4s", head[:8])
        header = 8
        if size == 1:
            size, header = struct.unpack(">Q", head[8:16])[0], 16
        elif size == 0:
            size = end - start
        if size < header or start + size > end:
            raise ValueError("a box reaches beyond the end of the file")
        if found == kind:
            return start + header, start + size
        start += size
    raise ValueError(f"it has no {kind.decode()} box")


def _decoded_anything(progress: bytes) -> bool:
    """True when `-progress` output ended well with an output time above zero."""
    lines = progress.decode("utf-8", "replace").splitlines()
    values = dict(line.split("=", 1) for line in lines if "=" in line)
    time = values.get("out_time_us", "").strip()
    return values.get("progress", "").strip() == "end" and time.isdecimal() and int(time) > 0


def _tail(stderr: bytes) -> str:
    return " ".join(stderr.decode("utf-8", "replace").split())[-_WORDS:]
