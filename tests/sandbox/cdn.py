"""Where Twitch's video comes from: usher's master playlists, media playlists, segments."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from tests.sandbox import media
from tests.sandbox.vods import CDN_HOST, Catalog, Rendition, Segment, Vod, form_in
from tests.sandbox.wire import Host, Request, Response

PLAYLIST_TYPE = "application/vnd.apple.mpegurl"
_SEGMENT = re.compile(r"^(?:init-)?(\d+)(-muted|-unmuted)?\.(ts|mp4)$")
_ONE_PIXEL = base64.b64decode(
    "/9j/4AAQSkZJRgABAQEASABIAAD/2wBDAP//////////////////////////////////////////////////////"
    "////////////////////////////////wgALCAABAAEBAREA/8QAFBABAAAAAAAAAAAAAAAAAAAAAP/aAAgBAQAB"
    "PxA="
)


@dataclass(eq=False)
class Cdn:
    """usher.ttvnw.net and the CDN behind it."""

    catalog: Catalog

    def hosts(self) -> dict[str, Host]:
        return {
            "usher.ttvnw.net": self.usher,
            CDN_HOST: self.files,
            "*.cloudfront.net": self.files,
            "static-cdn.jtvnw.net": _thumbnail,
            "vod-secure.twitch.tv": _thumbnail,
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
        if token.get("vod_id") != int(vod.id) or request.argument("sig") != signature(vod):
            return _usher_error(403, "nauth_token is invalid", "nauth_token_invalid")
        if vod.subscriber_only and str(token.get("user_id")) not in vod.subscribers:
            return _usher_error(403, "Manifest is restricted", "vod_manifest_restricted")
        return Response.of_text(_master(vod), 200, PLAYLIST_TYPE)

    # --- CDN: media playlists and segments ------------------------------------------

    def files(self, request: Request) -> Response:
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
    body = vod.segment_body(place, rendition)
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


def signature(vod: Vod) -> str:
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


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
