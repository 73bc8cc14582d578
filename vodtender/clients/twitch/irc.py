"""One connection to Twitch's chat: reach it, log in, join a channel, hand over what is said.

Reference: https://dev.twitch.tv/docs/chat/irc/. `ircs://` speaks TLS, verified as everywhere
(`SSL_CERT_FILE`) and through `HTTPS_PROXY` unless `NO_PROXY` names the host; `irc://` goes
straight there in the clear.
"""

from __future__ import annotations

import contextlib
import random
import socket
import ssl
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from vodtender.clients import http
from vodtender.errors import AuthExpired, SettingsError, Transient
from vodtender.model import irc
from vodtender.model.chat import RECORDED

DEFAULT_ADDRESS = "ircs://irc.chat.twitch.tv:6697"

_PORTS = {"irc": 6667, "ircs": 6697}
_RECEIVE_BYTES = 256 * 1024
_LONGEST_LINE_BYTES = 64 * 1024
"""Twitch's are at most 8 KB of tags and 512 bytes; what never ends is dropped."""
_LONGEST_PROXY_ANSWER = 16 * 1024
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}".encode()
_JOINED = frozenset({b"JOIN", b"353", b"366", b"ROOMSTATE", b"PRIVMSG", b"USERNOTICE"})
_HINT = "vodtender auth login twitch"


