"""Putting segments into one MP4 while later ones still come down: one pass over the disk.

MPEG-TS segments, and the init section and fragments of fragmented MP4, are simply one after the
other ffmpeg's input. Where the init section changes, or the timestamps start anew, a new *run*
begins. One run goes through ffmpeg's standard input. Several go through a pipe each, which
ffmpeg's concat demuxer reads in turn: it sets each run's timestamps behind the last one's (one
stream with jumping timestamps comes out with holes, and yt-dlp's own downloader fails where the
init section changes, #10878). All pipes end with this process, however it ends, and ffmpeg
with them.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import resource
import shutil
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from vodtender.clients import ffmpeg
from vodtender.clients.ytdlp import answers
from vodtender.errors import VodtenderError
from vodtender.model.playlist import Segment

MUX_PATTERN = "mux-*"
"""What a muxer leaves in its directory while it works."""
_PIPE_BYTES = 1 << 20
_STDERR_LINES = 20
_NEARLY_FULL_BYTES = 4 << 20
_NO_SPACE_STATUSES = frozenset({228, 134, 229, -signal.SIGXFSZ})
"""ffmpeg ends with the low byte of -ENOSPC, -EDQUOT, -EFBIG, as the shell sees them; the last is
the signal for a file beyond the process's limit."""
_OTHER_DESCRIPTORS = 256


@dataclass
class Muxer:
    """Makes one MP4 in `directory`. `fed_bytes` and `fed_segments` grow as it goes.

    `piece_of` waits for a segment and gives its file; `init_of` the file of its init section.
    """

    binary: Path
    directory: Path
    piece_of: Callable[[Segment], Path]
    init_of: Callable[[Segment], Path]
    fed_bytes: int = 0
    fed_segments: int = 0

    def make(self, segments: Sequence[Segment], left_out: Collection[int] = ()) -> Path:
        """The MP4 of these segments, but for those with the indexes in `left_out`.

        At least one must remain. Raises what `piece_of` raises, or Transient.
        """
        # A name of this process only: the ffmpeg of a predecessor that was killed may still be
        # closing its own file. And none that a search for *.mp4 finds.
        target = self.directory / f"mux-{os.getpid()}.video"
        runs = [
            remaining
            for run in _runs(segments)
            if (remaining := [segment for segment in run if segment.index not in left_out])
        ]
        try:
            if len(runs) == 1:
                self._feed_one(runs[0], target)
            else:
                self._feed_many(runs, target)
        except BaseException:
            target.unlink(missing_ok=True)
            raise
        return target

    def _feed_one(self, run: list[Segment], target: Path) -> None:
        container = "mpegts" if run[0].init_url is None else "mov"
        command = ffmpeg.mux_command(
            self.binary, container=container, source="pipe:0", target=f"file:{target}"
        )
        reader, writer = os.pipe()
        self._run(command, [run], [writer], [reader], stdin=reader)

    def _feed_many(self, runs: list[list[Segment]], target: Path) -> None:
        _allow_descriptors(2 * len(runs) + _OTHER_DESCRIPTORS)
        pipes = [os.pipe() for _ in runs]
        readers, writers = [reader for reader, _ in pipes], [writer for _, writer in pipes]
        listing = self.directory / f"mux-{os.getpid()}.runs"
        lines = [_listed(run, reader) for run, reader in zip(runs, readers, strict=True)]
        listing.write_text("".join(["ffconcat version 1.0\n", *lines]), encoding="utf-8")
        command = ffmpeg.mux_command(
            self.binary, container="concat", source=f"file:{listing}", target=f"file:{target}"
        )
        try:
            self._run(command, runs, writers, readers, stdin=subprocess.DEVNULL)
        finally:
            listing.unlink(missing_ok=True)

    def _run(
        self,
        command: list[str],
        runs: list[list[Segment]],
        writers: list[int],
        readers: list[int],
        *,
        stdin: int,
    ) -> None:
        """Feed each run into its pipe, in turn. Closes all these pipes."""
        converts = len({run[0].init_key for run in runs}) > 1
        with _closing(writers), _started(command, stdin, readers) as started:
            try:
                for run in runs:
                    feed = self._feed_converted if converts else self._feed_run
                    feed(run, writers[0])
                    os.close(writers.pop(0))
            except BrokenPipeError:
                pass  # ffmpeg has ended early; its status says why
            status = started.process.wait()
        self._check(status, started.last_words)

    def _feed_converted(self, run: list[Segment], writer: int) -> None:
        """Feed a run as a transport stream, which has the decoder's settings in it.

        In fragmented MP4 they are in the init section only, and the MP4 keeps only the first.
        AV1 has them in its key frames, and a transport stream cannot hold it.
        """
        if run[0].init_url is None or b"av01" in self.init_of(run[0]).read_bytes():
            self._feed_run(run, writer)
            return
        reader, own_writer = os.pipe()
        command = ffmpeg.convert_command(self.binary)
        with (
            _closing([own_writer]) as mine,
            _started(command, reader, [reader], stdout=writer) as started,
        ):
            with contextlib.suppress(BrokenPipeError):
                self._feed_run(run, own_writer)
            os.close(mine.pop())
            status = started.process.wait()
        self._check(status, started.last_words)

    def _feed_run(self, run: list[Segment], writer: int) -> None:
        _widen(writer)
        for path in self._pieces(run):
            self._feed(path, writer)

    def _pieces(self, run: list[Segment]) -> Iterator[Path]:
        """The files of a run: its init section, if it has one, and its segments.

        Counts a segment once it has been taken whole.
        """
        for place, segment in enumerate(run):
            piece = self.piece_of(segment)
            if place == 0 and segment.init_url is not None:
                yield self.init_of(segment)
            yield piece
            self.fed_segments += 1

    def _feed(self, path: Path, pipe: int) -> None:
        """Hand a file's pages on to the pipe as they are, without copying them."""
        with path.open("rb", buffering=0) as file:
            move = _spliced if hasattr(os, "splice") else _copied
            while moved := move(file.fileno(), pipe):
                self.fed_bytes += moved

    def _check(self, status: int, said: bytes) -> None:
        """Raise what a status means; want of room is told by the status and the disk itself."""
        if not status:
            return
        free = shutil.disk_usage(self.directory).free
        error: VodtenderError = ffmpeg.failed("putting the VOD together", status, said)
        if status in _NO_SPACE_STATUSES or free < _NEARLY_FULL_BYTES:
            error = answers.disk_full()
        raise error


