"""What must not leave this process: known secrets, and what looks like one.

It lives below `log`, because `load` is the first to see the secrets and registers them here.
"""

from __future__ import annotations

import json
import re
import threading
from urllib.parse import quote, quote_plus

MASK = "***"

SHORTEST_HIDDEN = 6
"""A shorter secret would turn up in ordinary words: with the password `vod`, every `vod` in
the log would be masked. It is still masked where a pattern finds it."""

_NAMES = (
    r"access_token|refresh_token|id_token|client_secret|password|passwd|pwd|secret|token"
    r"|authorization|api_?key|device_code|code_verifier|upload_id|cookie|sslpassword"
    r"|encryption_key|twitch_client_secret|yt_client_secret|db_password"
)
_PATTERNS = (
    # A scheme of the Authorization header; `oauth:` is how chat writes its password.
    (re.compile(r"\b(Bearer)\s+(?!token|auth)[A-Za-z0-9._~+/=-]{6,}", re.I), r"\1 " + MASK),
    (re.compile(r"\b(Basic|OAuth)\s+(?=\S*[0-9=])[A-Za-z0-9._~+/=-]{8,}", re.I), r"\1 " + MASK),
    (re.compile(r"\boauth:[A-Za-z0-9]{4,}", re.I), f"oauth:{MASK}"),
    # name=value, as in forms, queries and command lines.
    (
        re.compile(
            rf"(?<![A-Za-z0-9])((?:{_NAMES})=)(?:([\"']).*?\2|[^\s&,;\"'}})\]]+)", re.I | re.S
        ),
        r"\1" + MASK,
    ),
    # "name": "value", as in JSON (also within a JSON string) and in Python's dictionaries.
    (
        re.compile(
            rf"(\\?[\"'](?:{_NAMES})\\?[\"']\s*:\s*)(?:(\\?[\"']).*?\2|[^\s,}}]+)", re.I | re.S
        ),
        r"\1" + MASK,
    ),
    (re.compile(r"\b((?:Set-)?Cookie|Authorization):\s*[^\r\n]+", re.I), r"\1: " + MASK),
    (
        re.compile(r"([?&](?:code|state|sig|nauth|nauthsig|key|X-Amz-[a-z-]+)=)[^\s&#\"']+", re.I),
        r"\1" + MASK,
    ),
    (re.compile(r"(?<!\S)(--?(?:video-)?password[= ])\S+", re.I), r"\1" + MASK),
    (re.compile(r"\b(postgres(?:ql)?://[^\s:/@]{0,255}):\S{0,1000}@", re.I), r"\1:" + MASK + "@"),
    (
        re.compile(r"\b([a-z][a-z0-9+-]{0,15}://[^\s:/@]{0,255}):[^\s/@]*@", re.I),
        r"\1:" + MASK + "@",
    ),
)

_lock = threading.Lock()
_hidden: tuple[str, ...] = ()


def hide(secret: str) -> None:
    """From now on `redact` masks this text wherever it stands, also percent-encoded or escaped."""
    global _hidden  # noqa: PLW0603
    written = secret.strip()
    if len(written) < SHORTEST_HIDDEN:
        return
    spellings = {
        written,
        quote(written, safe=""),
        quote_plus(written),
        json.dumps(written)[1:-1],
        repr(written)[1:-1],
    }
    with _lock:
        # The longest first: one secret may be the beginning of another.
        _hidden = tuple(sorted({*_hidden, *spellings}, key=len, reverse=True))


def redact(text: str) -> str:
    """The text with `***` for every hidden secret, and for what looks like one."""
    for secret in _hidden:
        if secret in text:
            text = text.replace(secret, MASK)
    for pattern, masked in _PATTERNS:
        text = pattern.sub(masked, text)
    return text
