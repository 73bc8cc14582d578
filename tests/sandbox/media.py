"""Real video of any length from one short encode.

A *loop* is one segment that ffmpeg made once, whose timestamps are patched for every place in
a VOD: audio and video both fill the segment to the tick (1.92 s are 48 frames at 25/s and 90
AAC frames at 48 kHz), so segment after segment plays as one continuous stream, and a VOD of
2 GB costs one encode of 10 MB. Loops are kept in a cache shared by all test processes.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

PACKET_BYTES = 188
CLOCK_HZ = 90_000
BEAT_SECONDS = 0.32
"""Segments last a whole number of these: 8 frames at 25/s, 15 AAC frames at 48 kHz."""
NULL_PACKET = b"\x47\x1f\xff\x10" + b"\xff" * (PACKET_BYTES - 4)
_VERSION = 1
_LOOP_INDEX = 1  # the middle one of three: the first holds the encoders' start-up


@dataclass(frozen=True, slots=True)
class Form:
    """What a loop looks like. `fill_bytes`: grow a segment to about this size (h264 only)."""

    container: str = "ts"  # ts | fmp4
    codec: str = "h264"  # h264 | hevc | none (audio only)
    width: int = 320
    height: int = 180
    beats: int = 6
    silent: bool = False
    fill_bytes: int = 0

    @property
    def seconds(self) -> float:
        return round(self.beats * BEAT_SECONDS, 2)

    @property
    def codecs(self) -> str:
        """The CODECS attribute of a master playlist."""
        video = {"h264": "avc1.4D401F,", "hevc": "hvc1.1.6.L60.90,", "none": ""}[self.codec]
        return video + "mp4a.40.2"


SMALL = Form()
"""1.92 s, 320x180, about 190 kB."""


class Loop:
    """One segment's bytes, and where its timestamps are."""

    def __init__(self, form: Form, init: bytes, base: bytes) -> None:
        self.form = form
        self.init = init
        self.base = base
        if form.container == "ts":
            self._stamps = list(_ts_stamps(base))
            self._counters = list(_ts_counters(base))
        else:
            self._boxes = list(_mp4_times(base, _mp4_timescales(init)))

    def segment(self, place: int) -> bytearray:
        """The segment at this place of the stream, counted from 0."""
        segment = bytearray(self.base)
        if self.form.container == "ts":
            segment[3::PACKET_BYTES] = self._counters[place % 16]
            ticks = round((place - _LOOP_INDEX) * self.form.seconds * CLOCK_HZ)
            for offset, kind, value in self._stamps:
                write = _write_pcr if kind == "pcr" else _write_pts
                write(segment, offset, value + ticks + CLOCK_HZ)
        else:
            for offset, size, value, timescale in self._boxes:
                time = value + round((place - _LOOP_INDEX) * self.form.seconds * timescale)
                segment[offset : offset + size] = max(0, time).to_bytes(size, "big")
        return segment


# --- MPEG-TS ----------------------------------------------------------------------------


def _ts_stamps(data: bytes) -> Iterator[tuple[int, str, int]]:
    """Where each PCR, PTS and DTS is, of which kind, and its value in ticks of 90 kHz."""
    for start in range(0, len(data), PACKET_BYTES):
        payload = start + 4
        if data[start + 3] & 0x20:
            length = data[start + 4]
            if length and data[start + 5] & 0x10:
                yield start + 6, "pcr", int.from_bytes(data[start + 6 : start + 11], "big") >> 7
            payload = start + 5 + length
        if not data[start + 1] & 0x40 or data[payload : payload + 3] != b"\0\0\1":
            continue
        flags = data[payload + 7] >> 6
        if flags & 2:
            yield payload + 9, "pts", _read_pts(data, payload + 9)
        if flags == 3:
            yield payload + 14, "dts", _read_pts(data, payload + 14)