@dataclass(frozen=True, slots=True)
class ChatLogin:
    """Who reads. The token is without `oauth:`."""

    username: str
    token: str


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a connection is waited for.

    After `idle_seconds` without a line the server is asked for a sign of life, and given
    `answer_seconds` for it.
    """

    connect_seconds: float = 15.0
    join_seconds: float = 15.0
    idle_seconds: float = 60.0
    answer_seconds: float = 15.0


@dataclass(slots=True)
class Heard:
    """What came at once: lines worth recording, without their ends."""

    lines: list[bytes]
    wants_reconnect: bool = False


class IrcConnection:
    """Logged in and in the channel. Used by one thread, but for `close`."""

    def __init__(
        self, connected: socket.socket, channel: str, login: ChatLogin | None, patience: Patience
    ) -> None:
        self.identity = login.username if login else f"justinfan{random.randrange(10_000, 90_000)}"  # noqa: S311
        self.heard_at = time.time()
        """When the server last gave a sign of life (Unix time)."""
        self._socket = connected
        self._channel = channel.lower()
        self._login = login
        self._patience = patience
        self._rest = b""
        self._skipping = False
        self._asked = False
        self._welcome = False
        self._joined = False

    def join(self, give_up: Callable[[], bool] = lambda: False) -> Heard:
        """Logs in and joins; returns what was heard meanwhile.

        Raises:
            AuthExpired: the login is refused.
            Transient: the connection broke, or the channel was not joined in time.
        """
        secret = (
            f"oauth:{self._login.token.removeprefix('oauth:')}" if self._login else "SCHMOOPIIE"
        )
        for line in (
            irc.write("CAP", ["REQ", "twitch.tv/tags twitch.tv/commands twitch.tv/membership"]),
            f"PASS {secret}",
            f"NICK {self.identity}",
            f"JOIN #{self._channel}",
        ):
            self._send(line)
        heard = Heard([])
        deadline = time.monotonic() + self._patience.join_seconds
        while not self._joined:
            left = deadline - time.monotonic()
            if left <= 0:
                raise Transient("the chat server did not let us in within the time limit")
            if give_up():
                raise Transient("given up")
            self._take(heard, min(left, 0.5))
        return heard

    def receive(self, timeout_seconds: float) -> Heard:
        """What came within the timeout, as soon as anything comes. Answers the server's PING,
        and asks after the server itself when it is silent for long.

        Raises:
            Transient: the connection broke, or the server gives no sign of life.
        """
        heard = Heard([])
        self._take(heard, timeout_seconds)
        silent = time.time() - self.heard_at
        if not self._asked and silent >= self._patience.idle_seconds:
            self._asked = True
            self._send("PING :vodtender")
        elif silent >= self._patience.idle_seconds + self._patience.answer_seconds:
            raise Transient("the chat server gives no sign of life", code="silent")
        return heard

    def close(self) -> None:
        """Ends the connection, also under a thread that waits for it."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            self._socket.close()

    def _take(self, heard: Heard, timeout_seconds: float) -> None:
        try:
            self._socket.settimeout(timeout_seconds)
            data = self._socket.recv(_RECEIVE_BYTES)
        except (TimeoutError, ssl.SSLWantReadError):
            return
        except (OSError, ValueError) as error:
            raise _broken(error) from error
        if not data:
            raise Transient("the chat server ended the connection", code="closed")
        self.heard_at = time.time()
        self._asked = False
        for line in self._lines(data):
            self._sort(line, heard)

    def _lines(self, data: bytes) -> list[bytes]:
        """Whole lines. Half ones wait for their rest; what is too long is dropped."""
        if b"\0" in data:  # no IRC has it, and no database takes it
            data = data.replace(b"\0", _REPLACEMENT)
        lines = data.split(b"\n")
        lines[0] = self._rest + lines[0]
        self._rest = lines.pop()
        if lines and self._skipping:
            self._skipping = False
            del lines[0]
        if len(self._rest) > _LONGEST_LINE_BYTES:
            self._skipping = True
        if self._skipping:
            self._rest = b""
        return lines

    def _sort(self, line: bytes, heard: Heard) -> None:
        line = line.rstrip(b"\r")
        command = irc.command_of(line)
        if command in RECORDED:
            if len(line) <= _LONGEST_LINE_BYTES:
                heard.lines.append(line)
            self._joined = True
        elif command == b"PING":
            self._send(f"PONG {line.partition(b' ')[2].decode('utf-8', 'replace')}".rstrip())
        elif command == b"RECONNECT":
            heard.wants_reconnect = True
        elif not self._joined:
            self._follow_login(line, command)

    def _follow_login(self, line: bytes, command: bytes) -> None:
        if command == b"001":
            self._welcome = True
        elif command in _JOINED:
            self._joined = self._is_ours(line, command)
        elif command == b"NOTICE" and not self._welcome:
            parsed = irc.parse(line.decode("utf-8", "replace"))
            if parsed is not None and parsed.params[:1] == ["*"]:
                raise self._refused(parsed.last)
        elif command == b"NOTICE":
            said = line.decode("utf-8", "replace").partition(" NOTICE ")[2]
            raise Transient(f"the channel's chat cannot be joined: {said[:200]}", code="closed")

    def _is_ours(self, line: bytes, command: bytes) -> bool:
        if command != b"JOIN":
            return True
        parsed = irc.parse(line.decode("utf-8", "replace"))
        return parsed is not None and parsed.nick.lower() == self.identity.lower()

    def _refused(self, said: str) -> AuthExpired | Transient:
        """Before it welcomes us a server says only one thing: that it does not want to."""
        if self._login is None:
            return Transient(f"the chat server lets nobody in: {said[:200]}", code="closed")
        return AuthExpired(
            f"Twitch's chat refuses the login as {self._login.username}: {said[:200]}", hint=_HINT
        )

    def _send(self, line: str) -> None:
        try:
            self._socket.settimeout(self._patience.answer_seconds)
            self._socket.sendall(f"{line}\r\n".encode())
        except (OSError, ValueError) as error:
            raise _broken(error) from error


def connect(
    address: str,
    channel: str,
    login: ChatLogin | None,
    patience: Patience | None = None,
    environ: Mapping[str, str] | None = None,
) -> IrcConnection:
    """A connection that is not logged in yet: call `join`. Without a login, anonymous.

    Raises:
        Transient: the server cannot be reached, or its certificate is not trusted.
        SettingsError: the address is none, or `SSL_CERT_FILE` names nothing readable.
    """
    patience = patience or Patience()
    target = _target(address)
    host, port = target.hostname or "", target.port or _PORTS[target.scheme]
    try:
        connected = _reached(target.scheme, host, port, patience.connect_seconds)
        if target.scheme == "ircs":
            connected = _encrypted(connected, host, environ)
    except (OSError, ValueError) as error:
        raise _unreachable(host, error) from error
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return IrcConnection(connected, channel, login, patience)


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
    trusted = http.trusted_certificates(environ)
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
    return Transient(f"{what}: {_reason(error)}", code="unreachable")


def _broken(error: Exception) -> Transient:
    return Transient(f"the connection to the chat broke: {_reason(error)}", code="broken")


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer within the time limit"
    if isinstance(error, socket.gaierror):
        return "its name is not known"
    text = getattr(error, "strerror", None) or str(error)
    return text or type(error).__name__
