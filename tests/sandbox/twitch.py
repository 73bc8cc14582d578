"""Twitch's GraphQL API, as its web player and yt-dlp ask it.

The shapes are those that yt-dlp's extractor reads (`yt_dlp/extractor/twitch.py`).
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.sandbox.cdn import signature
from tests.sandbox.vods import Catalog, Vod
from tests.sandbox.wire import Host, Request, Response

PAGE_LIMIT = 100
_ACCESS_TOKEN = re.compile(r'(video|stream)PlaybackAccessToken\s*\(\s*\w+\s*:\s*"([^"]*)"')


@dataclass(eq=False)
class Twitch:
    """gql.twitch.tv."""

    catalog: Catalog
    viewers: dict[str, str] = field(default_factory=dict)
    """Value of the `auth-token` cookie → Twitch user id."""
    page_limit: int = PAGE_LIMIT

    def hosts(self) -> dict[str, Host]:
        return {"gql.twitch.tv": self.gql}

    def cookies(self, user_id: str = "77") -> str:
        """A cookies.txt (Netscape form) of a viewer who is logged in."""
        token = f"sandboxviewer{user_id}"
        self.viewers[token] = user_id
        line = "\t".join((".twitch.tv", "TRUE", "/", "TRUE", "4102444800", "auth-token", token))
        return f"# Netscape HTTP Cookie File\n{line}\n"

    # --- GraphQL --------------------------------------------------------------------

    def gql(self, request: Request) -> Response:
        if request.path != "/gql" or request.method != "POST":
            return Response.of_json({"error": "Not Found", "status": 404}, 404)
        if "client-id" not in request.headers:
            message = 'The "Client-ID" header is missing from the request.'
            return Response.of_json({"error": "Bad Request", "message": message}, 400)
        if request.bearer is not None and request.bearer not in self.viewers:
            message = 'The "Authorization" token is invalid.'
            return Response.of_json(
                {"error": "Unauthorized", "status": 401, "message": message}, 401
            )
        asked = request.json()
        operations = asked if isinstance(asked, list) else [asked]
        garbage = self._garbage(operations)
        if garbage is not None:
            return garbage
        nulls = {vod.id for vod in self._asked_about(operations) if self._null_now(vod)}
        user = self.viewers.get(request.bearer or "")
        answers = [self._operation(operation, nulls, user) for operation in operations]
        return Response.of_json(answers if isinstance(asked, list) else answers[0])

    def _asked_about(self, operations: list[dict[str, Any]]) -> list[Vod]:
        ids = {str((o.get("variables") or {}).get("videoID")) for o in operations}
        return [vod for vod_id, vod in list(self.catalog.vods.items()) if vod_id in ids]

    def _garbage(self, operations: list[dict[str, Any]]) -> Response | None:
        for vod in self._asked_about(operations):
            with vod.lock:
                if vod.garbage is None or vod.garbage[1] <= 0:
                    continue
                answer, times = vod.garbage
                vod.garbage = (answer, times - 1)
            if answer == "html":
                return Response.of_text("<html><body>Twitch</body></html>", 200, "text/html")
            if answer == "empty":
                return Response.of_json({})
            if answer == "null":
                return Response.of_json(None)
            return Response.of_text("<html>Internal Server Error</html>", 500, "text/html")
        return None

    @staticmethod
    def _null_now(vod: Vod) -> bool:
        with vod.lock:
            if vod.null_answers <= 0:
                return False
            vod.null_answers -= 1
            return True

    def _operation(
        self, operation: dict[str, Any], nulls: set[str], user: str | None
    ) -> dict[str, Any]:
        variables = operation.get("variables") or {}
        name = operation.get("operationName") or ""
        token = _ACCESS_TOKEN.search(operation.get("query") or "")
        if token:
            return {"data": {token[1] + "PlaybackAccessToken": self._token(token[2], user)}}
        known: dict[str, Callable[[], dict[str, Any]]] = {
            "VideoMetadata": lambda: {"video": self._video(variables, nulls, _metadata)},
            "VideoPlayer_ChapterSelectButtonVideo": lambda: {
                "video": self._video(variables, nulls, _chapters)
            },
            "VideoPlayer_VODSeekbarPreviewVideo": lambda: {
                "video": self._video(variables, nulls, _seekbar)
            },
            "FilterableVideoTower_Videos": lambda: {"user": self._tower(variables)},
            "StreamMetadata": lambda: {"user": self._stream(variables.get("channelLogin"))},
            "UseLive": lambda: {"user": self._stream(variables.get("channelLogin"))},
            "ComscoreStreamingQuery": lambda: {"user": self._stream(variables.get("channel"))},
            "VideoPreviewOverlay": lambda: {"user": self._stream(variables.get("login"))},
        }
        if name not in known:
            return {"errors": [{"message": "PersistedQueryNotFound"}]}
        extensions = {"durationMilliseconds": 12, "operationName": name, "requestID": "01SANDBOX"}
        return {"data": known[name](), "extensions": extensions}

    def _token(self, video_id: str, user: str | None) -> dict[str, str] | None:
        vod = self.catalog.vods.get(video_id)
        if vod is None or vod.deleted:
            return None
        value = {
            "authorization": {"forbidden": False, "reason": ""},
            "chansub": {"restricted_bitrates": []},
            "expires": 4_102_444_800,
            "https_required": True,
            "privileged": False,
            "user_id": int(user) if user else None,
            "version": 3,
            "vod_id": int(vod.id),
        }
        return {"value": json.dumps(value), "signature": signature(vod), "__typename": "Token"}

    def _video(
        self,
        variables: dict[str, Any],
        nulls: set[str],
        shape: Callable[[Vod], dict[str, Any]],
    ) -> dict[str, Any] | None:
        vod = self.catalog.vods.get(str(variables.get("videoID")))
        if vod is None or vod.deleted or vod.id in nulls:
            return None
        return shape(vod)

    def _tower(self, variables: dict[str, Any]) -> dict[str, Any]:
        channel = self.catalog.channels.get(str(variables.get("channelOwnerLogin")).lower())
        if channel is None or not channel.exists:
            return {"id": "", "videos": {"edges": [], "pageInfo": {"hasNextPage": False}}}
        kind = variables.get("broadcastType")
        vods = self.catalog.of_channel(channel, kind.lower() if kind else None)
        start = _after(vods, variables.get("cursor"))
        size = min(int(variables.get("limit") or 30), self.page_limit)
        page = vods[start : start + size]
        more = start + size < len(vods)
        edges = [
            {"__typename": "VideoEdge", "cursor": cursor_of(v) if more else "", "node": _node(v)}
            for v in page
        ]
        connection = {"edges": edges, "pageInfo": {"hasNextPage": more}}
        return {"id": channel.id, "__typename": "User", "videos": connection}

    def _stream(self, login: object) -> dict[str, Any] | None:
        channel = self.catalog.channels.get(str(login).lower())
        if channel is None or not channel.exists:
            return None
        since = _time(channel.live_since or self.catalog.now)
        stream = {
            "id": channel.stream_id or "1",
            "type": "live",
            "createdAt": since,
            "viewers": 5,
            "__typename": "Stream",
        }
        return {
            "id": channel.id,
            "login": channel.login,
            "displayName": channel.display_name,
            "stream": stream if channel.live else None,
            "broadcastSettings": {"title": "Live"},
            "__typename": "User",
        }


# --- GraphQL shapes ---------------------------------------------------------------------


def cursor_of(vod: Vod) -> str:
    return base64.b64encode(f"after:{vod.id}".encode()).decode()


def _after(vods: list[Vod], cursor: object) -> int:
    """Where the page after this cursor starts; an unknown cursor starts anew."""
    return next((n + 1 for n, v in enumerate(vods) if cursor_of(v) == cursor), 0)


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _thumbnail_url(vod: Vod) -> str:
    return vod.thumbnail_url.replace("%{width}x%{height}", "320x180")


def _owner(vod: Vod) -> dict[str, Any]:
    channel = vod.channel
    names = {"id": channel.id, "login": channel.login, "displayName": channel.display_name}
    return {**names, "__typename": "User"}


def _metadata(vod: Vod) -> dict[str, Any]:
    return {
        "id": vod.id,
        "title": vod.title,
        "description": vod.description,
        "previewThumbnailURL": _thumbnail_url(vod),
        "createdAt": _time(vod.published_at),
        "publishedAt": _time(vod.published_at),
        "viewCount": vod.view_count,
        "lengthSeconds": vod.length_seconds,
        "broadcastType": vod.broadcast_type.upper(),
        "status": "RECORDING" if vod.live else "RECORDED",
        "owner": _owner(vod),
        "game": {"id": "509658", "displayName": vod.game, "__typename": "Game"},
        "__typename": "Video",
    }


def _chapters(vod: Vod) -> dict[str, Any]:
    edges = [
        {
            "__typename": "VideoMomentEdge",
            "node": {
                "id": f"{vod.id}-{start}",
                "positionMilliseconds": start * 1000,
                "durationMilliseconds": duration * 1000,
                "description": name,
                "type": "GAME_CHANGE",
            },
        }
        for start, duration, name in vod.chapters
    ]
    connection = {"edges": edges, "__typename": "VideoMomentConnection"}
    return {"id": vod.id, "moments": connection, "__typename": "Video"}


def _seekbar(vod: Vod) -> dict[str, Any]:
    return {"id": vod.id, "seekPreviewsURL": None, "__typename": "Video"}


def _node(vod: Vod) -> dict[str, Any]:
    return {
        "id": vod.id,
        "title": vod.title,
        "lengthSeconds": vod.length_seconds,
        "previewThumbnailURL": _thumbnail_url(vod),
        "publishedAt": _time(vod.published_at),
        "viewCount": vod.view_count,
        "owner": _owner(vod),
        "__typename": "Video",
    }
