"""A VOD's way from Twitch to the disk."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from vodtender import log, metrics
from vodtender.clients.ytdlp.process import (
    FetchedVod,
    FetchProgress,
    FetchRequest,
    StillRecording,
    fetch,
)
from vodtender.errors import Locked, Rejected, VodtenderError
from vodtender.model.outcome import (
    Adopted,
    Failed,
    Fetched,
    Missing,
    OnYouTube,
    Outcome,
    Recording,
)
from vodtender.model.vod import FileRecord, Vod
from vodtender.pipeline.archive_shelf import known_copy
from vodtender.pipeline.claimed_vod import ClaimedVod
from vodtender.pipeline.prune import discard_idle
from vodtender.pipeline.published import published_video
from vodtender.pipeline.work import Lane, Result
from vodtender.pipeline.workplace import Workplace
from vodtender.store import claims, queue, vods
from vodtender.store.claims import Progress

_COPIES = 2
"""While a file is put together its segments are there, too."""
_log = log.get("download")


def download(place: Workplace, claimed: ClaimedVod) -> Result:
    """Fetches one VOD, unless YouTube or the disk has it already."""
    found = _spared(place, claimed)
    if found is not None:
        return Result(found)
    metrics.downloads_started.inc()
    began = time.monotonic()
    _log.info("download started", vod=claimed.vod.twitch_vod_id, channel=claimed.vod.channel)
    watch = _Watch(claimed)
    try:
        with place.bandwidth.used():
            fetched = fetch(
                _request(place, claimed.vod),
                on_progress=watch.note,
                should_stop=claimed.should_stop,
                on_log=lambda level, text: _child_says(claimed.vod, level, text),
            )
    except VodtenderError as error:
        return Result(_failed(place, claimed.vod, error, watch))
    if isinstance(fetched, StillRecording):
        return Result(Recording())
    place.room.fitted(claimed.vod)
    _learn_names(place, claimed, fetched)
    metrics.downloads_succeeded.inc()
    metrics.download_seconds.observe(time.monotonic() - began)
    return _fetched(place, claimed.vod, fetched)


LANE = Lane("download", "download", queue.DOWNLOADS, guarded=True, work=download)


def _spared(place: Workplace, claimed: ClaimedVod) -> Outcome | None:
    """What makes a download needless: the video on YouTube, or the file on the disk."""
    vod = claimed.vod
    if vod.recheck or vod.video_id is not None:
        video_id = published_video(place, claimed)
        if video_id is not None:
            return OnYouTube(video_id)
    if vod.recheck and place.directory.holds(vod):
        path = place.directory.file_of(vod)
        if place.intact.why_not(path, vod, claimed.should_stop) is None:
            return Adopted()
    if vod.recheck and known_copy(place.database, vod) is not None:
        return Adopted()  # its upload fetches it
    return None


def _request(place: Workplace, vod: Vod) -> FetchRequest:
    settings = place.settings
    return FetchRequest(
        vod_id=vod.twitch_vod_id,
        work_directory=place.directory.work(vod.twitch_vod_id),
        concurrency=settings.download_segment_concurrency,
        rate_limit=lambda: place.bandwidth.share(settings.download_rate_limit),
        max_size_bytes=settings.download_max_size,
        timeout=settings.download_timeout,
        stall_timeout=settings.download_stall_timeout,
        cookies_path=settings.ytdlp_cookies_path,
        extra_args=settings.ytdlp_args,
        verbose=settings.ytdlp_verbose,
        allow_gaps=vod.allow_gaps,
        reserve_bytes=place.room.reserve_bytes,
    )


@dataclass(slots=True)
class _Watch:
    """Turns the child's progress into what `status` shows."""

    claimed: ClaimedVod
    last: FetchProgress | None = None

    def note(self, progress: FetchProgress) -> None:
        self.last = progress
        self.claimed.report(
            Progress(
                "download",
                progress.phase,
                progress.bytes_done,
                progress.bytes_estimated,
                progress.bytes_per_second,
            )
        )


def _failed(place: Workplace, vod: Vod, error: VodtenderError, watch: _Watch) -> Outcome:
    if isinstance(error, Rejected) and error.code == "vod_missing":
        return Missing(error.message, confirmed=place.is_gone(vod.twitch_vod_id))
    if error.code == "disk_full":
        estimated = watch.last.bytes_estimated if watch.last else None
        place.room.did_not_fit(vod, _COPIES * (estimated or 0))
        _log.warning("the disk is full; the VOD waits for room", vod=vod.twitch_vod_id)
        make_room(place, vod.twitch_vod_id)
    elif not isinstance(error, Locked) and error.code not in ("stopped", "work_directory_busy"):
        metrics.downloads_failed.inc()
    return Failed(error)


def make_room(place: Workplace, except_for: str) -> None:
    """The disk is full: half downloads of other VODs that nobody works on are given up."""
    others = [path for path in place.directory.works() if path.name != except_for]
    for path in discard_idle(place.database, place.directory, others):
        _log.warning("partial download given up, the disk is full", vod=path.name)


def _fetched(place: Workplace, vod: Vod, fetched: FetchedVod) -> Result:
    named = replace(vod, title=vod.title or fetched.title)
    target = place.directory.target(named)
    file = FileRecord(
        path=str(target),
        directory_id=place.directory.id,
        size_bytes=fetched.size_bytes,
        sha256=fetched.sha256,
        crc32=fetched.crc32,
        seconds=fetched.duration_seconds,
        muted_segments=fetched.muted_segments,
        gaps=fetched.gaps,
    )
    if fetched.muted_segments:
        _log.info("Twitch muted parts", vod=vod.twitch_vod_id, segments=fetched.muted_segments)
    return Result(
        Fetched(file),
        place_file=lambda: place.directory.place(fetched.path, named),
        afterwards=lambda: _placed(place, vod, target, fetched.sha256),
    )


def _placed(place: Workplace, vod: Vod, target: Path, sha256: str) -> None:
    with suppress(OSError):
        place.intact.trust(target, sha256)
    place.drop_work(vod)


def _learn_names(place: Workplace, claimed: ClaimedVod, fetched: FetchedVod) -> None:
    """A VOD that was added by its number has neither title nor channel yet."""
    vod = claimed.vod
    if vod.channel and vod.title and vod.date:
        return
    with place.database.transaction() as connection:
        claims.lock(connection, claimed.claim)
        vods.describe(
            connection,
            vod,
            channel=(fetched.uploader_id or "").lower(),
            title=fetched.title,
            date=fetched.started_at,
            duration_seconds=round(fetched.length_seconds or fetched.duration_seconds),
        )


def _child_says(vod: Vod, level: str, text: str) -> None:
    speaker = log.get("yt-dlp").bind(vod=vod.twitch_vod_id)
    say = {"debug": speaker.debug, "warning": speaker.warning, "error": speaker.error}
    say.get(level, speaker.info)(f"yt-dlp: {text}")
