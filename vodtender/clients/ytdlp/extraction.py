"""yt-dlp as a library: set up from our settings, asked for one VOD or one channel.

It finds the VOD; it does not download it. Its extractors are replaced by subclasses that raise
our answers where Twitch's own reply says what is wrong, so no sentence is ever searched for
a meaning.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yt_dlp
from yt_dlp.extractor.twitch import TwitchBaseIE, TwitchVideosIE, TwitchVodIE
from yt_dlp.networking import Request
from yt_dlp.utils import ExtractorError, unified_timestamp

from vodtender.clients.ytdlp import answers, arguments, cookies
from vodtender.errors import Rejected, SettingsError, Transient, VodtenderError
from vodtender.model import playlist

_SOCKET_TIMEOUT_SECONDS = 20
_LARGEST_PLAYLIST_BYTES = 64 << 20
_CIRCLE_ENTRIES = 100
_FILTERS = {"archive": "archives", "highlight": "highlights", "upload": "uploads"}

_IN_ADDRESS = re.compile(r"://[^/@\s'\"]+@|\?[^\s'\"]+(?<=[=&])[^\s'\"]+")

Log = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class FoundVod:
    """What yt-dlp found: the VOD's own data and where its chosen format's playlist lies."""

    title: str
    description: str | None
    timestamp: int | None
    length_seconds: float | None
    uploader: str | None
    uploader_id: str | None
    is_live: bool
    playlist_url: str
    headers: dict[str, str]
    format_id: str
    bits_per_second: float | None


class Twitch:
    """One yt-dlp, with our answers in it. Not to be used by two extractions at once."""

    def __init__(
        self, *, cookies_path: Path | None, extra_args: Sequence[str], verbose: bool, log: Log
    ) -> None:
        self.has_cookies = cookies_path is not None
        options = _options(cookies_path, extra_args, verbose, log)
        # Without its 1,700 other extractors: that takes longer than finding a VOD.
        self._ydl = yt_dlp.YoutubeDL(options, auto_init=False)
        if verbose:
            self._ydl.print_debug_header()
        for extractor in (_VodIE(), _VideosIE()):
            extractor.answers_with_cookies = self.has_cookies
            self._ydl.add_info_extractor(extractor)
        self._live = _LiveIE(self._ydl)

    def vod(self, vod_id: str) -> FoundVod:
        """Find a VOD and its playlist. Raises an answer."""
        url = f"https://www.twitch.tv/videos/{vod_id}"
        with self._answering():
            info = self._ydl.extract_info(url, download=False, ie_key="TwitchVod")
            return _found(info, vod_id)
        raise AssertionError  # pragma: no cover

    def media_playlist(self, vod: FoundVod) -> playlist.MediaPlaylist:
        """Fetch and read the playlist of the chosen format. Raises an answer."""
        with self._answering(), self.open(vod.playlist_url, vod.headers) as response:
            data = response.read(_LARGEST_PLAYLIST_BYTES)
            declared = response.headers.get("Content-Length")
            compressed = response.headers.get("Content-Encoding")
            if declared and not compressed and declared.isdecimal() and int(declared) != len(data):
                raise Transient("The VOD's playlist broke off on its way.", code="network")
            return playlist.parse(data.decode("utf-8", "replace"), response.url)
        raise AssertionError  # pragma: no cover

    def open(self, url: str, headers: dict[str, str]) -> Any:
        """An HTTP response, through yt-dlp's proxies, cookies and certificates."""
        return self._ydl.urlopen(Request(url, headers=headers))

    def channel(self, channel: str, kind: str, limit: int | None) -> Iterator[dict[str, Any]]:
        """The channel's VODs of one kind, newest first. Raises an answer."""
        page = f"https://www.twitch.tv/{quote(channel, safe='')}/videos"
        url = f"{page}?filter={_FILTERS[kind]}&sort=time"
        with self._answering():
            # Unprocessed: the pages come one by one, as they are asked for.
            listing = self._ydl.extract_info(
                url, download=False, process=False, ie_key="TwitchVideos"
            )
            for entry in islice(_each_once(listing["entries"]), limit):
                yield _listed(entry, channel.lower(), kind)

    def live(self, channel: str) -> dict[str, Any] | None:
        """The channel's stream that is on the air: `stream_id` and `timestamp`; None if there
        is none. Raises an answer."""
        with self._answering():
            return self._live.look(channel)
        raise AssertionError  # pragma: no cover

    @contextlib.contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except VodtenderError:
            raise
        except Exception as error:
            raise answers.meaning(error, has_cookies=self.has_cookies) from error


