"""What a failure inside yt-dlp means, told from its types and HTTP statuses only."""

from __future__ import annotations

import errno
import json
import socket
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from yt_dlp.networking.exceptions import (
    CertificateVerifyError,
    HTTPError,
    ProxyError,
    RequestError,
)
from yt_dlp.utils import YoutubeDLError

from vodtender.clients.retry_after import moment_to_return
from vodtender.errors import (
    AuthExpired,
    RateLimited,
    Rejected,
    Transient,
    VodtenderError,
)

SUBSCRIBER_ONLY_CODES = frozenset({"vod_manifest_restricted", "unauthorized_entitlements"})
"""Twitch's `error_code`s for a VOD that only subscribers may watch (yt-dlp's twitch.py)."""
GONE_STATUSES = frozenset({403, 404, 410})
_USUAL_WAIT = timedelta(seconds=60)
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_NO_WAY = frozenset({errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH})
_BROKE = "the connection broke"
_TUNNEL_FAILED = "Tunnel connection failed: "
COOKIES_HINT = "vodtender auth import cookies FILE"


def meaning(error: BaseException, *, has_cookies: bool, asked_for: str = "") -> VodtenderError:
    """The answer that an exception from yt-dlp, the network or the disk stands for.

    `asked_for` says in words what Twitch was asked for.
    """
    for link in _chain(error):
        known = _known(link, has_cookies=has_cookies, asked_for=asked_for)
        if known is not None:
            return known
    if isinstance(error, (YoutubeDLError, OSError)):
        said = f"yt-dlp could not read the VOD: {words(error)}"
        return Transient(said, code="extraction_failed")
    said = f"The download stumbled over its own code: {type(error).__name__}: {error}"
    return Transient(said, code="child_failed")


def _known(link: BaseException, *, has_cookies: bool, asked_for: str) -> VodtenderError | None:
    """What one exception of the chain stands for by itself, if anything."""
    if isinstance(link, VodtenderError):
        return link
    if isinstance(link, HTTPError):
        return from_status(link, has_cookies=has_cookies, asked_for=asked_for)
    if isinstance(link, RequestError):
        return unreachable(link, "Twitch cannot be reached")
    if isinstance(link, OSError) and link.errno in _NO_ROOM:
        return disk_full()
    return garbage("it is not JSON") if isinstance(link, json.JSONDecodeError) else None


def unreachable(error: RequestError, what: str) -> Transient:
    """What a failed connection means; `what` says in words which. A proxy and an authority
    that nobody trusts are matters for whoever has set them."""
    told, hint = words(error), ""
    if isinstance(error, CertificateVerifyError):
        told = "its certificate is not trusted"
        hint = "behind an intercepting proxy, point SSL_CERT_FILE at its certificate"
    elif isinstance(error, ProxyError):
        told = _of_the_proxy(error)
        hint = "" if told == _BROKE else "check HTTPS_PROXY and NO_PROXY"
    elif any(isinstance(link, TimeoutError) for link in _chain(error)):
        told = "no answer within the time limit"
    return Transient(f"{what}: {told}", hint=hint, code="network")


def _of_the_proxy(error: ProxyError) -> str:
    """What the proxy said, or why there is no way to it, out of all that it is wrapped in. An
    address, which may hold a password, is not in it."""
    for link in _chain(error):
        if not isinstance(link, OSError):
            continue
        if str(link).startswith(_TUNNEL_FAILED):
            return f"the proxy refuses ({str(link).removeprefix(_TUNNEL_FAILED)})"
        if isinstance(link, socket.gaierror) or link.errno in _NO_WAY:
            return f"the proxy cannot be reached ({link.strerror})"
    # A connection that the server drops is called the proxy's fault, too.
    return _BROKE