def _ts_counters(data: bytes) -> Iterator[bytes]:
    """The fourth byte of every packet, for a stream in which 0 to 15 loops went before."""
    per_pid: dict[int, int] = {}
    packets: list[tuple[int, int]] = []
    for start in range(0, len(data), PACKET_BYTES):
        pid = int.from_bytes(data[start + 1 : start + 3], "big") & 0x1FFF
        fourth = data[start + 3]
        packets.append((pid, fourth))
        if fourth & 0x10:
            per_pid[pid] = per_pid.get(pid, 0) + 1
    for place in range(16):
        yield bytes(
            (fourth & 0xF0) | ((fourth + place * per_pid.get(pid, 0)) & 0x0F)
            for pid, fourth in packets
        )


def _read_pts(data: bytes, at: int) -> int:
    high, middle, low = data[at] >> 1 & 7, data[at + 1 : at + 3], data[at + 3 : at + 5]
    return high << 30 | int.from_bytes(middle, "big") >> 1 << 15 | int.from_bytes(low, "big") >> 1


def _write_pts(data: bytearray, at: int, ticks: int) -> None:
    data[at] = data[at] & 0xF0 | (ticks >> 30 & 7) << 1 | 1
    struct.pack_into(
        ">HH", data, at + 1, (ticks >> 15 & 0x7FFF) << 1 | 1, (ticks & 0x7FFF) << 1 | 1
    )


def _write_pcr(data: bytearray, at: int, ticks: int) -> None:
    rest = data[at + 4] & 0x7F
    data[at : at + 5] = ((ticks & 0x1FFFFFFFF) << 7 | rest).to_bytes(5, "big")


def pad(segment: bytearray, size_bytes: int) -> None:
    """Grow a TS segment to about this size with null packets, which players skip."""
    segment += NULL_PACKET * max(0, (size_bytes - len(segment)) // PACKET_BYTES)


# --- fragmented MP4 ---------------------------------------------------------------------

_CONTAINERS = {b"moov", b"trak", b"mdia", b"moof", b"traf"}


def _mp4_boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int]]:
    """Type and content offset of every box, those inside containers too."""
    end = len(data) if end is None else end
    while start + 8 <= end:
        size = int.from_bytes(data[start : start + 4], "big")
        kind = data[start + 4 : start + 8]
        yield kind, start + 8
        if kind in _CONTAINERS:
            yield from _mp4_boxes(data, start + 8, start + size)
        start += max(size, 8)


def _mp4_timescales(init: bytes) -> dict[int, int]:
    """Track id → ticks per second, from the init section."""
    scales: dict[int, int] = {}
    track = 0
    for kind, at in _mp4_boxes(init):
        wide = 8 if init[at] == 1 else 0
        if kind == b"tkhd":
            track = int.from_bytes(init[at + 12 + wide : at + 16 + wide], "big")
        elif kind == b"mdhd":
            scales[track] = int.from_bytes(init[at + 12 + wide : at + 16 + wide], "big")
    return scales


def _mp4_times(data: bytes, scales: dict[int, int]) -> Iterator[tuple[int, int, int, int]]:
    """Offset, width, value and timescale of every decode time in a media segment."""
    scale = 0
    for kind, at in _mp4_boxes(data):
        size = 8 if data[at] == 1 else 4
        if kind == b"tfhd":
            scale = scales[int.from_bytes(data[at + 4 : at + 8], "big")]
        elif kind == b"tfdt":
            yield at + 4, size, int.from_bytes(data[at + 4 : at + 4 + size], "big"), scale
        elif kind == b"sidx":
            own = int.from_bytes(data[at + 8 : at + 12], "big")
            yield at + 12, size, int.from_bytes(data[at + 12 : at + 12 + size], "big"), own


# --- encoding, once ---------------------------------------------------------------------