def _runs(segments: Sequence[Segment]) -> Iterator[list[Segment]]:
    """Segments that follow each other in time and share an init section."""
    number = 0
    numbered: list[tuple[int, Segment]] = []
    for before, segment in zip((None, *segments), segments, strict=False):
        if before is not None:
            number += segment.discontinuity or before.init_key != segment.init_key
        numbered.append((number, segment))
    for _, group in groupby(numbered, key=lambda item: item[0]):
        yield [segment for _, segment in group]


def _listed(run: list[Segment], reader: int) -> str:
    """A run's lines in the list for the concat demuxer."""
    line = f"file 'pipe:{reader}'\n"
    if run[0].init_url is None:
        return line
    # Of fragments that come through a pipe ffmpeg only knows how long the first one lasts.
    seconds = sum(segment.duration_seconds for segment in run)
    return f"{line}duration {seconds:.6f}\n"


@dataclass
class _Started:
    process: subprocess.Popen[bytes]
    last_words: bytes = b""
    """Whole only when the context has been left."""


@contextlib.contextmanager
def _started(
    command: list[str], stdin: int, readers: list[int], stdout: int = subprocess.DEVNULL
) -> Iterator[_Started]:
    """A running ffmpeg that alone has the reading ends. Killed if the body fails."""
    said: deque[bytes] = deque(maxlen=_STDERR_LINES)
    with _closing(readers):
        process = subprocess.Popen(
            command,
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.PIPE,
            bufsize=0,
            pass_fds=[] if stdin in readers else readers,
        )
    assert process.stderr is not None
    listener = threading.Thread(target=said.extend, args=(process.stderr,), daemon=True)
    listener.start()
    started = _Started(process)
    try:
        yield started
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        listener.join()
        process.stderr.close()
        started.last_words = b"".join(said)


@contextlib.contextmanager
def _closing(descriptors: list[int]) -> Iterator[list[int]]:
    """Close what is left in the list in the end."""
    try:
        yield descriptors
    finally:
        while descriptors:
            os.close(descriptors.pop())


def _allow_descriptors(count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count:
        enough = count if hard == resource.RLIM_INFINITY else min(count, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (enough, hard))


def _spliced(source: int, pipe: int) -> int:
    try:
        return os.splice(source, pipe, _PIPE_BYTES)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return _copied(source, pipe)  # not every file system can


def _copied(source: int, pipe: int) -> int:
    chunk = os.read(source, _PIPE_BYTES)
    view = memoryview(chunk)
    while view:
        view = view[os.write(pipe, view) :]
    return len(chunk)


def _widen(pipe: int) -> None:
    with contextlib.suppress(OSError, AttributeError):
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