def from_status(error: HTTPError, *, has_cookies: bool, asked_for: str = "") -> VodtenderError:
    """The answer that an HTTP status stands for."""
    status = error.status
    if asks_to_wait(error):
        until = wait_until(error.response.headers, datetime.now(UTC))
        return RateLimited(f"Twitch asks to wait (HTTP {status}).", until=until)
    if status == 401 and has_cookies:
        return AuthExpired(
            "Twitch refuses the login in the cookies file (HTTP 401): it has expired or was "
            "revoked.",
            hint=COOKIES_HINT,
            code="cookies_refused",
        )
    when = f" when asked for {asked_for}" if asked_for else ""
    return Transient(f"Twitch answered HTTP {status}{when}.", code=f"http_{status}")


def asks_to_wait(error: HTTPError) -> bool:
    """Whether the server says that it is busy, and until when if it is its own trouble."""
    busy = error.status == 503 and "Retry-After" in error.response.headers
    return busy or bool(error.status == 429)


def from_manifest_refusal(error: HTTPError, vod_id: str, *, has_cookies: bool) -> VodtenderError:
    """The answer that a refused playlist stands for: Twitch explains it in a JSON body."""
    if error.status in {404, 410}:
        return missing(vod_id)
    if error.status != 403:
        return from_status(error, has_cookies=has_cookies, asked_for=f"VOD {vod_id}'s playlists")
    error_code = _error_code(error)
    if error_code in SUBSCRIBER_ONLY_CODES:
        why = "the account in the cookies file is none" if has_cookies else "there are no cookies"
        return Rejected(
            f"VOD {vod_id} is for subscribers only, and {why}.",
            hint=f"{COOKIES_HINT}   (of a subscriber), then: vodtender retry {vod_id}",
            code="subscriber_only",
        )
    said = f" ({error_code})" if error_code else ""
    return Transient(f"Twitch refuses VOD {vod_id}'s playlist: HTTP 403{said}.", code="http_403")


def missing(vod_id: str) -> Rejected:
    """Twitch says there is no such VOD. It now and then says so for a moment: ask again."""
    return Rejected(f"Twitch says that VOD {vod_id} does not exist.", code="vod_missing")


def garbage(what: str) -> Transient:
    return Transient(f"Twitch's answer makes no sense: {what}.", code="garbage_answer")


def disk_full() -> Transient:
    return Transient(
        "The disk is full. What has come down so far is kept; the download goes on from there "
        "when there is room.",
        hint="vodtender prune --dry-run",
        code="disk_full",
    )


def wait_until(headers: Mapping[str, str], now: datetime) -> datetime:
    """When the pause ends that Twitch asks for."""
    until = moment_to_return(headers, now) or now + _USUAL_WAIT
    return max(until, now + timedelta(seconds=1))


def http_error(error: BaseException) -> HTTPError | None:
    """The HTTP answer behind an exception, if there is one."""
    return next((link for link in _chain(error) if isinstance(link, HTTPError)), None)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The exception and everything that it was raised from, outermost first."""
    seen: set[int] = set()
    waiting: list[Any] = [error]
    while waiting:
        link = waiting.pop(0)
        if not isinstance(link, BaseException) or id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        exc_info = getattr(link, "exc_info", None)
        waiting.append(exc_info[1] if isinstance(exc_info, tuple) and len(exc_info) > 1 else None)
        waiting += [getattr(link, "cause", None), link.__cause__, link.__context__, *link.args]


def _error_code(error: HTTPError) -> str:
    try:
        body = json.loads(error.response.read())
    except (ValueError, OSError, RequestError):
        return ""
    first = body[0] if isinstance(body, list) and body else body
    code = first.get("error_code") if isinstance(first, dict) else None
    return code[:100] if isinstance(code, str) else ""


def words(error: BaseException) -> str:
    """What an exception says, fit for a message."""
    told = [getattr(link, "orig_msg", None) for link in _chain(error)]
    text = next((one for one in told if isinstance(one, str)), str(error))
    # An address may carry a signed token in its query.
    bare = [word.partition("?")[0] if "://" in word else word for word in text.split()]
    return " ".join(bare)[:500]
