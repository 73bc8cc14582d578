"""One client of the chat server: its login, what it has joined, and what goes out to it."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from tests.sandbox import irc_lines
from tests.sandbox.irc_lines import SERVER

if TYPE_CHECKING:
    from tests.sandbox.irc import Chat

LONGEST_LINE_BYTES = 8192


class Client:
    """Reads in the thread that runs `run`; writes in one of its own, in the order given."""

    def __init__(self, chat: Chat, connection: socket.socket) -> None:
        self.chat = chat
        self.nick = ""
        self.token: str | None = None
        self.capabilities: set[str] = set()
        self.joined: set[str] = set()
        self.welcomed = False
        self.pongs = 0
        self._connection = connection
        self._wake = threading.Condition()
        self._outgoing: deque[bytes] = deque()
        self._closing = False

    @property
    def anonymous(self) -> bool:
        return self.nick.startswith("justinfan")

    def send(self, data: bytes | str) -> None:
        """Goes out after what was sent before."""
        with self._wake:
            self._outgoing.append(data.encode() if isinstance(data, str) else data)
            self._wake.notify()

    def finish(self) -> None:
        """Closes once all is sent."""
        with self._wake:
            self._closing = True
            self._wake.notify()

    def cut(self) -> None:
        """Closes at once; what was not sent is lost."""
        with self._wake:
            self._outgoing.clear()
            self._closing = True
            self._wake.notify()
        self._shut()

    @property
    def unsent(self) -> bool:
        with self._wake:
            return bool(self._outgoing)

    def run(self) -> None:
        """Serves until either side closes."""
        writer = threading.Thread(target=self._write, daemon=True)
        writer.start()
        try:
            with contextlib.suppress(OSError, ValueError), self._connection.makefile("rb") as lines:
                while line := lines.readline(LONGEST_LINE_BYTES):
                    self._hear(line.decode("utf-8", "replace").rstrip("\r\n"))
        finally:
            self.finish()
            writer.join(5)
            self._connection.close()

    def _shut(self) -> None:
        # The plain socket's: an SSLSocket's own would first want to say goodbye.
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self._connection, socket.SHUT_RDWR)

    def _write(self) -> None:
        while (data := self._next()) is not None:
            try:
                self._deliver(data)
            except OSError:
                break
            with self._wake:
                if self._outgoing:
                    self._outgoing.popleft()
            self.chat.changed()
        self._shut()

    def _next(self) -> bytes | None:
        """What is to go out; None at the end."""
        with self._wake:
            while True:
                if self.chat.frozen and not self._closing:
                    self._wake.wait(0.05)
                elif self._outgoing and not self.chat.frozen:
                    return self._outgoing[0]
                elif self._closing:
                    return None
                else:
                    self._wake.wait()

    def _deliver(self, data: bytes) -> None:
        size = self.chat.piece_bytes
        if size is None:
            self._connection.sendall(data)
            return
        for start in range(0, len(data), size):
            self._connection.sendall(data[start : start + size])
            time.sleep(self.chat.piece_pause_seconds)

    def _hear(self, line: str) -> None:
        self.chat.note(self, line)
        command, _, rest = line.partition(" ")
        if self.chat.frozen:
            return
        match command.upper():
            case "CAP" if rest.upper().startswith("REQ"):
                asked = rest.partition(":")[2].split()
                self.capabilities |= set(asked)
                self.send(f":{SERVER} CAP * ACK :{' '.join(asked)}\r\n")
            case "PASS":
                self.token = rest.removeprefix(":")
            case "NICK":
                self.nick = rest.removeprefix(":").lower()
                self._login()
            case "JOIN" if self.welcomed:
                for name in rest.split(","):
                    self._join(name.strip().removeprefix("#"))
            case "PART":
                self.joined -= {name.strip().removeprefix("#") for name in rest.split(",")}
            case "PING":
                self.send(f":{SERVER} PONG {SERVER} :{rest.removeprefix(':')}\r\n")
            case "PONG":
                self.pongs += 1
            case "QUIT":
                self.finish()
            case _:
                pass

    def _login(self) -> None:
        refusal = None if self.anonymous else self.chat.refusal(self.token)
        if refusal is not None:
            self.send(f":{SERVER} NOTICE * :{refusal}\r\n")
            self.finish()
            return
        self.welcomed = True
        self.send(irc_lines.welcome(self.nick))
        if not self.anonymous:
            self.send(f"@badges=;color=;display-name={self.nick} :{SERVER} GLOBALUSERSTATE\r\n")
        self.chat.changed()

    def _join(self, channel: str) -> None:
        if channel not in self.chat.catalog.channels:
            text = "This channel does not exist or has been suspended."
            self.send(f"@msg-id=msg_channel_suspended :{SERVER} NOTICE #{channel} :{text}\r\n")
            return
        if self.chat.deaf_joins:
            return
        self.send(irc_lines.joined(self.nick, channel, self.chat.room_id(channel)))
        self.chat.join(self, channel)
