"""Putting segments into one MP4 while later ones still come down: one pass over the disk.

MPEG-TS segments, and the init section and fragments of one run of fragmented MP4, are simply
one after the other ffmpeg's input. Where the init section changes, a new run begins; runs are
made into files of their own and joined (yt-dlp's own downloader fails there, #10878).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import IO

from vodtender.clients import ffmpeg
from vodtender.clients.ytdlp import answers
from vodtender.errors import VodtenderError
from vodtender.model.playlist import Segment

_PIPE_BYTES = 1 << 20
_STDERR_LINES = 20
_NEARLY_FULL_BYTES = 4 << 20
_NO_SPACE_STATUSES = frozenset({228, 134, 229})
"""ffmpeg ends with the low byte of -ENOSPC, -EDQUOT, -EFBIG , as the shell sees them."""

PieceOf = Callable[[Segment], Path | None]
"""Waits for a segment; its file, or None where a gap was accepted."""


@dataclass
class Muxer:
    """Makes one MP4 in `directory`. `fed_bytes` and `fed_segments` grow as it goes."""

    binary: Path
    directory: Path
    piece_of: PieceOf
    init_of: Callable[[Segment], Path]
    fed_bytes: int = 0
    fed_segments: int = 0

    def make(self, segments: tuple[Segment, ...]) -> Path:
        """The MP4 of these segments. Raises what `piece_of` raises, or Transient."""
        target = self._new("whole")
        parts: list[Path] = []
        try:
            for number, run in enumerate(_runs(segments)):
                part = self._new(f"run{number}")
                if self._run(run, part):
                    parts.append(part)
            if len(parts) == 1:
                os.replace(parts[0], target)
            else:
                self._join(parts, target)
        except BaseException:
            target.unlink(missing_ok=True)
            raise
        finally:
            for part in parts:
                part.unlink(missing_ok=True)
        return target

    def _new(self, what: str) -> Path:
        # A name of this process only: the ffmpeg of a predecessor that was killed may still be
        # closing its own file.
        return self.directory / f"mux-{os.getpid()}-{what}.mp4"

    def _join(self, parts: list[Path], target: Path) -> None:
        try:
            ffmpeg.join(self.binary, parts, target)
        except VodtenderError as error:
            raise self._explained(error, 0) from error

    def _run(self, run: list[Segment], part: Path) -> bool:
        """Make one run's file; False when nothing of it is left."""
        pieces = self._pieces(run)
        first = next(pieces, None)
        if first is None:
            return False
        container = "mpegts" if run[0].init_url is None else "mov"
        command = ffmpeg.mux_command(
            self.binary, container=container, source="pipe:0", target=f"file:{part}"
        )
        try:
            with _started(command) as (process, said):
                assert process.stdin is not None
                try:
                    if run[0].init_url is not None:
                        self._feed(self.init_of(run[0]), process.stdin)
                    self._feed_piece(first, process.stdin)
                    for piece in pieces:
                        self._feed_piece(piece, process.stdin)
                    process.stdin.close()
                except BrokenPipeError:
                    pass  # ffmpeg has ended early; its status says why
                status = process.wait()
            self._check(status, b"\n".join(said))
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        return True

    def _pieces(self, run: list[Segment]) -> Iterator[Path]:
        for segment in run:
            piece = self.piece_of(segment)
            if piece is not None:
                yield piece

    def _feed_piece(self, piece: Path, pipe: IO[bytes]) -> None:
        self._feed(piece, pipe)
        self.fed_segments += 1

    def _feed(self, path: Path, pipe: IO[bytes]) -> None:
        with path.open("rb", buffering=0) as file:
            while chunk := file.read(_PIPE_BYTES):
                view = memoryview(chunk)
                while view:
                    written = pipe.write(view)
                    self.fed_bytes += written
                    view = view[written:]

    def _check(self, status: int, said: bytes) -> None:
        if status:
            raise self._explained(ffmpeg.failed("putting the VOD together", status, said), status)

    def _explained(self, error: VodtenderError, status: int) -> VodtenderError:
        """A failure for want of room, told from ffmpeg's status and the disk itself."""
        free = shutil.disk_usage(self.directory).free
        if status in _NO_SPACE_STATUSES or free < _NEARLY_FULL_BYTES:
            return answers.disk_full()
        return error


def _runs(segments: tuple[Segment, ...]) -> Iterator[list[Segment]]:
    """Segments that one ffmpeg can take in one go."""
    number = 0
    numbered: list[tuple[int, Segment]] = []
    for before, segment in zip((None, *segments), segments, strict=False):
        if before is not None:
            changed = before.init_key != segment.init_key
            # A transport stream may jump in time; fragments that do are a run of their own.
            jumps = segment.discontinuity and segment.init_url is not None
            number += changed or jumps
        numbered.append((number, segment))
    for _, group in groupby(numbered, key=lambda item: item[0]):
        yield [segment for _, segment in group]


@contextlib.contextmanager
def _started(command: list[str]) -> Iterator[tuple[subprocess.Popen[bytes], deque[bytes]]]:
    """ffmpeg with an open input, and the last lines it says. Killed if the body fails."""
    said: deque[bytes] = deque(maxlen=_STDERR_LINES)
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        bufsize=0,
    )
    assert process.stdin is not None
    assert process.stderr is not None
    with contextlib.suppress(OSError, AttributeError):
        fcntl.fcntl(process.stdin, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    listener = threading.Thread(target=said.extend, args=(process.stderr,), daemon=True)
    listener.start()
    try:
        yield process, said
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        listener.join()
        process.stderr.close()
