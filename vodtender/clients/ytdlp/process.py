"""The parent's side of the yt-dlp child: start it, listen to it, end it.

Each call runs one child in a session of its own, so that it and its ffmpeg are one process
group, which is dead when the call returns, however it returns.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from vodtender.clients.ytdlp.running import Child, Log, Watch
from vodtender.clients.ytdlp.workdir import VIDEO_NAME
from vodtender.errors import Transient
from vodtender.model.discovery import (
    KINDS,
    Kind,
    ListedVod,
    LiveStream,
    live_by_thumbnail,
)

_LISTING_TIMEOUT = timedelta(minutes=10)
_PROBE_TIMEOUT = timedelta(minutes=2)
_QUIET = timedelta(minutes=2)
_SPEED_SECONDS = 5.0
NICENESS = 2


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """What to fetch, where to, and within which limits.

    `work_directory` belongs to this VOD alone and survives failures: the next fetch goes on
    from what is in it. At its fullest it holds the VOD twice (segments and MP4). `timeout` is for
    the whole fetch, `stall_timeout` for the time without any progress. With `allow_gaps` the
    operator accepts segments that are gone and a playlist that is too short. With
    `reserve_bytes` the fetch ends early (code `disk_full`) when the VOD would not leave so much
    free. `rate_limit` is asked for bytes per second as long as the fetch lasts.
    """

    vod_id: str
    work_directory: Path
    concurrency: int
    rate_limit: Callable[[], int | None] | None
    max_size_bytes: int | None
    timeout: timedelta | None
    stall_timeout: timedelta
    cookies_path: Path | None
    extra_args: tuple[str, ...]
    verbose: bool
    allow_gaps: bool
    reserve_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class FetchProgress:
    """How far a fetch is. `phase`: extracting, fetching, muxing, verifying.

    `bytes_estimated` is the size of all segments, told from those that are there;
    `bytes_per_second` how fast the network brought them in the last few seconds.
    """

    phase: str
    bytes_done: int
    bytes_estimated: int | None
    segments_done: int
    segments_total: int
    bytes_per_second: float


@dataclass(frozen=True, slots=True)
class FetchedVod:
    """A verified MP4 at `path`, in the work directory, to be moved to where it belongs.

    `gaps` are the segments left out, in words, each with its index, time and address;
    `length_seconds` is what Twitch says, `duration_seconds` what the file says.
    """

    path: Path
    size_bytes: int
    sha256: str
    crc32: int
    duration_seconds: float
    segments: int
    muted_segments: int
    gaps: tuple[str, ...]
    playlist_seconds: float
    title: str
    description: str | None
    started_at: datetime | None
    length_seconds: float | None
    uploader: str | None
    uploader_id: str | None
    format_id: str


@dataclass(frozen=True, slots=True)
class StillRecording:
    """Twitch goes on recording this VOD: nothing was fetched."""


@dataclass(frozen=True, slots=True)
class ProbedVod:
    """What one dry extraction found."""

    title: str
    length_seconds: float | None
    is_live: bool
    format_id: str


def fetch(
    request: FetchRequest,
    *,
    on_progress: Callable[[FetchProgress], None],
    should_stop: Callable[[], bool],
    on_log: Log | None = None,
) -> FetchedVod | StillRecording:
    """Fetch one VOD. Blocks; `should_stop` is asked at least twice a second.

    Whatever `on_progress` raises ends the fetch and is raised here.

    Raises:
        Stopped: `should_stop` said so.
        RateLimited: Twitch asks to wait.
        AuthExpired: Twitch refuses the cookies (code `cookies_refused`).
        Rejected: `subscriber_only`, `segments_gone`, `too_large`, `encrypted`; and
            `vod_missing`, which wants a second witness.
        SettingsError: `ytdlp_args`, `format_unsupported`, `cookies_unreadable`,
            `ffmpeg_missing`.
        Locked: another process is at it (code `work_directory_busy`).
        Transient: everything else. Codes to tell apart: `disk_full`, `timeout`, `stalled`,
            `too_short`, `child_failed`.
    """
    watch = Watch(request.timeout, request.stall_timeout, should_stop, request.rate_limit)
    speed = _Speed()
    with Child(fetch_line(request), watch, on_log) as child:
        for line in child.lines():
            if line["type"] == "progress":
                on_progress(_progress(line, speed))
            elif line["type"] == "result":
                return fetch_result(line, request)
        raise _unfinished()


def fetch_line(request: FetchRequest) -> dict[str, Any]:
    """What a child is told to fetch."""
    return {
        "mode": "fetch",
        "vod_id": request.vod_id,
        "work_directory": str(request.work_directory.absolute()),
        "concurrency": request.concurrency,
        "max_size_bytes": request.max_size_bytes,
        "allow_gaps": request.allow_gaps,
        "reserve_bytes": request.reserve_bytes,
        **_common(request.cookies_path, request.extra_args, request.verbose),
    }


def fetch_result(line: dict[str, Any], request: FetchRequest) -> FetchedVod | StillRecording:
    """What a child's `result` line says."""
    if line["result"] == "still_recording":
        return StillRecording()
    return _fetched(line, request.work_directory / VIDEO_NAME)


