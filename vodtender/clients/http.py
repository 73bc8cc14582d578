"""The one way vodtender speaks HTTP: proxies, certificates, time limits, and what a
broken connection means.

`session()` gives a `requests.Session` that differs from a plain one in five ways:

- every request has a time limit, also where the caller forgot one;
- `SSL_CERT_FILE` is honoured, and before the variables that requests reads by itself;
- a `.netrc` on the machine never replaces the credentials of a request;
- nothing is ever sent a second time behind the caller's back;
- after a failure it is known whether the request had left this machine, which decides
  between "try again" and "ask first".
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.poolmanager import PoolManager
from urllib3.util.retry import Retry

from vodtender import __version__
from vodtender.clients.certificates import trusted_certificates
from vodtender.errors import Transient, Uncertain

CONNECT_TIMEOUT_SECONDS = 15.0
"""For connecting and for each write: urllib3 uses one limit for both."""
READ_TIMEOUT_SECONDS = 60.0

_POOL_HOSTS = 8
_POOL_CONNECTIONS_PER_HOST = 8
_SEND_BLOCK_BYTES = 128 * 1024

USER_AGENT = f"vodtender/{__version__}"

_in_flight = threading.local()


class _Connection(HTTPConnection):
    """Notes the moment at which the first byte of a request leaves for the server."""

    def endheaders(self, *args: Any, **kwargs: Any) -> None:
        if self.sock is None:
            self.connect()
        _in_flight.sent = True
        super().endheaders(*args, **kwargs)


class _SecureConnection(HTTPSConnection):
    """The same over TLS; a CONNECT to a proxy and the handshake come before that moment."""

    def endheaders(self, *args: Any, **kwargs: Any) -> None:
        if self.sock is None:
            self.connect()
        _in_flight.sent = True
        super().endheaders(*args, **kwargs)


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


_POOLS = {"http": _Pool, "https": _SecurePool}


class _Adapter(HTTPAdapter):
    """Never re-sends, and marks each failure with whether the request had been sent."""

    def __init__(self) -> None:
        super().__init__(
            pool_connections=_POOL_HOSTS,
            pool_maxsize=_POOL_CONNECTIONS_PER_HOST,
            max_retries=Retry(0, read=False),
        )

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, blocksize=_SEND_BLOCK_BYTES, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> PoolManager:
        manager: PoolManager = super().proxy_manager_for(
            proxy, **{"blocksize": _SEND_BLOCK_BYTES, **kwargs}
        )
        if not urlsplit(proxy).scheme.lower().startswith("socks"):
            manager.pool_classes_by_scheme = _POOLS
        return manager

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        _in_flight.sent = False
        try:
            return super().send(*args, **kwargs)
        except Exception as error:
            error.vodtender_sent = _in_flight.sent  # type: ignore[attr-defined]
            raise


class _Session(requests.Session):
    """See `session`."""

    def __init__(self, timeout_seconds: tuple[float, float], verify: bool | str) -> None:
        super().__init__()
        self._timeout_seconds = timeout_seconds
        self.verify = verify
        # Any `auth` at all keeps requests from looking into ~/.netrc.
        self.auth = _leave_headers_alone
        self.headers["User-Agent"] = USER_AGENT
        self.mount("https://", _Adapter())
        self.mount("http://", _Adapter())

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        if kwargs.get("timeout") is None:
            kwargs["timeout"] = self._timeout_seconds
        return super().send(request, **kwargs)

    def merge_environment_settings(self, *args: Any, **kwargs: Any) -> Any:
        """Requests looks for certificates in the environment itself, and not for ours."""
        return {**super().merge_environment_settings(*args, **kwargs), "verify": self.verify}

    def rebuild_proxies(self, prepared_request: requests.PreparedRequest, _proxies: Any) -> Any:
        """After a redirect `NO_PROXY` is asked again; requests keeps the first answer."""
        current = get_environ_proxies(prepared_request.url or "")
        return super().rebuild_proxies(prepared_request, current)

    def rebuild_auth(
        self, prepared_request: requests.PreparedRequest, response: requests.Response
    ) -> None:
        """After a redirect: drop the credentials for another host, and consult no netrc."""
        before, after = response.request.url or "", prepared_request.url or ""
        if self.should_strip_auth(before, after):
            prepared_request.headers.pop("Authorization", None)


def _leave_headers_alone(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def session(
    *,
    connect_timeout_seconds: float = CONNECT_TIMEOUT_SECONDS,
    read_timeout_seconds: float = READ_TIMEOUT_SECONDS,
    environ: Mapping[str, str] | None = None,
) -> requests.Session:
    """A new session. `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` are read at each request.

    One session may be used from several threads as long as nobody changes its attributes.

    Raises:
        SettingsError: `SSL_CERT_FILE` (or a variable in its place) names nothing readable.
    """
    timeout_seconds = (connect_timeout_seconds, read_timeout_seconds)
    return _Session(timeout_seconds, trusted_certificates(environ))


def answer_for(
    error: Exception, *, what: str, may_take_effect: bool = False
) -> Transient | Uncertain:
    """What a failed exchange means. `what` names it in words: "asking Twitch for videos".

    `may_take_effect`: the request changes something that must not happen twice. Then the
    answer is `Uncertain`, unless the request had not been sent when it failed.
    """
    reason = _reason(error)
    if may_take_effect and was_sent(error):
        return Uncertain(
            f"{what}: {reason} after the request was sent, so it may have taken effect",
            code="answer_lost",
        )
    return Transient(f"{what}: {reason}", hint=_hint(error), code="unreachable")


def was_sent(error: BaseException) -> bool:
    """Whether the request may have reached the server. In doubt, True."""
    if isinstance(error, requests.RequestException) and isinstance(error, ValueError):
        return isinstance(error, requests.exceptions.JSONDecodeError)  # bad URL, bad header …
    return bool(getattr(error, "vodtender_sent", True))


_REASONS: tuple[tuple[type[Exception], str], ...] = (
    # Ours are all well-formed.
    (requests.exceptions.InvalidURL, "the address of the proxy is malformed"),
    (requests.exceptions.ProxyError, "the proxy cannot be reached or refuses"),
    (requests.exceptions.ConnectTimeout, "no connection within the time limit"),
    (requests.exceptions.ReadTimeout, "no answer within the time limit"),
    (requests.exceptions.Timeout, "no answer within the time limit"),
    (requests.exceptions.ChunkedEncodingError, "the answer broke off"),
    (requests.exceptions.ContentDecodingError, "the answer cannot be decoded"),
    (requests.exceptions.JSONDecodeError, "the answer is not JSON"),
    (requests.exceptions.TooManyRedirects, "the server redirects in a circle"),
)


def _reason(error: Exception) -> str:
    """In our own words: a foreign message may hold an address with a password in it."""
    if _caused_by(error, ssl.SSLCertVerificationError):
        return "the server's certificate is not trusted"
    for kind, words in _REASONS:
        if isinstance(error, kind) and not _wrongly_of_the_proxy(error):
            return words
    if isinstance(error, requests.exceptions.SSLError):
        return "the encrypted connection failed"
    if isinstance(error, requests.exceptions.ConnectionError) and not was_sent(error):
        return "no connection to the server"
    if isinstance(error, requests.exceptions.ConnectionError):
        return "the connection broke"
    return f"the exchange failed ({type(error).__name__})"


def _wrongly_of_the_proxy(error: Exception) -> bool:
    """A connection that the server drops is closed before urllib3 asks whether it had passed
    the proxy, so that it blames the proxy; but what was sent has passed it."""
    return isinstance(error, requests.exceptions.ProxyError) and was_sent(error)


def _hint(error: Exception) -> str:
    if _caused_by(error, ssl.SSLCertVerificationError):
        return "behind an intercepting proxy, point SSL_CERT_FILE at its certificate"
    if _wrongly_of_the_proxy(error):
        return ""
    if isinstance(error, (requests.exceptions.ProxyError, requests.exceptions.InvalidURL)):
        return "check HTTPS_PROXY and NO_PROXY"
    return ""


def _caused_by(error: BaseException, kind: type[BaseException]) -> bool:
    """Whether an exception of that kind lies anywhere beneath this one."""
    pending: list[BaseException] = [error]
    seen: set[int] = set()
    while pending:
        current = pending.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        if isinstance(current, kind):
            return True
        inside = (current.__cause__, current.__context__, getattr(current, "reason", None))
        pending += [e for e in (*inside, *current.args) if isinstance(e, BaseException)]
    return False
