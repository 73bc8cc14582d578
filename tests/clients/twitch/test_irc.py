"""One connection to the chat, against the sandbox's server."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sandbox.world import World
from vodtender.clients.twitch import irc
from vodtender.clients.twitch.irc import ChatLogin, IrcConnection, Patience
from vodtender.clients.twitch.irc_transport import DEFAULT_ADDRESS
from vodtender.errors import AuthExpired, SettingsError, Transient

PATIENT = Patience()
HASTY = Patience(join_seconds=0.3, idle_seconds=0.2, answer_seconds=0.4)


@pytest.fixture
def twitch(in_world: World) -> World:
    in_world.add_channel("alice")
    return in_world


@contextmanager
def joined(
    world: World,
    address: str | None = None,
    login: ChatLogin | None = None,
    patience: Patience = PATIENT,
) -> Iterator[IrcConnection]:
    connection = irc.connect(address or world.chat.plain_url, "alice", login, patience)
    try:
        connection.join()
        world.chat.wait_joined("alice")
        yield connection
    finally:
        connection.close()


def heard(connection: IrcConnection, enough: Callable[[list[bytes]], bool]) -> list[bytes]:
    lines: list[bytes] = []
    deadline = time.monotonic() + 10
    while not enough(lines):
        assert time.monotonic() < deadline, lines
        lines += connection.receive(0.2).lines
    return lines


def said(connection: IrcConnection, last: bytes) -> list[bytes]:
    """What was said up to this text."""
    lines = heard(connection, lambda lines: bool(lines) and lines[-1].endswith(last))
    return [line.partition(b" PRIVMSG #alice :")[2] for line in lines]


def test_it_reads_anonymously_and_hears_what_is_said(twitch: World) -> None:
    with joined(twitch) as connection:
        assert connection.identity.startswith("justinfan")
        twitch.chat.say("alice", "hello")
        assert said(connection, b"hello") == [b"hello"]
    assert "CAP REQ :twitch.tv/tags twitch.tv/commands twitch.tv/membership" in twitch.chat.received


def test_tls_goes_through_the_proxy_and_is_verified(
    twitch: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with joined(twitch, DEFAULT_ADDRESS) as connection:
        twitch.chat.say("alice", "hello")
        assert said(connection, b"hello") == [b"hello"]
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(Transient, match="certificate is not trusted"):
        irc.connect(DEFAULT_ADDRESS, "alice", None)


def test_no_proxy_is_asked_for_whom_no_proxy_names(
    twitch: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("HTTPS_PROXY", "http://127.0.0.1:1"), ("NO_PROXY", "")):
        monkeypatch.setenv(name, value)
        monkeypatch.setenv(name.lower(), value)
    with pytest.raises(Transient, match="cannot be reached"):
        irc.connect(twitch.chat.url, "alice", None)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "localhost")
    with joined(twitch, twitch.chat.url):
        pass


def test_a_refused_login_is_told_from_a_broken_connection(twitch: World) -> None:
    with (
        pytest.raises(AuthExpired, match="Login authentication failed") as caught,
        joined(twitch, login=ChatLogin("bot", "wrong")),
    ):
        pass
    assert "wrong" not in str(caught.value)
    assert caught.value.hint == "vodtender auth login twitch"


def test_a_channel_that_is_not_there_is_told(twitch: World) -> None:
    connection = irc.connect(twitch.chat.plain_url, "nobody", None)
    with pytest.raises(Transient, match="suspended"):
        connection.join()
    connection.close()


def test_a_join_that_is_not_answered_is_no_join(twitch: World) -> None:
    twitch.chat.deaf_joins = True
    connection = irc.connect(twitch.chat.plain_url, "alice", None, HASTY)
    with pytest.raises(Transient, match="time limit"):
        connection.join()
    connection.close()


def test_pings_are_answered(twitch: World) -> None:
    with joined(twitch) as connection:
        twitch.chat.ping()
        twitch.chat.say("alice", "after")
        said(connection, b"after")
        twitch.chat.wait(lambda chat: any(client.pongs for client in chat.clients))


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        (b"PING :tmi.twitch.tv", b"PONG :tmi.twitch.tv\r\n"),
        (b":tmi.twitch.tv PING :a b", b"PONG :a b\r\n"),
        (b"PING", b"PONG\r\n"),
    ],
)
def test_a_ping_is_answered_with_what_it_says(asked: bytes, answer: bytes) -> None:
    with wire() as (server, connection):
        server.sendall(asked + b"\r\n")
        connection.receive(5)
        assert server.recv(1000) == answer


def test_a_silent_server_is_asked_for_a_sign_of_life(twitch: World) -> None:
    with joined(twitch, patience=HASTY) as connection:
        deadline = time.monotonic() + 2 * (HASTY.idle_seconds + HASTY.answer_seconds)
        while time.monotonic() < deadline:
            connection.receive(0.05)
        twitch.chat.frozen = True
        with pytest.raises(Transient, match="no sign of life"):
            heard(connection, lambda _lines: False)
        twitch.chat.frozen = False


def test_twitchs_wish_to_connect_anew_is_handed_on(twitch: World) -> None:
    with joined(twitch) as connection:
        twitch.chat.reconnect()
        while not connection.receive(1).wants_reconnect:
            pass
        twitch.chat.say("alice", "still here")
        assert said(connection, b"still here") == [b"still here"]


def test_an_end_is_told(twitch: World) -> None:
    with joined(twitch) as connection:
        twitch.chat.finish()
        with pytest.raises(Transient, match="ended the connection"):
            heard(connection, lambda _lines: False)


def test_joins_and_parts_of_others_are_left_out(twitch: World) -> None:
    with joined(twitch) as connection:
        flood = b"".join(
            b":u%d!u%d@x JOIN #alice\r\n:u%d!u@x PART #alice\r\n" % (n, n, n) for n in range(5000)
        )
        twitch.chat.raw("alice", flood)
        twitch.chat.say("alice", "after")
        assert said(connection, b"after") == [b"after"]


def test_no_server_and_no_address_are_told_apart() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(Transient, match="cannot be reached"):
        irc.connect(f"irc://127.0.0.1:{port}", "alice", None)
    for address in ("http://x", "irc.chat.twitch.tv", "ircs://", "irc://x:port"):
        with pytest.raises(SettingsError):
            irc.connect(address, "alice", None)


@pytest.mark.parametrize("reason", ["time is up", "told to stop"])
def test_a_handshake_that_hangs_is_left(reason: str) -> None:
    told = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"ircs://127.0.0.1:{server.getsockname()[1]}"
        patience = PATIENT if reason == "told to stop" else Patience(connect_seconds=0.3)
        threading.Timer(0.3, told.set).start()
        began = time.monotonic()
        with pytest.raises(Transient, match="no answer within the time limit"):
            irc.connect(address, "alice", None, patience, give_up=told.is_set)
        assert time.monotonic() - began < 5
        accepted, _ = server.accept()
        accepted.close()


@contextmanager
def wire() -> Iterator[tuple[socket.socket, IrcConnection]]:
    """The server's end, and a connection that takes whatever comes from there."""
    server, client = socket.socketpair()
    with server:
        connection = IrcConnection(client, "alice", None, PATIENT)
        yield server, connection
        connection.close()


