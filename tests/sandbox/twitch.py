"""Twitch as its web player sees it: GraphQL, usher (master playlists) and the CDN.

The shapes are those that yt-dlp's extractor reads (`yt_dlp/extractor/twitch.py`).
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.sandbox import media
from tests.sandbox.vods import CDN_HOST, Catalog, Rendition, Segment, Vod, form_in
from tests.sandbox.wire import Host, Request, Response

PLAYLIST_TYPE = "application/vnd.apple.mpegurl"
PAGE_LIMIT = 100
_ACCESS_TOKEN = re.compile(r'(video|stream)PlaybackAccessToken\s*\(\s*\w+\s*:\s*"([^"]*)"')
_SEGMENT = re.compile(r"^(?:init-)?(\d+)(-muted|-unmuted)?\.(ts|mp4)$")
_ONE_PIXEL = base64.b64decode(
    "/9j/4AAQSkZJRgABAQEASABIAAD/2wBDAP//////////////////////////////////////////////////////"
    "////////////////////////////////wgALCAABAAEBAREA/8QAFBABAAAAAAAAAAAAAAAAAAAAAP/aAAgBAQAB"
    "PxA="
)


@dataclass(eq=False)
class Twitch:
    """The web side of Twitch."""

    catalog: Catalog
    viewers: dict[str, str] = field(default_factory=dict)
    """Value of the `auth-token` cookie → Twitch user id."""
    page_limit: int = PAGE_LIMIT

    def hosts(self) -> dict[str, Host]:
        return {
            "gql.twitch.tv": self.gql,
            "usher.ttvnw.net": self.usher,
            CDN_HOST: self.cdn,
            "*.cloudfront.net": self.cdn,
            "static-cdn.jtvnw.net": _thumbnail,
            "vod-secure.twitch.tv": _thumbnail,
        }

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
        return {"value": json.dumps(value), "signature": _signature(vod), "__typename": "Token"}

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

    # --- usher: the master playlist -------------------------------------------------

    def usher(self, request: Request) -> Response:
        found = re.fullmatch(r"/vod/(?:v2/)?(\d+)(?:\.m3u8)?", request.path)
        vod = self.catalog.vods.get(found[1]) if found else None
        if vod is None or vod.deleted:
            return _usher_error(404, "Video does not exist", "vod_not_found")
        try:
            token = json.loads(request.argument("token"))
        except ValueError:
            token = {}
        if token.get("vod_id") != int(vod.id) or request.argument("sig") != _signature(vod):
            return _usher_error(403, "nauth_token is invalid", "nauth_token_invalid")
        if vod.subscriber_only and str(token.get("user_id")) not in vod.subscribers:
            return _usher_error(403, "Manifest is restricted", "vod_manifest_restricted")
        return Response.of_text(_master(vod), 200, PLAYLIST_TYPE)

    # --- CDN: media playlists and segments ------------------------------------------

    def cdn(self, request: Request) -> Response:
        parts = request.path.strip("/").split("/")
        vod = self.catalog.by_folder(parts[0]) if len(parts) == 3 else None
        rendition = _rendition(vod, parts[1]) if vod else None
        if vod is None or rendition is None:
            return _denied()
        if parts[2] == vod.playlist_name:
            return Response.of_text(_media_playlist(vod, rendition), 200, PLAYLIST_TYPE)
        found = _SEGMENT.match(parts[2])
        if found is None or int(found[1]) >= len(vod.segments):
            return _denied()
        if parts[2].startswith("init-"):
            form = form_in(vod.segments[int(found[1])], rendition)
            return _ranged(request, Response(200, media.loop(form).init, _kind("video/mp4")))
        return _segment(request, vod, int(found[1]), found[2] or "", rendition)


def _segment(request: Request, vod: Vod, place: int, suffix: str, rendition: Rendition) -> Response:
    segment = vod.segments[place]
    with vod.lock:
        segment.requests += 1
        cut = segment.cuts > 0
        segment.cuts -= cut
    if segment.status != 200:
        return _denied(segment.status)
    if suffix != ("-muted" if segment.muted else ""):
        return _denied()
    body = vod.segment_bytes(place, rendition)
    content_type = "video/mp4" if segment.form.container == "fmp4" else "video/MP2T"
    response = _ranged(request, Response(200, body, _kind(content_type)))
    response.bytes_per_second = segment.bytes_per_second
    if cut:
        response.cut_after_bytes = len(response.body) // 2
    return response


def _ranged(request: Request, response: Response) -> Response:
    """Honour `Range: bytes=a-b`, as a CDN does."""
    asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
    if not asked:
        return response
    total = len(response.body)
    start, end = int(asked[1]), min(int(asked[2] or total), total - 1)
    if start > end:
        return Response(416, b"", {"Content-Range": f"bytes */{total}"})
    headers = {**response.headers, "Content-Range": f"bytes {start}-{end}/{total}"}
    return Response(206, response.body[start : end + 1], headers)


def _kind(content_type: str) -> dict[str, str]:
    return {"Content-Type": content_type, "Accept-Ranges": "bytes"}


def _denied(status: int = 403) -> Response:
    """S3 behind CloudFront says 403 of what is not there, too."""
    code = "AccessDenied" if status == 403 else "NoSuchKey"
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code></Error>'
    return Response.of_text(text, status, "application/xml")


def _usher_error(status: int, error: str, code: str) -> Response:
    # yt-dlp compares the content type with exactly this.
    body = json.dumps([{"url": "", "error": error, "error_code": code, "type": "error"}])
    return Response(status, body.encode(), {"Content-Type": "application/json"})


def _thumbnail(_request: Request) -> Response:
    return Response(200, _ONE_PIXEL, {"Content-Type": "image/jpeg"})


def _signature(vod: Vod) -> str:
    return f"{int(vod.id):040x}"


def _rendition(vod: Vod, group: str) -> Rendition | None:
    return next((r for r in vod.renditions if r.group == group), None)


# --- playlists --------------------------------------------------------------------------


def _master(vod: Vod) -> str:
    lines = [
        "#EXTM3U",
        '#EXT-X-TWITCH-INFO:ORIGIN="s3",B="false",REGION="EU",USER-IP="127.0.0.1",'
        'SERVING-ID="0123456789abcdef",CLUSTER="cloudfront_vod",USER-COUNTRY="DE",'
        'MANIFEST-CLUSTER="cloudfront_vod"',
    ]
    for rendition in vod.renditions:
        video = "chunked" if rendition.group == "chunked" else rendition.group
        codecs = form_in(vod.segments[0], rendition).codecs
        lines.append(
            f'#EXT-X-MEDIA:TYPE=VIDEO,GROUP-ID="{video}",NAME="{rendition.name}",'
            "AUTOSELECT=YES,DEFAULT=YES"
        )
        shape = ""
        if rendition.width:
            shape = (
                f",RESOLUTION={rendition.width}x{rendition.height}"
                f',VIDEO="{video}",FRAME-RATE={rendition.framerate:.3f}'
            )
        else:
            shape = f',VIDEO="{video}"'
        lines.append(f'#EXT-X-STREAM-INF:BANDWIDTH={rendition.bandwidth},CODECS="{codecs}"{shape}')
        lines.append(vod.source_url.replace("/chunked/", f"/{rendition.group}/"))
    return "\n".join(lines) + "\n"


def _media_playlist(vod: Vod, rendition: Rendition) -> str:
    with vod.lock:
        segments = list(vod.segments)
    longest = max(s.form.seconds for s in segments)
    version = 6 if segments[0].form.container == "fmp4" else 3
    total = sum(s.form.seconds for s in segments)
    lines = [
        "#EXTM3U",
        f"#EXT-X-VERSION:{version}",
        f"#EXT-X-TARGETDURATION:{int(longest) + 1}",
        f"#ID3-EQUIV-TDTG:{_time(vod.published_at)[:-1]}",
        "#EXT-X-PLAYLIST-TYPE:EVENT",
        "#EXT-X-MEDIA-SEQUENCE:0",
        "#EXT-X-TWITCH-ELAPSED-SECS:0.000",
        f"#EXT-X-TWITCH-TOTAL-SECS:{total:.3f}",
    ]
    lines += _segment_lines(vod, segments, rendition)
    if not vod.live:
        lines.append("#EXT-X-ENDLIST")
    return "\n".join(lines) + "\n"


def _segment_lines(vod: Vod, segments: list[Segment], rendition: Rendition) -> Iterator[str]:
    base = ""
    if vod.absolute_urls:
        base = vod.source_url.rpartition("/")[0].replace("/chunked", f"/{rendition.group}") + "/"
    current: media.Form | None = None
    for place, segment in enumerate(segments):
        form = form_in(segment, rendition)
        fragmented = form.container == "fmp4"
        if segment.discontinuity:
            yield "#EXT-X-DISCONTINUITY"
        if fragmented and form != current:
            yield f'#EXT-X-MAP:URI="{base}init-{place}.mp4"'
        current = form
        yield f"#EXTINF:{form.seconds:.3f},"
        suffix = "-unmuted" if segment.muted else ""
        yield f"{base}{place}{suffix}.{'mp4' if fragmented else 'ts'}"


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
    connection = {"edges": [], "__typename": "VideoMomentConnection"}
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
