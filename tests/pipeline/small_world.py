"""The world as a few dictionaries: YouTube as the pipeline's client of it tells, and Twitch.

For tests that want thousands of steps. What is real on the wire is proved elsewhere, against
the sandbox; here it matters in which order things happen and where they are cut off.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

from vodtender.clients.ytdlp.process import FetchedVod
from vodtender.errors import (
    AuthExpired,
    RateLimited,
    Rejected,
    Stopped,
    Transient,
    Uncertain,
)
from vodtender.model.outcome import Failed, Interrupted, Missing, Recording
from vodtender.model.video_metadata import VideoMetadata
from vodtender.model.youtube_answers import (
    SessionAt,
    SessionDone,
    SessionGone,
    SessionState,
    VideoStatus,
)
from vodtender.pipeline import download
from vodtender.pipeline.claimed_vod import ClaimedVod
from vodtender.pipeline.token_box import TokenBox
from vodtender.pipeline.work import Result
from vodtender.pipeline.workplace import Workplace
from vodtender.store.database import Connection

ACCOUNT = "default"
LONGEST_HIDDEN = timedelta(minutes=50)
"""A fresh video can be missing in every list for so long: less than UPLOAD_ABSENCE_WAIT."""


class Crash(BaseException):
    """The process is gone at this very moment."""


@dataclass(slots=True)
class Video:
    """One video. `shows` when YouTube lists it, and answers questions about it."""

    id: str
    marker: str
    sha256: str
    status: str = "uploaded"
    shows: datetime = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Session:
    """One upload session. `sha256` is of whatever was sent into it, in pieces perhaps."""

    marker: str
    size: int
    received: bytes = b""
    video_id: str | None = None
    is_gone: bool = False


@dataclass(slots=True)
class Script:
    """What happens at the next requests, and in between: faults by name, events as functions."""

    steps: list[str | Callable[[], None]] = field(default_factory=list)

    def next(self) -> str:
        """What goes wrong now; events on the way happen first."""
        while self.steps and callable(self.steps[0]):
            event = self.steps.pop(0)
            assert callable(event)
            event()
        fault = self.steps.pop(0) if self.steps else "ok"
        assert isinstance(fault, str)
        return fault


class SmallYouTube:
    """One account's YouTube, as `clients.youtube.api.YouTube` answers for it."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.videos: dict[str, Video] = {}
        self.sessions: dict[str, Session] = {}
        self.hide = timedelta(0)
        self.whole_files: set[str] = set()
        """Checksums of all that ever was a whole file."""
        self.offences: list[str] = []
        """What must never happen: a VOD uploaded twice, or in bits and pieces."""
        self._numbers = count(1)

    # --- uploads ------------------------------------------------------------------------

    def open_session(self, metadata: VideoMetadata, size_bytes: int, _mime: str) -> str:
        fault = self.script.next()
        _fail_before(fault)
        uri = f"https://upload.example/{next(self._numbers)}"
        self.sessions[uri] = Session(metadata.marker, size_bytes)
        _fail_after(fault, may_take_effect=False)
        return uri

    def ask_session(self, uri: str, _size_bytes: int) -> SessionState:
        _fail_before(self.script.next())
        session = self.sessions[uri]
        if session.is_gone:
            return SessionGone()
        if session.video_id is not None:
            return SessionDone(session.video_id)
        return SessionAt(len(session.received))

    def send(
        self,
        uri: str,
        path: Path,
        size_bytes: int,
        start: int,
        *,
        on_progress: Callable[[int], None],
        on_last: Callable[[], None],
        should_stop: Callable[[], bool],
        **_more: Any,
    ) -> str:
        session, content = self.sessions[uri], path.read_bytes()
        assert start == len(session.received), "it goes on where YouTube is"
        assert len(content) == size_bytes == session.size
        fault = self.script.next()
        if session.is_gone:
            raise Transient("the session has expired", code="session_gone")
        if should_stop() or fault == "stop":
            raise Stopped("stopped")
        middle = max(start, size_bytes // 2)
        session.received += content[start:middle]
        on_progress(middle)
        if fault == "gone":
            session.is_gone = True
            raise Transient("the session has expired", code="session_gone")
        _fail_before(fault)
        last = self.script.next()
        on_last()
        if should_stop():
            raise Stopped("stopped")
        _fail_before(last)
        session.received += content[middle:]
        session.video_id = self._publish(session)
        _fail_after(last, may_take_effect=True)
        return session.video_id

    def _publish(self, session: Session) -> str:
        video = Video(f"video{next(self._numbers)}", session.marker, _sha256(session.received))
        video.shows = datetime.now(UTC) + self.hide
        earlier = [one for one in self.videos.values() if one.marker == video.marker]
        self.videos[video.id] = video
        if any(one.status in ("uploaded", "processed") for one in earlier):
            self.offences.append(f"uploaded twice: {video}, {earlier}")
        if video.sha256 not in self.whole_files:
            self.offences.append(f"no whole file: {video}")
        return video.id

    # --- videos -------------------------------------------------------------------------

    def video_status(self, video_id: str) -> VideoStatus | None:
        _fail_before(self.script.next())
        video = self.videos.get(video_id)
        if video is None or video.shows > datetime.now(UTC):
            return None
        return VideoStatus(video_id, video.status)

    def find_uploads(self, marker: str, _not_before: datetime, _pages: int) -> Iterator[str]:
        _fail_before(self.script.next())
        now = datetime.now(UTC)
        found = [v.id for v in self.videos.values() if v.marker == marker and v.shows <= now]
        yield from reversed(found)

    # --- what others do -----------------------------------------------------------------

    def process(self, status: str) -> None:
        """YouTube has done with all that it has."""
        for video in self.videos.values():
            if video.status == "uploaded":
                video.status = status

    def of(self, marker: str) -> list[Video]:
        """The videos of a VOD that count."""
        return [
            video
            for video in self.videos.values()
            if video.marker == marker and video.status in ("uploaded", "processed")
        ]

    def expire_sessions(self) -> None:
        """Google forgets sessions after a week, or earlier; those that ended in a video, too."""
        for session in self.sessions.values():
            session.is_gone = True

    def pass_time(self, time: timedelta) -> None:
        for video in self.videos.values():
            video.shows -= time


class SmallAccounts:
    """The one account that there is."""

    def __init__(self, youtube: SmallYouTube, box: TokenBox) -> None:
        self._youtube = youtube
        self.box = box

    def name_for(self, _channel: str) -> str:
        return ACCOUNT

    def uploads_wanted(self, _connection: Connection) -> bool:
        return True

    def project(self, _connection: Connection, _account: str) -> str:
        return "123"

    def youtube(self, _account: str) -> SmallYouTube:
        return self._youtube


class SmallTwitch:
    """Every VOD can be had, unless the script says something else."""

    def __init__(self, script: Script, whole_files: set[str]) -> None:
        self.script = script
        self._whole_files = whole_files
        self._fetched = count(1)

    def fetch(self, place: Workplace, claimed: ClaimedVod) -> Result:
        """The download lane's work, but for fetching itself."""
        spared = download._spared(place, claimed)
        if spared is not None:
            return Result(spared)
        fault = self.script.next()
        if claimed.should_stop():
            raise Stopped("stopped")
        match fault:
            case "recording":
                return Result(Recording())
            case "missing" | "gone":
                confirmed = True if fault == "gone" else None
                return Result(Missing("no such video", confirmed=confirmed))
            case "full":
                return Result(Failed(Transient("no room", code="disk_full")))
            case "stop":
                return Result(Interrupted())
        _fail_before(fault)
        result = download._fetched(place, claimed.vod, self._write(place, claimed))
        placing = result.place_file
        assert placing is not None

        def place_it() -> Path:
            placed = placing()
            if fault == "crash after":
                raise Crash
            return placed

        return Result(result.outcome, place_it, result.afterwards)

    def _write(self, place: Workplace, claimed: ClaimedVod) -> FetchedVod:
        """Twitch may give other bytes each time: muted since, or muxed anew."""
        content = f"{claimed.vod.twitch_vod_id} {next(self._fetched) // 2}".encode()
        path = place.directory.work(claimed.vod.twitch_vod_id) / "whole.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        self._whole_files.add(_sha256(content))
        return FetchedVod(
            path=path,
            size_bytes=len(content),
            sha256=_sha256(content),
            crc32=zlib.crc32(content),
            duration_seconds=60.0,
            segments=1,
            muted_segments=0,
            gaps=(),
            playlist_seconds=60.0,
            title=claimed.vod.title,
            description=None,
            started_at=None,
            length_seconds=60.0,
            uploader=None,
            uploader_id=None,
            format_id="",
        )


FAULTS = (
    "ok",
    "transient",
    "limited",
    "quota",
    "login",
    "rejected",
    "uncertain",
    "stop",
    "gone",
    "missing",
    "recording",
    "full",
    "crash",
    "crash after",
    "lost",
)
"""What can go wrong with a request, before it takes effect or after; what makes no sense for
one is none."""


def _fail_before(fault: str) -> None:
    match fault:
        case "transient" | "missing" | "recording" | "full":
            raise Transient("503", code="server_error")
        case "limited":
            raise RateLimited("slower", until=datetime.now(UTC) + timedelta(seconds=30))
        case "quota":
            until = datetime.now(UTC) + timedelta(hours=3)
            raise RateLimited("used up", until=until, code="quota")
        case "login":
            raise AuthExpired("the token is dead")
        case "rejected":
            raise Rejected("refused for good")
        case "uncertain":
            raise Uncertain("who knows")
        case "crash":
            raise Crash


def _fail_after(fault: str, *, may_take_effect: bool) -> None:
    if fault == "crash after":
        raise Crash
    if fault == "lost":
        raise Uncertain("the answer is lost") if may_take_effect else Transient("lost")


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
