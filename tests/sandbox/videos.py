"""One uploaded video, and how YouTube's API shows it.

Source: https://developers.google.com/youtube/v3/docs/videos
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.sandbox import google_errors
from tests.sandbox.accounts import Account
from tests.sandbox.uploads import Session
from tests.sandbox.wire import Request, Response

LONGEST_TITLE = 100
LONGEST_DESCRIPTION_BYTES = 5000
CATEGORIES = {str(n) for n in (1, 2, 10, 15, 17, 19, 20, 22, 23, 24, 25, 26, 27, 28, 29)}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of an upload: `processed`, `rejected` (with a rejectionReason, such as
    `duplicate`, `length`, `copyright`) or `failed` (with a failureReason, such as `codec`,
    `conversion`, `tooSmall`), after so many looks at its status.
    """

    status: str = "processed"
    reason: str | None = None
    polls: int = 1


@dataclass(eq=False)
class Video:
    """An uploaded video."""

    id: str
    account: Account
    metadata: dict[str, Any]
    size_bytes: int
    sha256: str
    head: bytes
    session: Session
    outcome: Outcome
    published_at: datetime
    listed_after: float
    """Monotonic time from which the uploads playlist may show it."""
    polls: int = 0
    list_calls_missed: int = 0
    deleted: bool = False
    path: Path | None = None
    duration_seconds: int = 0
    """What YouTube says; 0 is what it says until it has processed the video."""

    @property
    def title(self) -> str:
        return str(self.metadata.get("snippet", {}).get("title", ""))

    @property
    def description(self) -> str:
        return str(self.metadata.get("snippet", {}).get("description", ""))

    @property
    def privacy(self) -> str:
        return str(self.metadata.get("status", {}).get("privacyStatus", "public"))

    @property
    def url(self) -> str:
        return f"https://www.youtube.com/watch?v={self.id}"

    @property
    def upload_status(self) -> str:
        return self.outcome.status if self.polls > self.outcome.polls else "uploaded"


def metadata_problem(metadata: dict[str, Any]) -> Response | None:
    snippet = metadata.get("snippet", {})
    title = snippet.get("title", "")
    if not title.strip() or len(title) > LONGEST_TITLE or set("<>") & set(title):
        return google_errors.response("invalidTitle")
    description = snippet.get("description", "")
    if len(description.encode()) > LONGEST_DESCRIPTION_BYTES or set("<>") & set(description):
        return google_errors.response("invalidDescription")
    if sum(len(t) + 2 * (" " in t) + 1 for t in snippet.get("tags", [])) > 501:
        return google_errors.response("invalidTags")
    if str(snippet.get("categoryId", "20")) not in CATEGORIES:
        return google_errors.response("invalidCategoryId")
    if metadata.get("status", {}).get("privacyStatus", "private") not in {
        "private",
        "unlisted",
        "public",
    }:
        return google_errors.response("invalidVideoMetadata")
    return None


def listing(kind: str, items: list[dict[str, Any]], more: dict[str, Any] | None = None) -> Response:
    body = {"kind": f"youtube#{kind}ListResponse", "etag": "sandbox", "items": items}
    page = {"pageInfo": {"totalResults": len(items), "resultsPerPage": len(items)}}
    return Response.of_json(body | page | (more or {}))


def parts_of(resource: dict[str, Any], request: Request) -> dict[str, Any]:
    """The parts of a resource that were asked for."""
    wanted = {"kind", "id", "etag", *request.argument("part").split(",")}
    return {name: value for name, value in resource.items() if name in wanted}


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def resource(video: Video, parts: set[str]) -> dict[str, Any]:
    state = video.upload_status
    status = {"privacyStatus": "private", **video.metadata.get("status", {})}
    status["uploadStatus"] = state
    if state in {"failed", "rejected"} and video.outcome.reason:
        name = "failureReason" if state == "failed" else "rejectionReason"
        status[name] = video.outcome.reason
    processing = {"uploaded": "processing", "processed": "succeeded"}.get(state, "failed")
    snippet = {
        "publishedAt": _time(video.published_at),
        "channelId": video.account.channel_id,
        "channelTitle": video.account.channel_title,
        "description": "",
        "categoryId": "20",
        **video.metadata.get("snippet", {}),
    }
    whole: dict[str, Any] = {
        "snippet": snippet,
        "status": status,
        "processingDetails": {"processingStatus": processing},
        "fileDetails": {"fileSize": str(video.size_bytes)},
        "contentDetails": {"duration": f"PT{video.duration_seconds}S", "definition": "sd"},
        "recordingDetails": video.metadata.get("recordingDetails", {}),
    }
    shown = {name: value for name, value in whole.items() if name in parts}
    return {"kind": "youtube#video", "etag": "sandbox", "id": video.id, **shown}


def playlist_item(video: Video, playlist_id: str, place: int) -> dict[str, Any]:
    resource_id = {"kind": "youtube#video", "videoId": video.id}
    snippet = {
        "publishedAt": _time(video.published_at),
        "channelId": video.account.channel_id,
        "title": video.title,
        "description": video.description,
        "channelTitle": video.account.channel_title,
        "playlistId": playlist_id,
        "position": place,
        "resourceId": resource_id,
    }
    details = {"videoId": video.id, "videoPublishedAt": _time(video.published_at)}
    return {
        "kind": "youtube#playlistItem",
        "etag": "sandbox",
        "id": f"{playlist_id}.{video.id}",
        "snippet": snippet,
        "contentDetails": details,
        "status": {"privacyStatus": video.privacy},
    }
