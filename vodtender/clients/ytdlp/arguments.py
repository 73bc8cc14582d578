"""YTDLP_ARGS: which of yt-dlp's options an operator may set, and what yt-dlp makes of them.

Options that change how a VOD is found (format, proxy, headers, …) have their effect. Options for
yt-dlp's own downloader (`--retries`, `-N`, …) are taken and change nothing, because segments
are fetched by vodtender itself. What would put files elsewhere, start programs, or leave
yt-dlp with nothing found is refused.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import yt_dlp

from vodtender.errors import SettingsError

_SETTINGS = {
    "cookiefile": ("--cookies", "set YTDLP_COOKIES_PATH instead"),
    "cookiesfrombrowser": ("--cookies-from-browser", "set YTDLP_COOKIES_PATH instead"),
    "ratelimit": ("--limit-rate", "set DOWNLOAD_RATE_LIMIT instead"),
    "max_filesize": ("--max-filesize", "set DOWNLOAD_MAX_SIZE instead"),
    "password": ("--password", "a password in YTDLP_ARGS is not kept secret; use cookies"),
    "username": ("--username", "use cookies: set YTDLP_COOKIES_PATH"),
    "usenetrc": ("--netrc", "use cookies: set YTDLP_COOKIES_PATH"),
    "netrc_cmd": ("--netrc-cmd", "use cookies: set YTDLP_COOKIES_PATH"),
}
_PLACES = "vodtender decides where files lie: set DATA_DIR"
_ONE_VOD = "vodtender decides which VODs are fetched"
_WHOLE = "vodtender keeps VODs whole and as they are"
_PROGRAMS = "vodtender starts no programs of others"
_SILENT = "vodtender needs yt-dlp's answer itself"
_REFUSED = {
    **_SETTINGS,
    "outtmpl": ("--output", _PLACES),
    "paths": ("--paths", _PLACES),
    "batchfile": ("--batch-file", _ONE_VOD),
    "load_info_filename": ("--load-info-json", _ONE_VOD),
    "download_archive": ("--download-archive", _ONE_VOD),
    "playlist_items": ("--playlist-items", _ONE_VOD),
    "match_filter": ("--match-filters", _ONE_VOD),
    "breaking_match_filter": ("--break-match-filters", _ONE_VOD),
    "date": ("--date", _ONE_VOD),
    "dateafter": ("--dateafter", _ONE_VOD),
    "datebefore": ("--datebefore", _ONE_VOD),
    "default_search": ("--default-search", _ONE_VOD),
    "wait_for_video": ("--wait-for-video", "vodtender waits by itself"),
    "live_from_start": ("--live-from-start", "vodtender waits until a stream has ended"),
    "download_ranges": ("--download-sections", _WHOLE),
    "extractaudio": ("--extract-audio", _WHOLE),
    "recodevideo": ("--recode-video", _WHOLE),
    "remuxvideo": ("--remux-video", _WHOLE),
    "sponsorblock_remove": ("--sponsorblock-remove", _WHOLE),
    "allow_multiple_video_streams": ("--video-multistreams", _WHOLE),
    "allow_multiple_audio_streams": ("--audio-multistreams", _WHOLE),
    "exec_cmd": ("--exec", _PROGRAMS),
    "external_downloader": ("--downloader", _PROGRAMS),
    "plugin_dirs": ("--plugin-dirs", _PROGRAMS),
    "update_self": ("--update", "update vodtender's environment with pip"),
    "listformats": ("--list-formats", _SILENT),
    "listsubtitles": ("--list-subs", _SILENT),
    "list_thumbnails": ("--list-thumbnails", _SILENT),
    "list_extractors": ("--list-extractors", _SILENT),
    "list_impersonate_targets": ("--list-impersonate-targets", _SILENT),
    "dump_single_json": ("--dump-single-json", _SILENT),
    "dumpjson": ("--dump-json", _SILENT),
    "dump_intermediate_pages": ("--dump-pages", _SILENT),
    "write_pages": ("--write-pages", _SILENT),
    "debug_printtraffic": ("--print-traffic", "it would print tokens"),
    "allowed_extractors": ("--use-extractors", _ONE_VOD),
    "rm_cachedir": ("--rm-cache-dir", _SILENT),
}
"""By the name of yt-dlp's parsed option: the option as it is typed, and why not."""


def options(extra_args: Sequence[str]) -> dict[str, Any]:
    """YoutubeDL's parameters for these arguments.

    Raises SettingsError(code="ytdlp_args") for what yt-dlp does not know and for what would
    break vodtender.
    """
    parsed = _parsed(extra_args)
    found: dict[str, Any] = parsed.ydl_opts
    if not extra_args:
        return found
    if parsed.urls:
        raise _refused(f"{parsed.urls[0][:80]!r} is not an option: {_ONE_VOD}")
    usual = vars(_parsed(()).options)
    for name, value in vars(parsed.options).items():
        if name in _REFUSED and value != usual.get(name):
            option, reason = _REFUSED[name]
            raise _refused(f"{option} is refused: {reason}")
    chosen = found.get("format") or "best"
    try:
        yt_dlp.YoutubeDL({"quiet": True}, auto_init=False).build_format_selector(chosen)
    except (SyntaxError, ValueError) as error:
        raise _refused(f"--format {chosen[:80]!r} cannot be read") from error
    return found


def _parsed(extra_args: Sequence[str]) -> Any:
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            return yt_dlp.parse_options(["--ignore-config", *extra_args])
    except SystemExit as error:
        raise _refused("an option in it only makes yt-dlp say something and exit") from error
    except Exception as error:
        # optparse's usage text, and then what is wrong.
        raise _refused(str(error).rpartition("error: ")[2].strip()[:300]) from error


def _refused(why: str) -> SettingsError:
    return SettingsError(f"YTDLP_ARGS: {why}.", hint="yt-dlp --help", code="ytdlp_args")
