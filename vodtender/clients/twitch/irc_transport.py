"""The way to a chat server: TCP, through a proxy or not, with TLS or not.

`ircs://` speaks TLS, verified as everywhere (`SSL_CERT_FILE`) and through `HTTPS_PROXY` unless
`NO_PROXY` names the host; `irc://` goes straight there in the clear.
"""

from __future__ import annotations

import socket
import ssl
from base64 import b64encode
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from vodtender.clients import http
from vodtender.clients.attempt import attempt
from vodtender.clients.certificates import trusted_certificates
from vodtender.errors import SettingsError, Transient

DEFAULT_ADDRESS = "ircs://irc.chat.twitch.tv:6697"

_PORTS = {"irc": 6667, "ircs": 6697}
_LONGEST_PROXY_ANSWER = 16 * 1024


def reach(
    address: str,
    timeout_seconds: float,
    give_up: Callable[[], bool],
    environ: Mapping[str, str] | None = None,
) -> socket.socket:
    """A socket that leads to the server. A name that is not resolved, a connection that nobody
    accepts or a handshake that nobody goes on with is left behind.

    Raises:
        Transient: the server cannot be reached in time, its certificate is not trusted, or
            `give_up` says so.
        SettingsError: the address is none, or `SSL_CERT_FILE` names nothing readable.
    """
    target = _target(address)
    try:
        return attempt(
            lambda: _connected(target, timeout_seconds, environ),
            timeout_seconds,
            give_up,
            socket.socket.close,
        )
    except (OSError, ValueError) as error:
        raise _unreachable(target.hostname or "", error) from error


def _connected(
    target: SplitResult, timeout_seconds: float, environ: Mapping[str, str] | None
) -> socket.socket:
    host, port = target.hostname or "", target.port or _PORTS[target.scheme]
    connected = _reached(target.scheme, host, port, timeout_seconds)
    if target.scheme == "ircs":
        connected = _encrypted(connected, host, environ)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connected


def _target(address: str) -> SplitResult:
    try:
        target = urlsplit(address)
        _ = target.port
    except ValueError:
        target = SplitResult("", "", "", "", "")
    if target.scheme not in _PORTS or not target.hostname:
        raise SettingsError(
            f"{address!r} is not the address of a chat server",
            hint=f"it should look like {DEFAULT_ADDRESS}",
        )
    return target


def _reached(scheme: str, host: str, port: int, timeout_seconds: float) -> socket.socket:
    proxy = _proxy_for(host, port) if scheme == "ircs" else None
    if proxy is None:
        return socket.create_connection((host, port), timeout_seconds)
    through = urlsplit(proxy if "//" in proxy else f"http://{proxy}")
    connected = socket.create_connection(
        (through.hostname or "", through.port or 3128), timeout_seconds
    )
    try:
        if through.scheme == "https":
            connected = _encrypted(connected, through.hostname or "", None)
        _open_tunnel(connected, host, port, through)
    except BaseException:
        connected.close()
        raise
    return connected


def _proxy_for(host: str, port: int) -> str | None:
    """As requests decides it, so that all connections go the same way."""
    from requests.utils import get_environ_proxies, select_proxy

    url = f"https://{host}:{port}"
    return select_proxy(url, get_environ_proxies(url))


def _open_tunnel(connected: socket.socket, host: str, port: int, proxy: SplitResult) -> None:
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    request = [f"CONNECT {where} HTTP/1.1", f"Host: {where}", f"User-Agent: {http.USER_AGENT}"]
    if proxy.username:
        pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
        request.append(f"Proxy-Authorization: Basic {b64encode(pair.encode()).decode()}")
    connected.sendall(("\r\n".join(request) + "\r\n\r\n").encode())
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        # A byte at a time: what follows the answer is the server's.
        byte = connected.recv(1)
        if not byte or len(answer) > _LONGEST_PROXY_ANSWER:
            raise ConnectionError("the proxy broke off")
        answer += byte
    status = answer.split(b" ", 2)[1:2]
    if status != [b"200"]:
        said = status[0].decode("latin-1")[:10] if status else "nothing"
        raise ConnectionRefusedError(f"the proxy refuses with {said}")


def _encrypted(
    connected: socket.socket, host: str, environ: Mapping[str, str] | None
) -> socket.socket:
    trusted = trusted_certificates(environ)
    try:
        return _context(trusted).wrap_socket(connected, server_hostname=host)
    except BaseException:
        connected.close()
        raise


def _context(trusted: bool | str) -> ssl.SSLContext:
    if isinstance(trusted, str):
        is_directory = Path(trusted).is_dir()
        return ssl.create_default_context(
            cafile=None if is_directory else trusted, capath=trusted if is_directory else None
        )
    import certifi

    return ssl.create_default_context(cafile=certifi.where())


def _unreachable(host: str, error: Exception) -> Transient:
    what = f"the chat server {host} cannot be reached"
    if isinstance(error, ssl.SSLCertVerificationError):
        return Transient(
            f"{what}: its certificate is not trusted",
            hint="behind an intercepting proxy, point SSL_CERT_FILE at its certificate",
            code="unreachable",
        )
    return Transient(f"{what}: {reason(error)}", code="unreachable")


def reason(error: Exception) -> str:
    """Why a connection failed, in words."""
    if isinstance(error, TimeoutError):
        return "no answer within the time limit"
    if isinstance(error, socket.gaierror):
        return "its name is not known"
    text = getattr(error, "strerror", None) or str(error)
    return text or type(error).__name__