_LINE = b":bob!bob@bob PRIVMSG #alice :%d %s"


@settings(max_examples=50, deadline=None)
@given(
    texts=st.lists(st.binary(max_size=60).filter(lambda b: b"\n" not in b and b"\r" not in b)),
    sizes=st.lists(st.integers(1, 80), min_size=1),
)
def test_lines_arrive_whole_however_they_are_cut(texts: list[bytes], sizes: list[int]) -> None:
    lines = [_LINE % (number, text) for number, text in enumerate(texts)]
    data = b"".join(line + b"\r\n" for line in lines)
    found: list[bytes] = []
    with wire() as (server, connection):
        while data:
            size = sizes[len(data) % len(sizes)]
            server.sendall(data[:size])
            data = data[size:]
            found += connection.receive(1).lines
    assert found == [line.replace(b"\0", b"\xef\xbf\xbd") for line in lines]


def test_long_lines_are_taken_and_endless_ones_are_dropped_alone() -> None:
    long = _LINE % (1, b"x" * 8192)
    data = long + b"\r\n" + b"y" * 300_000 + b"\r\n" + (_LINE % (2, b"after")) + b"\r\n"
    found: list[bytes] = []
    with wire() as (server, connection):
        sender = threading.Thread(target=server.sendall, args=(data,))
        sender.start()
        while len(found) < 2:
            found += connection.receive(1).lines
        sender.join()
    assert found == [long, _LINE % (2, b"after")]
