"""The YouTube Data API v3, as far as an archive needs it.

Source: https://developers.google.com/youtube/v3/docs
"""

from __future__ import annotations

import hashlib
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.sandbox import google_errors
from tests.sandbox.google import (
    SCOPE_READONLY,
    SCOPE_UPLOAD,
    SCOPE_YOUTUBE,
    AccessToken,
    Account,
    Google,
)
from tests.sandbox.uploads import Session
from tests.sandbox.wire import Host, Request, Response

SCOPE_SSL = "https://www.googleapis.com/auth/youtube.force-ssl"
MAY_WRITE = {SCOPE_YOUTUBE, SCOPE_SSL, "https://www.googleapis.com/auth/youtubepartner"}
MAY_READ = MAY_WRITE | {SCOPE_READONLY}
MAY_UPLOAD = MAY_WRITE | {SCOPE_UPLOAD}
UPLOAD_PATHS = {"/upload/youtube/v3/videos", "/resumable/upload/youtube/v3/videos"}
UNITS = {"list": 1, "insert": 50, "update": 50, "delete": 50}
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


@dataclass(eq=False)
class Playlist:
    id: str
    account: Account
    video_ids: list[str] = field(default_factory=list)


class YouTube:
    """Channels, uploads and playlists of all accounts. Change the settings at any time."""

    def __init__(self, google: Google) -> None:
        self.google = google
        self.outcome = Outcome()
        self.outcomes: list[Outcome] = []
        """What becomes of the next uploads, in order; then `outcome`."""
        self.listing_lag_calls = 0
        """So many listings of the uploads playlist do not show a new video yet."""
        self.listing_lag_seconds = 0.0
        self.listing_hides: set[str] = set()
        """Videos that the uploads playlist never shows."""
        self.quota_units_per_day: int | None = None
        """None: as much as you like."""
        self.upload_cost_units = 1600
        self.upload_limit: int | None = None
        """Uploads per channel until `uploadLimitExceeded`."""
        self.reject_duplicates = False
        self.save_to: Path | None = None
        """Directory that keeps the uploaded files; None: only their sha256 is kept."""
        self.units_used: dict[str, int] = {}
        self.calls: dict[str, int] = {}
        self.sessions: list[Session] = []
        self.playlists: dict[str, Playlist] = {}
        self._videos: dict[str, Video] = {}
        self._lock = threading.RLock()

    def hosts(self) -> dict[str, Host]:
        return {"youtube.googleapis.com": self.answer, "www.googleapis.com": self.answer}

    # --- for tests ------------------------------------------------------------------

    @property
    def videos(self) -> list[Video]:
        """What has been uploaded whole and not deleted, oldest first."""
        with self._lock:
            return [v for v in self._videos.values() if not v.deleted]

    @property
    def complaints(self) -> list[str]:
        """Where a client broke the upload protocol."""
        with self._lock:
            return [text for session in self.sessions for text in session.complaints]

    def add_playlist(self, account: Account, playlist_id: str = "PLsandbox") -> Playlist:
        with self._lock:
            self.playlists[playlist_id] = Playlist(playlist_id, account)
            return self.playlists[playlist_id]

    def expire_sessions(self, status: int = 404) -> None:
        """All unfinished sessions are forgotten."""
        for session in list(self.sessions):
            if not session.complete:
                session.expire(status)

    # --- on the wire ----------------------------------------------------------------

    def answer(self, request: Request) -> Response:
        if request.path in UPLOAD_PATHS:
            return self._upload(request)
        prefix, _, collection = request.path.rpartition("/")
        routes = {
            ("GET", "channels"): ("list", MAY_READ, self._channels),
            ("GET", "playlistItems"): ("list", MAY_READ, self._playlist_items),
            ("POST", "playlistItems"): ("insert", MAY_WRITE, self._add_to_playlist),
            ("GET", "videos"): ("list", MAY_READ, self._list_videos),
            ("PUT", "videos"): ("update", MAY_WRITE, self._update_video),
            ("DELETE", "videos"): ("delete", MAY_WRITE, self._delete_video),
        }
        route = routes.get((request.method, collection))
        if prefix != "/youtube/v3" or route is None:
            return google_errors.response("notFound")
        verb, scopes, act = route
        token = self.google.token(request)
        with self._lock:
            refusal = self._refusal(token, scopes) or self._charge(
                token, f"{collection}.{verb}", UNITS[verb]
            )
            if refusal is not None:
                return refusal
            assert token is not None
            return act(request, token.account)

    def _refusal(self, token: AccessToken | None, scopes: set[str]) -> Response | None:
        if token is None:
            return google_errors.response("authError")
        if not scopes.intersection(token.scopes):
            return google_errors.response("insufficientPermissions")
        return None

    def _charge(self, token: AccessToken | None, call: str, units: int) -> Response | None:
        """Account for a call; refuse it once the project's day is used up."""
        assert token is not None
        used = self.units_used.get(token.client_id, 0)
        if self.quota_units_per_day is not None and used + units > self.quota_units_per_day:
            return google_errors.response("quotaExceeded")
        self.units_used[token.client_id] = used + units
        self.calls[call] = self.calls.get(call, 0) + 1
        return None

    # --- upload ---------------------------------------------------------------------

    def _upload(self, request: Request) -> Response:
        upload_id = request.argument("upload_id")
        if request.method == "PUT" and upload_id:
            with self._lock:
                session = next((s for s in self.sessions if s.id == upload_id), None)
            if session is None:
                request.drain()
                return google_errors.response("notFound")
            return session.put(request)
        if request.method != "POST" or request.argument("uploadType") != "resumable":
            return google_errors.response("badRequest", "uploadType must be resumable")
        token = self.google.token(request)
        metadata = request.json() or {}
        with self._lock:
            refusal = (
                self._refusal(token, MAY_UPLOAD)
                or _metadata_problem(metadata)
                or self._charge(token, "videos.insert", self.upload_cost_units)
            )
            if refusal is not None:
                return refusal
            assert token is not None
            if self._limit_reached(token.account):
                return google_errors.response("uploadLimitExceeded")
            return self._open_session(request, token.account, metadata)

    def _limit_reached(self, account: Account) -> bool:
        done = sum(v.account is account for v in self._videos.values())
        return self.upload_limit is not None and done >= self.upload_limit

    def _open_session(
        self, request: Request, account: Account, metadata: dict[str, Any]
    ) -> Response:
        declared = request.headers.get("x-upload-content-length")
        number = len(self.sessions) + 1
        session = Session(
            f"sandbox-upload-{number}",
            account,
            metadata,
            int(declared) if declared else None,
            self._complete,
            self.save_to / f"upload-{number}.mp4" if self.save_to else None,
        )
        self.sessions.append(session)
        query = f"{request.query_text}&upload_id={session.id}"
        location = f"{request.scheme}://{request.host}{request.path}?{query}"
        return Response(200, b"", {"Location": location, "X-GUploader-UploadID": session.id})

    def _complete(self, session: Session) -> Response:
        with self._lock:
            number = len(self._videos) + 1
            outcome = self.outcomes.pop(0) if self.outcomes else self.outcome
            twins = [v for v in self._videos.values() if v.sha256 == session.sha256]
            if self.reject_duplicates and twins:
                outcome = Outcome("rejected", "duplicate", outcome.polls)
            digest = hashlib.sha1(f"video {number}".encode()).hexdigest()[:9]
            video = Video(
                f"yt{digest}",
                session.account,
                session.metadata,
                session.received_bytes,
                session.sha256,
                session.head,
                session,
                outcome,
                datetime.now(UTC),
                time.monotonic() + self.listing_lag_seconds,
                path=session.save_to,
            )
            self._videos[video.id] = video
            return Response.of_json(_resource(video, {"snippet", "status"}))

    # --- the rest of the API --------------------------------------------------------

    def _channels(self, request: Request, account: Account) -> Response:
        if request.argument("mine") != "true":
            return google_errors.response("badRequest", "the sandbox knows mine=true only")
        channel = {
            "kind": "youtube#channel",
            "id": account.channel_id,
            "snippet": {"title": account.channel_title, "customUrl": f"@{account.name}"},
            "contentDetails": {"relatedPlaylists": {"uploads": account.uploads_playlist_id}},
            "status": {"privacyStatus": "public", "longUploadsStatus": "allowed"},
        }
        if not account.has_channel:
            return Response.of_json({"kind": "youtube#channelListResponse"})
        return _listing("channel", [_parts(channel, request)])

    def _playlist_items(self, request: Request, account: Account) -> Response:
        playlist_id = request.argument("playlistId")
        if playlist_id == account.uploads_playlist_id:
            videos = self._uploads_shown(account)
        elif playlist_id in self.playlists:
            videos = [self._videos[v] for v in self.playlists[playlist_id].video_ids]
        else:
            return google_errors.response("playlistNotFound")
        size = max(1, min(50, int(request.argument("maxResults", "5"))))
        start = int(request.argument("pageToken", "P0")[1:] or 0)
        more: dict[str, Any] = {}
        if start + size < len(videos):
            more["nextPageToken"] = f"P{start + size}"
        more["pageInfo"] = {"totalResults": len(videos), "resultsPerPage": size}
        items = [
            _parts(_playlist_item(video, playlist_id, start + n), request)
            for n, video in enumerate(videos[start : start + size])
        ]
        return _listing("playlistItem", items, more)

    def _uploads_shown(self, account: Account) -> list[Video]:
        shown = []
        for video in self.videos:
            if video.account is not account or video.id in self.listing_hides:
                continue
            if video.list_calls_missed < self.listing_lag_calls:
                video.list_calls_missed += 1
            elif time.monotonic() >= video.listed_after:
                shown.append(video)
        return shown[::-1]

    def _add_to_playlist(self, request: Request, account: Account) -> Response:
        snippet = request.json().get("snippet", {})
        playlist = self.playlists.get(str(snippet.get("playlistId")))
        video = self._videos.get(str(snippet.get("resourceId", {}).get("videoId")))
        if playlist is None:
            return google_errors.response("playlistNotFound")
        if playlist.account is not account:
            return google_errors.response("forbidden")
        if video is None or video.deleted:
            return google_errors.response("videoNotFound")
        playlist.video_ids.append(video.id)
        place = len(playlist.video_ids) - 1
        return Response.of_json(_playlist_item(video, playlist.id, place))

    def _list_videos(self, request: Request, account: Account) -> Response:
        parts = set(request.argument("part").split(","))
        items = []
        for video_id in request.argument("id").split(","):
            video = self._videos.get(video_id)
            if video is None or video.deleted:
                continue
            if video.account is not account and video.privacy == "private":
                continue
            if parts & {"status", "processingDetails"}:
                video.polls += 1
            items.append(_resource(video, parts))
        return _listing("video", items)

    def _update_video(self, request: Request, account: Account) -> Response:
        change = request.json()
        video = self._own(str(change.get("id")), account)
        if video is None:
            return google_errors.response("videoNotFound")
        problem = _metadata_problem(change) if "snippet" in change else None
        if problem is not None:
            return problem
        for part in set(request.argument("part").split(",")) & set(change):
            video.metadata[part] = change[part]
        return Response.of_json(_resource(video, {"snippet", "status"}))

    def _delete_video(self, request: Request, account: Account) -> Response:
        video = self._own(request.argument("id"), account)
        if video is None:
            return google_errors.response("videoNotFound")
        video.deleted = True
        return Response(204)

    def _own(self, video_id: str, account: Account) -> Video | None:
        video = self._videos.get(video_id)
        return None if video is None or video.deleted or video.account is not account else video