@lru_cache(maxsize=32)
def loop(form: Form) -> Loop:
    """The loop of this form, from the cache or freshly encoded."""
    text = json.dumps([_VERSION, asdict(form)], sort_keys=True)
    folder = cache_dir() / hashlib.sha256(text.encode()).hexdigest()[:16]
    if not folder.is_dir():
        with _locked(folder.with_suffix(".lock")):
            if not folder.is_dir():
                _encode(form, folder)
    init = folder / "init.mp4"
    base = next(folder.glob("loop.*")).read_bytes()
    return Loop(form, init.read_bytes() if init.exists() else b"", base)


def cache_dir() -> Path:
    path = Path(tempfile.gettempdir()) / f"vodtender-sandbox-media-{os.getuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    return path


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _encode(form: Form, folder: Path) -> None:
    work = Path(tempfile.mkdtemp(dir=folder.parent))
    try:
        suffix = "m4s" if form.container == "fmp4" else "ts"
        command = [ffmpeg(), "-nostdin", "-v", "error", "-y", *_inputs(form), *_codecs(form)]
        command += ["-t", str(form.seconds * 3), *_output(form), str(work / f"%d.{suffix}.m3u8")]
        subprocess.run(command, check=True, cwd=work, timeout=120)
        (work / f"{_LOOP_INDEX}.{suffix}").rename(work / f"loop.{suffix}")
        for extra in [*work.glob(f"[0-9].{suffix}"), *work.glob("*.m3u8")]:
            extra.unlink()
        os.rename(work, folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _inputs(form: Form) -> list[str]:
    picture = f"testsrc2=size={form.width}x{form.height}:rate=25"
    sound = "anullsrc=r=48000:cl=mono" if form.silent else "sine=frequency=440:sample_rate=48000"
    video = [] if form.codec == "none" else ["-f", "lavfi", "-i", picture]
    return [*video, "-f", "lavfi", "-i", sound]


def _codecs(form: Form) -> list[str]:
    frames = str(form.beats * 8)
    audio = ["-c:a", "aac", "-b:a", "32k", "-ac", "1"]
    if form.codec == "none":
        return audio
    common = ["-pix_fmt", "yuv420p", "-g", frames, "-keyint_min", frames, "-sc_threshold", "0"]
    if form.codec == "hevc":
        params = f"log-level=error:pools=none:keyint={frames}:min-keyint={frames}:open-gop=0"
        speed = ["-preset", "ultrafast", "-bf", "0", "-x265-params", params, "-tag:v", "hvc1"]
        return ["-c:v", "libx265", *speed, *common, *audio]
    video = ["-c:v", "libx264", "-preset", "ultrafast", "-bf", "0", "-threads", "1", *common]
    if form.fill_bytes:
        rate = f"{int(form.fill_bytes * 8 / form.seconds / 1000)}k"
        video += ["-b:v", rate, "-minrate", rate, "-maxrate", rate, "-bufsize", rate]
        video += ["-x264-params", "nal-hrd=cbr:force-cfr=1", "-level", "6.2"]
    return [*video, *audio]


def _output(form: Form) -> list[str]:
    hls = ["-f", "hls", "-hls_time", str(form.seconds), "-hls_list_size", "0"]
    if form.container == "fmp4":
        names = ["-hls_segment_filename", "%d.m4s", "-hls_fmp4_init_filename", "init.mp4"]
        return [*hls, "-hls_segment_type", "fmp4", *names]
    # One AAC frame in each PES packet, so that a segment ends where its audio does.
    options = "pes_payload_size=0:mpegts_copyts=1"
    return [*hls, "-hls_segment_options", options, "-hls_segment_filename", "%d.ts"]


@lru_cache(maxsize=1)
def ffmpeg() -> str:
    """The ffmpeg of the imageio-ffmpeg wheel, else the one on the PATH."""
    try:
        import imageio_ffmpeg
    except ImportError:
        return shutil.which("ffmpeg") or "ffmpeg"
    return str(imageio_ffmpeg.get_ffmpeg_exe())
