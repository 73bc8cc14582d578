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
from tests.sandbox.accounts import (
    MAY_READ,
    MAY_UPLOAD,
    MAY_WRITE,
    AccessToken,
    Account,
)
from tests.sandbox.google import Google
from tests.sandbox.uploads import Session
from tests.sandbox.videos import (
    Outcome,
    Video,
    listing,
    metadata_problem,
    parts_of,
    playlist_item,
    resource,
)
from tests.sandbox.wire import Host, Request, Response

UPLOAD_PATHS = {"/upload/youtube/v3/videos", "/resumable/upload/youtube/v3/videos"}
UNITS = {"list": 1, "insert": 50, "update": 50, "delete": 50}


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

    def add(self, video: Video) -> None:
        """It was uploaded by some other way."""
        with self._lock:
            self._videos[video.id] = video

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
            return self._put(request, upload_id)
        if request.method != "POST" or request.argument("uploadType") != "resumable":
            return google_errors.response("badRequest", "uploadType must be resumable")
        token = self.google.token(request)
        metadata = request.json() or {}
        with self._lock:
            refusal = (
                self._refusal(token, MAY_UPLOAD)
                or metadata_problem(metadata)
                or self._charge(token, "videos.insert", self.upload_cost_units)
            )
            if refusal is not None:
                return refusal
            assert token is not None
            if self._limit_reached(token.account):
                return google_errors.response("uploadLimitExceeded")
            return self._open_session(request, token.account, metadata)

    def _put(self, request: Request, upload_id: str) -> Response:
        with self._lock:
            session = next((s for s in self.sessions if s.id == upload_id), None)
        if session is None:
            request.drain()
            return google_errors.response("notFound")
        if request.bearer is not None and self.google.token(request) is None:
            # The session's address is enough; a dead token beside it is refused.
            request.drain()
            return google_errors.response("authError")
        return session.put(request)

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
            return Response.of_json(resource(video, {"snippet", "status"}))

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
        return listing("channel", [parts_of(channel, request)])

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
            parts_of(playlist_item(video, playlist_id, start + n), request)
            for n, video in enumerate(videos[start : start + size])
        ]
        return listing("playlistItem", items, more)

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
        return Response.of_json(playlist_item(video, playlist.id, place))

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
            items.append(resource(video, parts))
        return listing("video", items)

    def _update_video(self, request: Request, account: Account) -> Response:
        change = request.json()
        video = self._own(str(change.get("id")), account)
        if video is None:
            return google_errors.response("videoNotFound")
        problem = metadata_problem(change) if "snippet" in change else None
        if problem is not None:
            return problem
        for part in set(request.argument("part").split(",")) & set(change):
            video.metadata[part] = change[part]
        return Response.of_json(resource(video, {"snippet", "status"}))

    def _delete_video(self, request: Request, account: Account) -> Response:
        video = self._own(request.argument("id"), account)
        if video is None:
            return google_errors.response("videoNotFound")
        video.deleted = True
        return Response(204)

    def _own(self, video_id: str, account: Account) -> Video | None:
        video = self._videos.get(video_id)
        return None if video is None or video.deleted or video.account is not account else video
