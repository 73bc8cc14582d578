"""YTDLP_ARGS: what is taken, and what is refused with a reason."""

from __future__ import annotations

import pytest

from vodtender.clients.ytdlp import arguments
from vodtender.errors import SettingsError


@pytest.mark.parametrize(
    "args",
    [
        (),
        ("-f", "best[height<=720]", "-S", "res:720"),
        ("--proxy", "socks5://localhost:1080", "--socket-timeout", "5", "-4"),
        ("--extractor-args", "twitch:client_id=x", "--add-headers", "A:b"),
        ("--retries", "infinite", "--fragment-retries", "9", "-N", "4", "--no-part", "--no-mtime"),
        ("-i", "-q", "--no-warnings", "--newline", "--no-playlist"),
    ],
)
def test_what_cannot_harm_is_taken(args: tuple[str, ...]) -> None:
    arguments.options(args)


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (("-o", "x"), "--output"),
        (("-P", "/x"), "--paths"),
        (("--exec", "rm {}"), "--exec"),
        (("--cookies", "x"), "YTDLP_COOKIES_PATH"),
        (("--cookies-from-browser", "firefox"), "YTDLP_COOKIES_PATH"),
        (("-r", "1M"), "DOWNLOAD_RATE_LIMIT"),
        (("--max-filesize", "1M"), "DOWNLOAD_MAX_SIZE"),
        (("--download-archive", "x"), "--download-archive"),
        (("--download-sections", "*0-60"), "--download-sections"),
        (("-x",), "--extract-audio"),
        (("--live-from-start",), "--live-from-start"),
        (("-U",), "--update"),
        (("-j",), "--dump-json"),
        (("--print-traffic",), "--print-traffic"),
        (("-u", "me", "-p", "hunter2"), "--username"),
        (("https://example.org/",), "not an option"),
        (("--bogus",), "no such option: --bogus"),
        (("--help",), "exit"),
        (("--socket-timeout", "soon"), "soon"),
        (("-f", "best["), "--format"),
    ],
)
def test_what_would_break_a_fetch_is_refused_with_a_reason(args: tuple[str, ...], why: str) -> None:
    with pytest.raises(SettingsError) as caught:
        arguments.options(args)
    assert caught.value.code == "ytdlp_args"
    assert why in caught.value.message
    assert "hunter2" not in caught.value.message
    assert "\n" not in caught.value.message