def _metadata_problem(metadata: dict[str, Any]) -> Response | None:
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


def _listing(
    kind: str, items: list[dict[str, Any]], more: dict[str, Any] | None = None
) -> Response:
    body = {"kind": f"youtube#{kind}ListResponse", "etag": "sandbox", "items": items}
    page = {"pageInfo": {"totalResults": len(items), "resultsPerPage": len(items)}}
    return Response.of_json(body | page | (more or {}))


def _parts(resource: dict[str, Any], request: Request) -> dict[str, Any]:
    wanted = {"kind", "id", "etag", *request.argument("part").split(",")}
    return {name: value for name, value in resource.items() if name in wanted}


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _resource(video: Video, parts: set[str]) -> dict[str, Any]:
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
    resource: dict[str, Any] = {
        "snippet": snippet,
        "status": status,
        "processingDetails": {"processingStatus": processing},
        "fileDetails": {"fileSize": str(video.size_bytes)},
        "contentDetails": {"duration": "PT0S", "definition": "sd"},
        "recordingDetails": video.metadata.get("recordingDetails", {}),
    }
    shown = {name: value for name, value in resource.items() if name in parts}
    return {"kind": "youtube#video", "etag": "sandbox", "id": video.id, **shown}


def _playlist_item(video: Video, playlist_id: str, place: int) -> dict[str, Any]:
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
