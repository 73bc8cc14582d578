"""One connection to Twitch's chat: reach it, log in, join a channel, hand over what is said.

Reference: https://dev.twitch.tv/docs/chat/irc/.
"""

from __future__ import annotations

import contextlib
import random
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from vodtender.clients.twitch.irc_transport import reach, reason
from vodtender.errors import AuthExpired, Transient
from vodtender.model import irc
from vodtender.model.chat import RECORDED

_RECEIVE_BYTES = 256 * 1024
_LONGEST_LINE_BYTES = 64 * 1024
"""Twitch's are at most 8 KB of tags and 512 bytes; what never ends is dropped."""
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
            asked = irc.parse(line.decode("utf-8", "replace"))
            self._send(irc.write("PONG", asked.params[-1:] if asked is not None else ()))
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
    *,
    give_up: Callable[[], bool] = lambda: False,
) -> IrcConnection:
    """A connection that is not logged in yet: call `join`. Without a login, anonymous.

    Raises:
        Transient: the server cannot be reached, its certificate is not trusted, or `give_up`
            says so.
        SettingsError: the address is none, or `SSL_CERT_FILE` names nothing readable.
    """
    patience = patience or Patience()
    connected = reach(address, patience.connect_seconds, give_up, environ)
    return IrcConnection(connected, channel, login, patience)


def _broken(error: Exception) -> Transient:
    return Transient(f"the connection to the chat broke: {reason(error)}", code="broken")
