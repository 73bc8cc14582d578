"""The child's main work: one VOD, from its number to a verified MP4 in the work directory."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from vodtender.clients import ffmpeg
from vodtender.clients.ytdlp import answers
from vodtender.clients.ytdlp.extraction import FoundVod, Twitch
from vodtender.clients.ytdlp.inits import Inits
from vodtender.clients.ytdlp.mux import MUX_PATTERN, Muxer
from vodtender.clients.ytdlp.piece import PieceFetcher
from vodtender.clients.ytdlp.pool import Gone, SegmentPool
from vodtender.clients.ytdlp.rate import RateLimit
from vodtender.clients.ytdlp.timestamps import with_jumps
from vodtender.clients.ytdlp.verifying import Made, verified
from vodtender.clients.ytdlp.wire import Speaker
from vodtender.clients.ytdlp.workdir import Stored, WorkDirectory
from vodtender.errors import Rejected, Transient, VodtenderError
from vodtender.model import completeness
from vodtender.model.discovery import LONE_WITNESS_DOUBTED_AFTER
from vodtender.model.playlist import MediaPlaylist, Segment

_BEAT_SECONDS = 0.5
_GAPS_NAMED = 10
_MOST_JUMPS = 1000
"""Each costs ffmpeg a pipe."""
_ROOM_SAMPLE_SEGMENTS = 8
_MOST_ROUNDS = 3
"""A VOD that has grown so often while it came down is still being recorded."""


class _StillRecording(Exception):  # noqa: N818 - an outcome, not a failure
    """Twitch goes on recording this VOD."""


class _GapFound(Exception):  # noqa: N818
    """The muxer met a segment that is gone: there is no point in going on with this file."""


@dataclass
class Fetch:
    """One fetch, from start to end. `request` is the parent's, as it came over the pipe."""

    request: dict[str, Any]
    speaker: Speaker
    rate_limit: RateLimit
    phase: str = "extracting"
    _received_bytes: int = 0
    _kept_bytes: int = 0
    _counting: threading.Lock = field(default_factory=threading.Lock)
    _pool: SegmentPool | None = None
    _muxer: Muxer | None = None
    _total: int = 0
    _guess_bytes: int | None = None

    def run(self) -> None:
        """Says exactly one `result` or raises an answer."""
        self._directory = WorkDirectory(Path(self.request["work_directory"]))
        with self._beating():
            try:
                record = self._finished() or self._fetch()
            except _StillRecording:
                self._directory.drop_leftovers()
                record = None
            except BaseException:
                self._directory.drop_leftovers()
                raise
        if record is None:
            self.speaker.result("still_recording")
        else:
            self.speaker.result("fetched", **record)

    def _finished(self) -> dict[str, Any] | None:
        """What an earlier fetch has finished, if nobody has taken it from here."""
        self.phase = "verifying"
        record = self._directory.finished()
        self.phase = "extracting"
        return record

    def _fetch(self) -> dict[str, Any]:
        self._binary = ffmpeg.find()
        self._twitch = open_twitch(self.request, self.speaker)
        found = self._find()
        for _ in range(_MOST_ROUNDS):
            made = self._made(*found)
            grown = self._grown(made)
            if grown is None:
                self.phase = "verifying"
                record = verified(self._binary, made)
                self._directory.finish(made.path, record)
                return record
            made.path.unlink()
            found = grown
        raise _StillRecording

    def _made(self, vod: FoundVod, playlist: MediaPlaylist) -> Made:
        if self.request["max_size_bytes"] is not None:
            self._warn_of_size(vod, playlist)
        self._check_length(vod, playlist)
        self.phase = "fetching"
        made = self._made_of(vod, playlist, self._make(vod, playlist))
        if playlist.segments[0].init_url is None and made.lasts_otherwise():
            made = self._remade(made)
        return made

    def _grown(self, made: Made) -> tuple[FoundVod, MediaPlaylist] | None:
        """What Twitch shows by now, if that is longer: a stream that had dropped may have gone
        on in the same VOD. One that cannot be looked at, or is gone, is as it was."""
        try:
            vod, playlist = self._find()
        except VodtenderError as error:
            self.speaker.log("debug", f"No second look at the VOD: {error.message}")
            return None
        seconds = made.playlist.total_seconds
        if playlist.total_seconds - seconds <= completeness.allowed_shortfall_seconds(seconds):
            return None
        self.speaker.log(
            "info",
            f"The VOD has grown from {seconds:.0f} s to {playlist.total_seconds:.0f} s while it "
            "came down: what is new is fetched, too.",
        )
        return vod, playlist

    # --- finding ----------------------------------------------------------------------

    def _find(self) -> tuple[FoundVod, MediaPlaylist]:
        vod = self._twitch.vod(self.request["vod_id"])
        playlist = self._twitch.media_playlist(vod)
        if not playlist.ended or (vod.is_live and not _long_over(vod, datetime.now(UTC))):
            raise _StillRecording
        if playlist.encrypted:
            raise Rejected("The VOD's segments are encrypted.", code="encrypted")
        self._total = len(playlist.segments)
        if vod.bits_per_second:
            self._guess_bytes = round(vod.bits_per_second / 8 * playlist.total_seconds)
        return vod, playlist

    def _warn_of_size(self, vod: FoundVod, playlist: MediaPlaylist) -> None:
        """Twitch's BANDWIDTH is a rough figure: it is logged, the segments themselves decide."""
        largest = int(self.request["max_size_bytes"])
        if self._guess_bytes is not None and self._guess_bytes > largest:
            self.speaker.log(
                "warning",
                f"By Twitch's bandwidth figure, format {vod.format_id} has {self._guess_bytes} "
                f"bytes in {playlist.total_seconds:.0f} s, more than the {largest} allowed.",
            )

    def _check_length(self, vod: FoundVod, playlist: MediaPlaylist) -> None:
        verdict = completeness.judge_playlist(playlist.total_seconds, vod.length_seconds)
        if not verdict.complete and not self.request["allow_gaps"]:
            raise Transient(
                verdict.explanation,
                hint=f"vodtender retry {self.request['vod_id']} --allow-gaps   (takes it as it is)",
                code=verdict.code,
            )

    # --- fetching and putting together ------------------------------------------------

    def _make(self, vod: FoundVod, playlist: MediaPlaylist) -> Path:
        fetcher = PieceFetcher(
            self._twitch.open,
            vod.headers,
            self._directory,
            self.rate_limit,
            self._count,
        )
        self._pool = SegmentPool(
            playlist,
            self._directory,
            fetcher,
            self._renew,
            self._count_kept,
            concurrency=self.request["concurrency"],
            max_size_bytes=self.request["max_size_bytes"],
            takes_gaps=self.request["allow_gaps"],
        )
        self._inits = Inits(self._directory, fetcher)
        self._muxer = self._new_muxer()
        self._pool.start()
        try:
            # With gaps it must be known beforehand which: a run that is gone whole has no pipe.
            gaps = self._pool.gone() if self.request["allow_gaps"] else []
            made = self._muxer.make(playlist.segments, {gap.segment.index for gap in gaps})
        except _GapFound:
            raise _segments_gone(self._pool.gone(), self.request["vod_id"]) from None
        except OSError as error:
            raise answers.meaning(error, has_cookies=self._twitch.has_cookies) from error
        finally:
            self._pool.fail(_GapFound())  # nobody waits any more
        return made

    def _new_muxer(self) -> Muxer:
        return Muxer(self._binary, self._directory.path, self._piece_of, self._inits.of)

    def _made_of(self, vod: FoundVod, playlist: MediaPlaylist, path: Path) -> Made:
        assert self._pool is not None
        assert self._muxer is not None
        return Made(
            path,
            vod,
            playlist,
            self._pool.wait_for_all(),
            self._muxer.fed_segments,
            self.request["allow_gaps"],
        )

    def _remade(self, made: Made) -> Made:
        """The same, put together with the jumps that its segments' own clocks show."""
        outcomes = zip(made.playlist.segments, made.outcomes, strict=True)
        stored = [(one, o) for one, o in outcomes if isinstance(o, Stored)]
        marked = list(with_jumps((one, self._directory.path / o.name) for one, o in stored))
        jumps = sum(segment.discontinuity for segment in marked)
        if marked == [segment for segment, _ in stored] or jumps > _MOST_JUMPS:
            return made
        self.speaker.log("info", f"The VOD's timestamps jump {jumps} times: put together again.")
        made.path.unlink()
        self.phase = "muxing"
        self._muxer = self._new_muxer()
        return self._made_of(made.vod, made.playlist, self._muxer.make(marked))

    def _piece_of(self, segment: Segment) -> Path:
        assert self._pool is not None
        outcome = self._pool.wait_for(segment.index)
        if isinstance(outcome, Gone):
            raise _GapFound
        return self._directory.path / outcome.name

    def _renew(self) -> MediaPlaylist:
        return self._find()[1]

    def _count(self, size_bytes: int) -> None:
        with self._counting:
            self._received_bytes += size_bytes

    def _count_kept(self, size_bytes: int) -> None:
        with self._counting:
            self._kept_bytes += size_bytes

    # --- telling the parent -----------------------------------------------------------

    @contextmanager
    def _beating(self) -> Iterator[None]:
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(_BEAT_SECONDS):
                self._beat()

        thread = threading.Thread(target=beat, name="progress", daemon=True)
        self._beat()
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            self._beat()  # what is known in the end, after a failure too

    def _beat(self) -> None:
        pool, muxer = self._pool, self._muxer
        estimated = (pool.estimated_bytes() if pool else None) or self._guess_bytes
        done = pool.segments_done if pool else 0
        if self.phase == "fetching" and self._total and done == self._total:
            self.phase = "muxing"
        fed = muxer.fed_bytes if muxer else 0
        self.speaker.progress(
            self.phase,
            bytes_done=max(0, self._received_bytes) + self._kept_bytes,
            bytes_kept=self._kept_bytes,
            bytes_estimated=estimated,
            segments_done=done,
            segments_total=self._total,
            work=fed + self._size_of_output(),
        )
        if pool is not None and self.phase == "fetching":
            self._check_room(pool, fed)

    def _size_of_output(self) -> int:
        size = 0
        for path in self._directory.path.glob(MUX_PATTERN):
            try:
                size += path.stat().st_size
            except FileNotFoundError:
                continue
        return size

    def _check_room(self, pool: SegmentPool, fed: int) -> None:
        """Fail early when what is to come will not fit beside the reserve."""
        reserve, estimated = self.request["reserve_bytes"], pool.estimated_bytes()
        enough = min(_ROOM_SAMPLE_SEGMENTS, self._total)
        if reserve is None or estimated is None or pool.segments_done < enough:
            return
        needed = max(0, estimated - pool.stored_bytes) + max(0, estimated - fed)
        if shutil.disk_usage(self._directory.path).free < needed + reserve:
            pool.fail(answers.disk_full())


