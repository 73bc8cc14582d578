"""No secret leaves: known ones wherever they stand, unknown ones where they look like one."""

from __future__ import annotations

import json
import time
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vodtender.config.redaction import hide, redact


@settings(deadline=None)
@given(
    secret=st.text(min_size=6, max_size=30).filter(lambda text: len(text.strip()) >= 6),
    before=st.text(max_size=5),
)
def test_a_hidden_secret_is_masked_wherever_it_stands(secret: str, before: str) -> None:
    secret = secret.strip()
    hide(secret)
    for text in (secret, f"{before}{secret}x", repr(secret), json.dumps(secret)):
        assert secret not in redact(text)


def test_a_hidden_secret_is_masked_in_an_address() -> None:
    hide("a/b c&d+é")
    assert redact(f"x {quote('a/b c&d+é', safe='')} y") == "x *** y"


def test_of_two_secrets_the_longer_goes_first() -> None:
    hide("secret-1")
    hide("secret-1-and-more")
    assert redact("secret-1-and-more secret-1") == "*** ***"


def test_a_word_too_short_to_be_told_from_others_is_not_hunted() -> None:
    """The runbook's database has the password `vod`."""
    hide("vod")
    hide("")
    assert redact("vod=123 vodtender") == "vod=123 vodtender"
    assert redact("postgresql://vod:vod@h/vod") == "postgresql://vod:***@h/vod"


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("Authorization: Bearer ya29.a0-_~+/=x rest", "Authorization: ***"),
        ("sent Bearer ya29.a0AfH6 twice", "sent Bearer *** twice"),
        ("Basic dXNlcjpwdw==", "Basic ***"),
        ("OAuth abcdefghijklmnop1", "OAuth ***"),
        ("PASS oauth:abcdefgh1234", "PASS oauth:***"),
        ("a access_token=abc&b=c", "a access_token=***&b=c"),
        ("client_secret=abc, x", "client_secret=***, x"),
        ("password='a b' x", "password=*** x"),
        ('{"refresh_token": "1//0abc", "x": 1}', '{"refresh_token": ***, "x": 1}'),
        ("{'password': 'a', 'b': 1}", "{'password': ***, 'b': 1}"),
        ('{\\"access_token\\": \\"a\\"}', '{\\"access_token\\": ***}'),
        ("postgresql://u:p/w@h/d", "postgresql://u:***@h/d"),
        ("http://user:pw@proxy:3128/", "http://user:***@proxy:3128/"),
        (
            "https://www.googleapis.com/upload/youtube/v3/videos?upload_id=ABC-_1&part=x",
            "https://www.googleapis.com/upload/youtube/v3/videos?upload_id=***&part=x",
        ),
        ("GET /callback?code=4/0A&state=xyz HTTP", "GET /callback?code=***&state=*** HTTP"),
        ("https://usher/x.m3u8?sig=abc&token=%7B", "https://usher/x.m3u8?sig=***&token=***"),
        ("Cookie: auth-token=abc; b=c\nnext", "Cookie: ***\nnext"),
        ("yt-dlp --password hunter -v", "yt-dlp --password *** -v"),
        ("DB_PASSWORD=abc", "DB_PASSWORD=***"),
    ],
)
def test_what_looks_like_a_secret_is_masked(text: str, redacted: str) -> None:
    assert redact(text) == redacted


@pytest.mark.parametrize(
    "text",
    [
        "circuit breaker open, skipping processing",
        "ENCRYPTION_KEY: expected base64 of 32 bytes",
        "TWITCH_CLIENT_SECRET is not set",
        "https://www.twitch.tv/videos/123?t=1h",
        "OAuth credentials are missing; Basic authentication; Bearer token missing",
        "code=auth_expired state=open key=circuit_state",
        "http://127.0.0.1:8080/status",
        "quota exceeded (uploadLimitExceeded)",
        "segments=12/400 token_expires=2026-11-23T10:00:00Z",
    ],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize(
    "unit", ['token="', "'token':\"", "postgres://x:", "a://x:", "?code=", "a.", "a", "Cookie: "]
)
def test_no_text_takes_long(unit: str) -> None:
    """Titles and error pages are written by others; a quadratic pattern would halt the daemon."""
    started = time.process_time()
    redact(unit * (64 * 1024 // len(unit)))
    assert time.process_time() - started < 2
