"""Twitch's chat server, with and without TLS, and a hand that scripts what happens on it.

    message = world.chat.say("alice", "hello", user="bob")
    world.chat.flood("alice", per_second=20_000, seconds=30)
    world.chat.delete(message)
    world.chat.reconnect()      # RECONNECT, as before maintenance
    world.chat.cut()            # every connection breaks
    assert stored_ids == {m.id for m in world.chat.said if m.heard}

`heard` is by how many connections a message was taken for sending: what is said while nobody is
joined is lost, as in life. A cut loses what lay in the buffers; say nothing in that moment if
you count. As a process of its own: `python -m tests.sandbox.irc_flood --help`.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from functools import partial

from tests.sandbox import irc_lines
from tests.sandbox.certificates import Certificates
from tests.sandbox.irc_client import Client
from tests.sandbox.irc_lines import SERVER, Flood, Said
from tests.sandbox.twitch_oauth import HelixToken
from tests.sandbox.vods import Catalog

HOST = "localhost"
TICK_SECONDS = 0.01


class Chat:
    """irc.chat.twitch.tv on two ports of this machine. Everything may be changed while it runs."""

    def __init__(
        self, catalog: Catalog, certificates: Certificates, tokens: dict[str, HelixToken]
    ) -> None:
        self.catalog = catalog
        self.refusing = False
        """New connections are closed as soon as they come."""
        self.refused_logins = 0
        """So many logins with a token are refused, however good it is."""
        self.frozen = False
        """Nothing goes out and nothing is answered, though the connections stay."""
        self.deaf_joins = False
        """A JOIN is not answered."""
        self.piece_bytes: int | None = None
        """Everything is sent in pieces of this size, so that lines arrive in halves."""
        self.piece_pause_seconds = 0.0
        self.received: list[str] = []
        """What clients have sent, without their passwords."""
        self.said: list[Said] = []
        self.floods: list[Flood] = []
        self.connections = 0
        """How many there ever were."""
        self._certificates = certificates
        self._tokens = tokens
        self._clients: list[Client] = []
        self._number = 0
        self._changed = threading.Condition(threading.RLock())
        self._listeners: dict[bool, socket.socket] = {}
        self._threads: list[threading.Thread] = []

    # --- the server itself ----------------------------------------------------------

    def start(self) -> None:
        for tls in (False, True):
            listener = socket.create_server(("127.0.0.1", 0), backlog=64)
            self._listeners[tls] = listener
            self._begin(partial(self._accept, listener, tls=tls))

    def stop(self) -> None:
        for listener in self._listeners.values():
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.cut()
        for thread in list(self._threads):
            thread.join(5)

    @property
    def url(self) -> str:
        """With TLS, for whoever trusts the world's authority."""
        return f"ircs://{HOST}:{self._listeners[True].getsockname()[1]}"

    @property
    def plain_url(self) -> str:
        return f"irc://{HOST}:{self._listeners[False].getsockname()[1]}"

    def tunnel(self, port: int) -> Callable[[socket.socket], None] | None:
        """Who serves what a proxy was asked to connect to this port; None: not ours."""
        tls = {s.getsockname()[1]: t for t, s in self._listeners.items()} | {6697: True}
        return None if port not in tls else lambda found: self.serve(found, tls=tls[port])

    def serve(self, connection: socket.socket, *, tls: bool) -> None:
        """One connection, until its end."""
        if tls:
            context = self._certificates.context("irc.chat.twitch.tv", HOST)
            try:
                connection = context.wrap_socket(connection, server_side=True)
            except OSError:
                connection.close()
                return
        client = Client(self, connection)
        with self._changed:
            self.connections += 1
            self._clients.append(client)
            self._changed.notify_all()
        try:
            client.run()
        finally:
            with self._changed:
                self._clients.remove(client)
                self._changed.notify_all()

    def _begin(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket, *, tls: bool) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.refusing:
                connection.close()
                continue
            self._begin(partial(self.serve, connection, tls=tls))

    # --- what clients ask of it -----------------------------------------------------

    def note(self, _client: Client, line: str) -> None:
        with self._changed:
            self.received.append("PASS ***" if line.upper().startswith("PASS") else line)
            self._changed.notify_all()

    def refusal(self, password: str | None) -> str | None:
        """Why Twitch does not let somebody in; None: it does."""
        with self._changed:
            if self.refused_logins:
                self.refused_logins -= 1
                return "Login authentication failed"
        if not (password or "").startswith("oauth:"):
            return "Improperly formatted auth"
        held = self._tokens.get((password or "").removeprefix("oauth:"))
        good = held is not None and held.user is not None and "chat:read" in held.scopes
        return None if good else "Login authentication failed"

    def room_id(self, channel: str) -> str:
        return self.catalog.channels[channel].id

    def join(self, client: Client, channel: str) -> None:
        with self._changed:
            client.joined.add(channel)
            self._changed.notify_all()

    def changed(self) -> None:
        with self._changed:
            self._changed.notify_all()

    # --- what a test does and asks --------------------------------------------------

    @property
    def clients(self) -> list[Client]:
        with self._changed:
            return list(self._clients)

    def members(self, channel: str) -> list[Client]:
        """Who hears this channel."""
        return [client for client in self.clients if channel in client.joined]

    def wait(self, condition: Callable[[Chat], object], *, timeout_seconds: float = 10) -> None:
        """Until it holds of what has come from the clients; raises TimeoutError otherwise."""
        deadline = time.monotonic() + timeout_seconds
        with self._changed:
            while not condition(self):
                if not self._changed.wait(deadline - time.monotonic()):
                    raise TimeoutError(f"did not come in {timeout_seconds} s; {self.received[-9:]}")

    def wait_joined(self, channel: str, count: int = 1, *, timeout_seconds: float = 10) -> None:
        """Until exactly so many connections hear the channel."""
        self.wait(lambda chat: len(chat.members(channel)) == count, timeout_seconds=timeout_seconds)

    def say(
        self,
        channel: str,
        text: str,
        *,
        user: str = "viewer",
        at_ms: int | None = None,
        tags: dict[str, str] | None = None,
        repeats: int = 1,
    ) -> Said:
        """One PRIVMSG to all who have joined; sent again when it `repeats`."""
        line, said = self._message(channel, text, user, at_ms, tags or {})
        heard = self.raw(channel, line * repeats)
        said = Said(said.id, channel, user, text, said.sent_ms, heard)
        self.said.append(said)
        return said

    def event(self, channel: str, command: str, text: str | None = None, **tags: str) -> int:
        """Any other line of a channel: USERNOTICE, CLEARCHAT, CLEARMSG, NOTICE, …; names of
        tags with `_` for `-`. Returns how many heard it."""
        given = {name.replace("_", "-"): value for name, value in tags.items()}
        given.setdefault("room-id", self.room_id(channel))
        given.setdefault("tmi-sent-ts", str(int(time.time() * 1000)))
        end = "" if text is None else f" :{text}"
        line = f"@{irc_lines.tags_text(given)} :{SERVER} {command} #{channel}{end}\r\n"
        return self.raw(channel, line.encode())

    def delete(self, message: Said) -> None:
        """A moderator deletes one message."""
        self.event(
            message.channel,
            "CLEARMSG",
            message.text,
            login=message.user,
            target_msg_id=message.id,
        )

    def clear(self, channel: str, user: str | None = None, seconds: int | None = None) -> None:
        """Everything, or everything that one user said, is taken away (ban, or timeout)."""
        tags = {} if seconds is None else {"ban_duration": str(seconds)}
        if user is not None:
            tags["target_user_id"] = irc_lines.message_tags(0, user, "", 0)["user-id"]
        self.event(channel, "CLEARCHAT", user, **tags)

    def raw(self, channel: str | None, data: bytes) -> int:
        """These bytes to all who have joined (None: to all). Returns how many those are."""
        with self._changed:
            hearers = self._clients if channel is None else self.members(channel)
            for client in hearers:
                client.send(data)
            return len(hearers)

    def ping(self) -> None:
        self.raw(None, f"PING :{SERVER}\r\n".encode())

    def reconnect(self, *, close: bool = False) -> None:
        """Asks all to connect anew. The old connections still work, unless they `close`."""
        for client in self.clients:
            client.send(f":{SERVER} RECONNECT\r\n")
            if close:
                client.finish()

    def finish(self) -> None:
        """Closes every connection after all that was said has gone out."""
        for client in self.clients:
            client.finish()

    def cut(self) -> None:
        """Every connection breaks."""
        for client in self.clients:
            client.cut()

    def flood(
        self, channel: str, *, per_second: float, seconds: float, text: str = "flood"
    ) -> Flood:
        """Messages at this pace, from this thread; returns when all are on their way."""
        count = round(per_second * seconds)
        with self._changed:
            flood = Flood(channel, self._number + 1)
            self._number += count
        self.floods.append(flood)
        template = irc_lines.flood_template(channel, self.room_id(channel), text)
        begun = time.monotonic()
        while (done := len(flood.heard)) < count:
            due = min(count, int((time.monotonic() - begun) * per_second) + 1)
            if due == done:
                time.sleep(TICK_SECONDS)
                continue
            now_ms = int(time.time() * 1000)
            numbers = range(flood.first + done, flood.first + due)
            data = "".join(
                template % {"id": irc_lines.message_id(n), "ms": now_ms, "n": n} for n in numbers
            )
            heard = self.raw(channel, data.encode())
            flood.heard.extend([heard] * len(numbers))
        return flood

    def _message(
        self, channel: str, text: str, user: str, at_ms: int | None, more: dict[str, str]
    ) -> tuple[bytes, Said]:
        with self._changed:
            self._number += 1
            number = self._number
        sent_ms = int(time.time() * 1000) if at_ms is None else at_ms
        tags = irc_lines.message_tags(number, user, self.room_id(channel), sent_ms) | more
        source = f"{user}!{user}@{user}.{SERVER}"
        line = f"@{irc_lines.tags_text(tags)} :{source} PRIVMSG #{channel} :{text}\r\n"
        return line.encode(), Said(tags["id"], channel, user, text, sent_ms, 0)
