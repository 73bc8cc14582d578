"""A file that is too long for YouTube in one piece, cut into parts on the disk."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from vodtender.clients import ffmpeg
from vodtender.clients.ytdlp.workdir import occupied
from vodtender.errors import Transient, VodtenderError
from vodtender.model.vod import Vod
from vodtender.model.youtube_parts import Part
from vodtender.pipeline.workplace import Workplace

_TOLERANCE_SECONDS = 2.0


@contextmanager
def cut_files(
    place: Workplace,
    vod: Vod,
    path: Path,
    parts: Sequence[Part],
    should_stop: Callable[[], bool],
) -> Iterator[list[Path]]:
    """The parts of a file, in its work directory, which nobody else touches meanwhile. What an
    earlier try has cut is used again.

    Cuts fall on the same key frames each time, so a session that was begun fits the new file.
    There may be a part fewer than planned, when the last cut would come after the last one.

    Raises:
        Locked: another process works in the directory.
        VodtenderError: `no_room` on the disk.
        Transient: ffmpeg failed.
        Stopped: asked to stop.
    """
    directory = place.directory.work(vod.twitch_vod_id)
    with occupied(directory):
        cut = directory / f"parts-{(vod.file_sha256 or '')[:16]}-{len(parts)}"
        if not cut.is_dir():
            _need_room(place, path)
            with _made_whole(cut) as cutting:
                starts = [part.start_seconds for part in parts[1:]]
                _check(vod, ffmpeg.split(ffmpeg.find(), path, starts, cutting, should_stop))
        yield sorted(cut.iterdir(), key=lambda file: int(file.stem))


@contextmanager
def _made_whole(target: Path) -> Iterator[Path]:
    """A directory that gets its name when it is complete. Until then it has one of its own: the
    ffmpeg of a process that was killed may go on for a while."""
    making = target.with_name(f"cutting-{uuid4().hex}")
    making.mkdir()
    try:
        yield making
        making.rename(target)
    except BaseException:
        shutil.rmtree(making, ignore_errors=True)
        raise


def _need_room(place: Workplace, path: Path) -> None:
    free_bytes = place.directory.room().free_bytes
    needed_bytes = path.stat().st_size + place.room.reserve_bytes
    if free_bytes < needed_bytes:
        raise VodtenderError(
            f"cutting the file into parts needs {needed_bytes / 1e9:.1f} GB on the disk of "
            f"{place.directory.root}, and {free_bytes / 1e9:.1f} GB are free",
            code="no_room",
        )


def _check(vod: Vod, made: Sequence[Path]) -> None:
    seconds = sum(ffmpeg.duration_seconds(part) for part in made)
    if vod.file_seconds is not None and seconds < vod.file_seconds - _TOLERANCE_SECONDS:
        raise Transient(
            f"the parts of the file play for {seconds:.0f} s together instead of "
            f"{vod.file_seconds:.0f} s",
            code="mux_failed",
        )
