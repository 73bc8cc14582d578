"""yt-dlp as a library: set up from our settings, asked for one VOD or one channel.

It finds the VOD; it does not download it.
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
from yt_dlp.networking import Request

from vodtender.clients.ytdlp import answers, arguments, cookies
from vodtender.clients.ytdlp.extractors import LiveIE, VideosIE, VodIE
from vodtender.errors import SettingsError, Transient, VodtenderError
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
        for extractor in (VodIE(), VideosIE()):
            extractor.answers_with_cookies = self.has_cookies
            self._ydl.add_info_extractor(extractor)
        self._live = LiveIE(self._ydl)

    def vod(self, vod_id: str) -> FoundVod:
        """Find a VOD and its playlist. Raises an answer."""
        url = f"https://www.twitch.tv/videos/{vod_id}"
        with self._answering(f"VOD {vod_id}"):
            info = self._ydl.extract_info(url, download=False, ie_key="TwitchVod")
            return _found(info, vod_id)
        raise AssertionError  # pragma: no cover

    def media_playlist(self, vod: FoundVod) -> playlist.MediaPlaylist:
        """Fetch and read the playlist of the chosen format. Raises an answer."""
        with (
            self._answering("the VOD's playlist"),
            self.open(vod.playlist_url, vod.headers) as response,
        ):
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
        with self._answering(f"the VODs of {channel}"):
            # Unprocessed: the pages come one by one, as they are asked for.
            listing = self._ydl.extract_info(
                url, download=False, process=False, ie_key="TwitchVideos"
            )
            for entry in islice(_each_once(listing["entries"]), limit):
                yield _listed(entry, channel.lower(), kind)

    def live(self, channel: str) -> dict[str, Any] | None:
        """The channel's stream that is on the air: `stream_id` and `timestamp`; None if there
        is none. Raises an answer."""
        with self._answering(f"the stream of {channel}"):
            return self._live.look(channel)
        raise AssertionError  # pragma: no cover

    @contextlib.contextmanager
    def _answering(self, asked_for: str) -> Iterator[None]:
        try:
            yield
        except VodtenderError:
            raise
        except Exception as error:
            raise answers.meaning(
                error, has_cookies=self.has_cookies, asked_for=asked_for
            ) from error


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