def _options(
    cookies_path: Path | None, extra_args: Sequence[str], verbose: bool, log: Log
) -> dict[str, Any]:
    options = arguments.options(extra_args)
    options |= {
        "format": options.get("format") or "best/best*",
        "compat_opts": {*(options.get("compat_opts") or ()), "no-certifi"},
        "socket_timeout": options.get("socket_timeout") or _SOCKET_TIMEOUT_SECONDS,
        "logger": _Logger(log, verbose),
        "verbose": verbose,
        "quiet": True,
        "noprogress": True,
        "simulate": True,
        "ignoreerrors": False,
        "cachedir": False,
        "postprocessors": [],
        "forceprint": {},
        "print_to_file": {},
        "wait_for_video": None,
        "download_archive": None,
        "color": {"stdout": "never", "stderr": "never"},
    }
    if cookies_path is not None:
        # A copy in memory: yt-dlp rewrites the file that it is given.
        options["cookiefile"] = io.StringIO(cookies.read(cookies_path).text)
    return options


class _Logger:
    """yt-dlp's messages, on their way to the parent's log."""

    def __init__(self, log: Log, verbose: bool) -> None:
        self._log = log
        self._verbose = verbose

    def debug(self, message: str) -> None:
        if self._verbose:
            self._log("debug", _without_secrets(message))

    def info(self, message: str) -> None:
        self._log("info", _without_secrets(message))

    def warning(self, message: str) -> None:
        self._log("warning", _without_secrets(message))

    def error(self, message: str) -> None:
        # The answer that follows says it in our words; this is for whoever digs deeper.
        self._log("debug", _without_secrets(message))


def _without_secrets(message: str) -> str:
    """Addresses without user, password and query, which may hold a proxy's or Twitch's."""
    return _IN_ADDRESS.sub(lambda found: "?…" if found[0].startswith("?") else "://", message)


class _VodIE(TwitchVodIE):  # type: ignore[misc]
    """yt-dlp's VOD extractor, raising our answers where Twitch's reply is clear."""

    answers_with_cookies = False

    @classmethod
    def ie_key(cls) -> str:
        return "TwitchVod"

    def _download_base_gql(self, video_id: str, ops: Any, note: str, fatal: bool = True) -> Any:
        data = super()._download_base_gql(video_id, ops, note, fatal)
        if isinstance(ops, list):
            _check_metadata(data, video_id)
        else:
            _check_token(data, video_id)
        return data

    def _extract_m3u8_formats(self, url: str, video_id: str, *args: Any, **kwargs: Any) -> Any:
        try:
            formats = super()._extract_m3u8_formats(url, video_id, *args, **kwargs)
        except ExtractorError as error:
            refusal = answers.http_error(error)
            if refusal is None:
                raise
            raise answers.from_manifest_refusal(
                refusal, video_id, has_cookies=self.answers_with_cookies
            ) from error
        if not formats:
            said = "The VOD's list of formats from Twitch is empty."
            raise Transient(said, code="garbage_playlist")
        return formats


class _VideosIE(TwitchVideosIE):  # type: ignore[misc]
    """yt-dlp's channel listing, keeping what else the entries say."""

    answers_with_cookies = False

    @classmethod
    def ie_key(cls) -> str:
        return "TwitchVideos"

    def _download_base_gql(self, video_id: str, ops: Any, note: str, fatal: bool = True) -> Any:
        data = super()._download_base_gql(video_id, ops, note, fatal)
        first = _first_data(data, video_id)
        user = first.get("user")
        if user is None or (isinstance(user, dict) and user.get("id") == ""):
            raise _no_channel(video_id)
        videos = user.get("videos") if isinstance(user, dict) else None
        if not isinstance(videos, dict) or not isinstance(videos.get("edges"), list):
            raise answers.garbage(f"the VODs of channel {video_id} are not listed in it")
        return data

    @staticmethod
    def _extract_entry(node: dict[str, Any]) -> dict[str, Any] | None:
        entry: dict[str, Any] | None = TwitchVideosIE._extract_entry(node)
        if entry is not None:
            entry["timestamp"] = unified_timestamp(node.get("publishedAt"))
            entry["broadcast_type"] = node.get("broadcastType")
        return entry


