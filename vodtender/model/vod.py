"""A VOD as the archive knows it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

URL = "https://www.twitch.tv/videos/{}"


TO_DOWNLOAD = ("queued", "retrying", "downloading")
"""States of a VOD that can be downloaded: neither live nor failed for good."""
TO_UPLOAD = ("downloaded", "held", "uploading", "finalizing")
"""States of a VOD that is on disk and on its way to YouTube."""


class Stage(StrEnum):
    """Where a VOD is on its way. Each is claimed by one worker at a time or by nobody."""

    LIVE = "live"
    """Still being recorded by Twitch, or not settled yet."""
    QUEUED = "queued"
    DOWNLOADING = "downloading"
    DOWNLOADED = "downloaded"
    UPLOADING = "uploading"
    """An upload session is open; what YouTube holds is asked before anything is sent."""
    FINALIZING = "finalizing"
    """The upload may have taken effect. Settled by asking, never by trying again."""
    VERIFYING = "verifying"
    """YouTube has the video and processes it."""
    PUBLISHED = "published"
    FAILED = "failed"
    SKIPPED = "skipped"

    @property
    def wants_download(self) -> bool:
        """Whether the file is still to come."""
        return self in (Stage.LIVE, Stage.QUEUED, Stage.DOWNLOADING)

    @property
    def wants_upload(self) -> bool:
        """Whether YouTube has the next word."""
        return self in (Stage.DOWNLOADED, Stage.UPLOADING, Stage.FINALIZING, Stage.VERIFYING)


STATES = (
    "live",
    "queued",
    "retrying",
    "downloading",
    "downloaded",
    "held",
    "kept",
    "uploading",
    "finalizing",
    "verifying",
    "published",
    "failed",
    "skipped",
)
"""What operators see of stage and problem, in the order of a VOD's way. The column `state`
says how it follows from them."""


class Waiting(StrEnum):
    """What a VOD waits for until its next try."""

    RECORDING = "recording"
    BACKOFF = "backoff"
    SECOND_LOOK = "second_look"
    PROCESSING = "processing"
    COOLDOWN = "cooldown"
    ABSENCE = "absence"
    QUOTA = "quota"
    LOGIN = "login"
    ARCHIVE = "archive"
    """Its file is on its way from a slow storage class."""

    @property
    def is_short(self) -> bool:
        """Whether `run --drain` waits it out."""
        return self in (Waiting.BACKOFF, Waiting.SECOND_LOOK, Waiting.PROCESSING)


@dataclass(frozen=True, slots=True)
class Standing:
    """The part of a VOD that decisions change."""

    stage: Stage
    problem: str | None = None
    problem_code: str | None = None
    waiting_for: Waiting | None = None
    next_try_at: datetime | None = None
    download_attempts: int = 0
    upload_attempts: int = 0
    polls: int = 0
    missing_since: datetime | None = None
    uncertain_since: datetime | None = None
    video_id: str | None = None
    recheck: bool = False


@dataclass(frozen=True, slots=True)
class FileRecord:
    """A verified file and the directory (by its own id) in which it lies."""

    path: str
    directory_id: str
    size_bytes: int
    sha256: str
    crc32: int
    seconds: float
    muted_segments: int = 0
    gaps: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Vod:
    """One row of `vods`."""

    id: int
    twitch_vod_id: str
    channel: str
    kind: str
    title: str
    description: str | None
    date: datetime | None
    duration_seconds: int | None
    stream_id: str | None
    vanishes_at: datetime | None
    priority: int
    skip_upload: bool
    allow_gaps: bool
    processed: bool
    download_state: str
    youtube_url: str | None
    processing_error: str | None
    downloaded_path: str | None
    created_at: datetime
    updated_at: datetime
    stage: Stage
    state: str
    problem: str | None
    problem_code: str | None
    video_id: str | None
    recheck: bool
    download_attempts: int
    upload_attempts: int
    polls: int
    next_try_at: datetime | None
    waiting_for: Waiting | None
    missing_since: datetime | None
    uncertain_since: datetime | None
    cancel_reason: str | None
    worker_id: str | None
    claim: int
    lease_expires_at: datetime | None = None
    directory_id: str | None
    file_size_bytes: int | None
    file_sha256: str | None
    file_crc32: int | None
    file_seconds: float | None
    muted_segments: int | None
    gaps: tuple[str, ...]
    downloaded_at: datetime | None
    file_removed_at: datetime | None
    published_at: datetime | None

    def __post_init__(self) -> None:
        object.__setattr__(self, "stage", Stage(self.stage))
        object.__setattr__(self, "gaps", tuple(self.gaps))
        if self.waiting_for is not None:
            object.__setattr__(self, "waiting_for", Waiting(self.waiting_for))

    def is_in_work(self, now: datetime) -> bool:
        """Whether a worker has it in hand, by the database's clock."""
        return self.lease_expires_at is not None and self.lease_expires_at > now

    @property
    def url(self) -> str:
        """Its page at Twitch."""
        return URL.format(self.twitch_vod_id)

    @property
    def standing(self) -> Standing:
        """What decisions change."""
        return Standing(
            stage=self.stage,
            problem=self.problem,
            problem_code=self.problem_code,
            waiting_for=self.waiting_for,
            next_try_at=self.next_try_at,
            download_attempts=self.download_attempts,
            upload_attempts=self.upload_attempts,
            polls=self.polls,
            missing_since=self.missing_since,
            uncertain_since=self.uncertain_since,
            video_id=self.video_id,
            recheck=self.recheck,
        )