def _long_over(vod: FoundVod, now: datetime) -> bool:
    """Whether its end lies so far back that a picture's placeholder is no sign of life."""
    if vod.timestamp is None or not vod.length_seconds:
        return False
    ended = datetime.fromtimestamp(vod.timestamp, UTC) + timedelta(seconds=vod.length_seconds)
    return now - ended >= LONE_WITNESS_DOUBTED_AFTER


def open_twitch(request: dict[str, Any], speaker: Speaker) -> Twitch:
    """yt-dlp as the request wants it."""
    cookies = request["cookies_path"]
    return Twitch(
        cookies_path=None if cookies is None else Path(cookies),
        extra_args=request["extra_args"],
        verbose=request["verbose"],
        log=speaker.log,
    )


def _segments_gone(gaps: list[Gone], vod_id: str) -> VodtenderError:
    named = "; ".join(str(gap) for gap in gaps[:_GAPS_NAMED])
    more = f"; and {len(gaps) - _GAPS_NAMED} more" if len(gaps) > _GAPS_NAMED else ""
    seconds = sum(gap.segment.duration_seconds for gap in gaps)
    return Rejected(
        f"Twitch does not hand out {len(gaps)} of the VOD's segments any more ({seconds:.0f} s): "
        f"{named}{more}.",
        hint=f"vodtender retry {vod_id} --allow-gaps   (keeps the VOD without them)",
        code="segments_gone",
    )
