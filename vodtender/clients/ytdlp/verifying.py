"""Is the file that was made the whole VOD, and does it play?"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vodtender.clients import ffmpeg
from vodtender.clients.ytdlp.extraction import FoundVod
from vodtender.clients.ytdlp.pool import Gone, Outcome
from vodtender.clients.ytdlp.workdir import Stored, digests
from vodtender.errors import Transient
from vodtender.model import completeness
from vodtender.model.playlist import MediaPlaylist


@dataclass(frozen=True, slots=True)
class Made:
    """A file, and what went into it. `takes_gaps`: the operator accepts a shorter one."""

    path: Path
    vod: FoundVod
    playlist: MediaPlaylist
    outcomes: Sequence[Outcome]
    fed_segments: int
    takes_gaps: bool

    @property
    def gaps(self) -> list[Gone]:
        return [outcome for outcome in self.outcomes if isinstance(outcome, Gone)]

    @property
    def left_out_seconds(self) -> float:
        return sum(gap.segment.duration_seconds for gap in self.gaps)

    def lasts_otherwise(self) -> bool:
        """Whether it is longer or shorter than its segments. Gaps may be holes in its time.

        Raises Transient when it is not readable.
        """
        longest = self.playlist.total_seconds
        shortest = longest - self.left_out_seconds
        lasts = ffmpeg.duration_seconds(self.path)
        return not (
            shortest - completeness.allowed_shortfall_seconds(shortest)
            <= lasts
            <= longest + completeness.allowed_shortfall_seconds(longest)
        )


def verified(binary: Path, made: Made) -> dict[str, Any]:
    """The record of a file that is on the disk, whole and playable. Raises Transient."""
    with ThreadPoolExecutor(3) as threads:
        written = threads.submit(_sync, made.path)
        digested = threads.submit(digests, made.path)
        played = threads.submit(ffmpeg.play_ends, binary, made.path).result()
        file_seconds = ffmpeg.duration_seconds(made.path)
        written.result()
        _judge(made, file_seconds, played)
        sha256, crc32 = digested.result()
        return _record(made) | {
            "size_bytes": made.path.stat().st_size,
            "sha256": sha256,
            "crc32": crc32,
            "duration_seconds": file_seconds,
        }


def _judge(made: Made, file_seconds: float, played: ffmpeg.Playable) -> None:
    evidence = completeness.Evidence(
        segments_in_playlist=len(made.playlist.segments),
        segments_in_file=made.fed_segments,
        segments_left_out=len(made.gaps),
        playlist_seconds=made.playlist.total_seconds,
        left_out_seconds=made.left_out_seconds,
        file_seconds=file_seconds,
        twitch_seconds=None if made.takes_gaps else made.vod.length_seconds,
    )
    verdict = completeness.judge(evidence)
    if not verdict.complete:
        raise Transient(verdict.explanation, code=verdict.code)
    if not played.plays:
        raise Transient(
            f"The VOD's file does not play at its beginning or end: {played.complaint}",
            code="unplayable",
        )


def _record(made: Made) -> dict[str, Any]:
    stored = [outcome for outcome in made.outcomes if isinstance(outcome, Stored)]
    notes = [str(gap) for gap in made.gaps]
    vod, seconds = made.vod, made.playlist.total_seconds
    length = completeness.judge_playlist(seconds, vod.length_seconds)
    if not length.complete:
        notes.append(length.explanation)
    return {
        "segments": len(stored),
        "muted_segments": sum(piece.muted for piece in stored),
        "gaps": notes,
        "playlist_seconds": seconds,
        "title": vod.title,
        "description": vod.description,
        "timestamp": vod.timestamp,
        "length_seconds": vod.length_seconds,
        "uploader": vod.uploader,
        "uploader_id": vod.uploader_id,
        "format_id": vod.format_id,
    }


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
