"""What YouTube says about an upload and a video, as values the pipeline decides on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SessionAt:
    """An upload session is open and holds this many bytes."""

    received_bytes: int


@dataclass(frozen=True, slots=True)
class SessionDone:
    """The session is complete and became this video."""

    video_id: str


@dataclass(frozen=True, slots=True)
class SessionGone:
    """YouTube no longer knows the session: expired, or finished long ago. Which of the two
    only the channel's uploads can tell."""


SessionState = SessionAt | SessionDone | SessionGone


@dataclass(frozen=True, slots=True)
class VideoStatus:
    """A video as its owner sees it; texts are YouTube's own words, None where it said nothing.

    Source: https://developers.google.com/youtube/v3/docs/videos#status.uploadStatus
    """

    video_id: str
    upload_status: str | None
    failure_reason: str | None = None
    rejection_reason: str | None = None
    privacy: str | None = None
    duration_seconds: float | None = None

    @property
    def is_processed(self) -> bool:
        """Only now may the local file go."""
        return self.upload_status == "processed"

    @property
    def is_refused(self) -> bool:
        """YouTube will never show this video."""
        return self.upload_status in ("failed", "rejected", "deleted")

    @property
    def why_refused(self) -> str | None:
        """`duplicate`, `length`, `copyright` …"""
        return self.rejection_reason or self.failure_reason


@dataclass(frozen=True, slots=True)
class Channel:
    """Whose uploads an account makes."""

    channel_id: str
    title: str
    uploads_playlist_id: str