class _LiveIE(TwitchBaseIE):  # type: ignore[misc]
    """Asks as yt-dlp's stream extractor does whether a channel is live, and no more."""

    def look(self, channel: str) -> dict[str, Any] | None:
        operation = {
            "operationName": "StreamMetadata",
            "variables": {"channelLogin": channel, "includeIsDJ": True},
        }
        data = self._download_gql(channel, [operation], "Asking whether the channel is live")
        user = _first_data(data, f"channel {channel}").get("user")
        if user is None:
            raise _no_channel(channel)
        stream = user.get("stream") if isinstance(user, dict) else None
        if not isinstance(stream, dict) or stream.get("type") not in (None, "live"):
            return None
        return {
            "stream_id": str(stream.get("id") or ""),
            "timestamp": unified_timestamp(stream.get("createdAt")),
        }


def _no_channel(channel: str) -> Rejected:
    return Rejected(
        f"Twitch knows no channel named {channel}.",
        hint="check TWITCH_CHANNEL and TWITCH_CHANNELS",
        code="channel_missing",
    )


def _each_once(entries: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Each VOD once. A VOD that is new pushes others on to the next page; a page without
    anything new means that the listing goes round in a circle."""
    seen: set[str] = set()
    repeated = 0
    for entry in entries:
        if entry["id"] not in seen:
            seen.add(entry["id"])
            repeated = 0
            yield entry
        elif (repeated := repeated + 1) >= _CIRCLE_ENTRIES:
            return


def _first_data(data: Any, what: str) -> dict[str, Any]:
    """The first `data` of a GraphQL reply that has one."""
    replies = data if isinstance(data, list) else [data]
    for reply in replies:
        if isinstance(reply, dict) and isinstance(reply.get("data"), dict):
            return dict(reply["data"])
    raise answers.garbage(f"GraphQL's reply about {what} has no data")


def _check_metadata(data: Any, vod_id: str) -> None:
    replies = [r for r in data if isinstance(r, dict)] if isinstance(data, list) else []
    if not replies:
        raise answers.garbage(f"the metadata of VOD {vod_id} is not a list of replies")
    found = [reply["data"].get("video") for reply in replies if isinstance(reply.get("data"), dict)]
    if any(isinstance(video, dict) for video in found):
        return
    if not found or any(reply.get("errors") for reply in replies):
        raise answers.garbage(f"GraphQL reports an error for VOD {vod_id}")
    raise answers.missing(vod_id)


def _check_token(data: Any, vod_id: str) -> None:
    token = _first_data(data, f"VOD {vod_id}").get("videoPlaybackAccessToken")
    if token is None:
        if isinstance(data, dict) and data.get("errors"):
            raise answers.garbage(f"GraphQL reports an error for VOD {vod_id}")
        raise answers.missing(vod_id)
    if not isinstance(token, dict) or not {"value", "signature"} <= token.keys():
        raise answers.garbage(f"the access token of VOD {vod_id} is not one")


def _found(info: dict[str, Any], vod_id: str) -> FoundVod:
    if info.get("requested_formats") or not str(info.get("protocol")).startswith("m3u8"):
        raise SettingsError(
            f"The format that YTDLP_ARGS chooses for VOD {vod_id} is not one HLS stream with "
            "picture and sound together.",
            hint="use -f best, or best[height<=720] and the like, in YTDLP_ARGS",
            code="format_unsupported",
        )
    return FoundVod(
        title=str(info.get("title") or "Untitled Broadcast"),
        description=info.get("description"),
        timestamp=info.get("timestamp"),
        length_seconds=info.get("duration"),
        uploader=info.get("uploader"),
        uploader_id=info.get("uploader_id"),
        is_live=bool(info.get("is_live")),
        playlist_url=info["url"],
        headers={**(info.get("http_headers") or {})},
        format_id=str(info.get("format_id")),
        bits_per_second=info["tbr"] * 1000 if info.get("tbr") else None,
    )


def _listed(entry: dict[str, Any], channel: str, kind: str) -> dict[str, Any]:
    """The fields of an `entry` line; `process.listed` reads them."""
    return {
        "id": str(entry["id"]).removeprefix("v"),
        "channel": channel,
        "title": entry.get("title"),
        "duration_seconds": entry.get("duration"),
        "timestamp": entry.get("timestamp"),
        "thumbnail": entry.get("thumbnail"),
        "kind": kind,
    }