def list_channel(
    channel: str,
    *,
    kinds: Sequence[Kind],
    limit: int | None = None,
    cookies_path: Path | None = None,
    extra_args: Sequence[str] = (),
    timeout: timedelta = _LISTING_TIMEOUT,
    should_stop: Callable[[], bool] = lambda: False,
    on_log: Log | None = None,
) -> Iterator[ListedVod]:
    """The VODs of a channel, newest first within each of `kinds` (archive, highlight, upload),
    each as soon as it is known.

    `limit` is per kind. Raises as `fetch` does, and Rejected(code="channel_missing").
    """
    asked = {
        "mode": "list",
        "channel": channel,
        "kinds": list(kinds),
        "limit": limit,
        **_common(cookies_path, extra_args, verbose=False),
    }
    with Child(asked, Watch(timeout, _QUIET, should_stop), on_log) as child:
        for line in child.lines():
            if line["type"] == "entry":
                yield _listed(line)
            elif line["type"] == "result":
                return
        raise _unfinished()


def live_stream(
    channel: str,
    *,
    cookies_path: Path | None = None,
    extra_args: Sequence[str] = (),
    timeout: timedelta = _PROBE_TIMEOUT,
    should_stop: Callable[[], bool] = lambda: False,
) -> LiveStream | None:
    """The stream of a channel that is on the air. Raises as `list_channel` does."""
    asked = {
        "mode": "live",
        "channel": channel,
        **_common(cookies_path, extra_args, verbose=False),
    }
    with Child(asked, Watch(timeout, _QUIET, should_stop), None) as child:
        for line in child.lines():
            if line["type"] == "result":
                found = line["stream"]
                return found and LiveStream(found["stream_id"], _time(found["timestamp"]))
        raise _unfinished()


def probe(
    vod_id: str,
    *,
    cookies_path: Path | None,
    extra_args: Sequence[str] = (),
    timeout: timedelta = _PROBE_TIMEOUT,
    should_stop: Callable[[], bool] = lambda: False,
) -> ProbedVod:
    """One dry extraction: may these cookies see this VOD? Raises as `fetch` does."""
    asked = {
        "mode": "probe",
        "vod_id": vod_id,
        **_common(cookies_path, extra_args, verbose=False),
    }
    with Child(asked, Watch(timeout, _QUIET, should_stop), None) as child:
        for line in child.lines():
            if line["type"] == "result":
                return ProbedVod(
                    line["title"], line["length_seconds"], line["is_live"], line["format_id"]
                )
        raise _unfinished()


def check_arguments(extra_args: Sequence[str]) -> None:
    """Whether yt-dlp and vodtender take these. Raises SettingsError (code `ytdlp_args`)."""
    asked = {"mode": "check", **_common(None, extra_args, verbose=False)}
    with Child(asked, Watch(_PROBE_TIMEOUT, _QUIET, lambda: False), None) as child:
        if not any(line["type"] == "result" for line in child.lines()):
            raise _unfinished()


def _common(cookies_path: Path | None, extra_args: Sequence[str], verbose: bool) -> dict[str, Any]:
    return {
        "cookies_path": None if cookies_path is None else str(cookies_path.absolute()),
        "extra_args": list(extra_args),
        "verbose": verbose,
        "niceness": NICENESS,
    }


def _unfinished() -> Transient:
    return Transient("The download's process ended without a result.", code="child_failed")


class _Speed:
    """Bytes a second over the last few seconds."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def after(self, received_bytes: int, now: float) -> float:
        self._seen.append((now, received_bytes))
        while len(self._seen) > 2 and now - self._seen[0][0] > _SPEED_SECONDS:
            self._seen.popleft()
        since, before = self._seen[0]
        return max(0.0, (received_bytes - before) / (now - since)) if now > since else 0.0


def _progress(line: dict[str, Any], speed: _Speed) -> FetchProgress:
    received = line["bytes_done"] - line["bytes_kept"]
    return FetchProgress(
        bytes_per_second=speed.after(received, time.monotonic()),
        phase=line["phase"],
        bytes_done=line["bytes_done"],
        bytes_estimated=line["bytes_estimated"],
        segments_done=line["segments_done"],
        segments_total=line["segments_total"],
    )


def _fetched(line: dict[str, Any], path: Path) -> FetchedVod:
    return FetchedVod(
        path=path,
        size_bytes=line["size_bytes"],
        sha256=line["sha256"],
        crc32=line["crc32"],
        duration_seconds=line["duration_seconds"],
        segments=line["segments"],
        muted_segments=line["muted_segments"],
        gaps=tuple(line["gaps"]),
        playlist_seconds=line["playlist_seconds"],
        title=line["title"],
        description=line["description"],
        started_at=_time(line["timestamp"]),
        length_seconds=line["length_seconds"],
        uploader=line["uploader"],
        uploader_id=line["uploader_id"],
        format_id=line["format_id"],
    )


def _listed(line: dict[str, Any]) -> ListedVod:
    kind = next(known for known in KINDS if known == line["kind"])
    seconds = line["duration_seconds"]
    return ListedVod(
        vod_id=line["id"],
        channel=line["channel"],
        kind=kind,
        title=line["title"] or "",
        url=f"https://www.twitch.tv/videos/{line['id']}",
        started_at=_time(line["timestamp"]),
        duration_seconds=None if seconds is None else round(seconds),
        live=live_by_thumbnail(kind, line["thumbnail"]),
    )


def _time(timestamp: int | None) -> datetime | None:
    return None if timestamp is None else datetime.fromtimestamp(timestamp, UTC)
