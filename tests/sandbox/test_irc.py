"""The sandbox's chat server, as a plain client meets it."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO
from urllib.parse import urlsplit

import pytest

from tests.sandbox.world import World

CAPABILITIES = "twitch.tv/tags twitch.tv/commands twitch.tv/membership"


@contextmanager
def _connected(url: str, authority: str) -> Iterator[BinaryIO]:
    place = urlsplit(url)
    assert place.hostname is not None
    plain = socket.create_connection((place.hostname, place.port or 0), timeout=10)
    if place.scheme == "ircs":
        context = ssl.create_default_context(cafile=authority)
        plain = context.wrap_socket(plain, server_hostname=place.hostname)
    with plain, plain.makefile("rwb", buffering=0) as stream:
        yield stream  # type: ignore[misc]


@contextmanager
def _joined(world: World, channel: str, *, tls: bool = False) -> Iterator[BinaryIO]:
    url = world.chat.url if tls else world.chat.plain_url
    with _connected(url, str(world.certificate_path)) as stream:
        _tell(stream, f"CAP REQ :{CAPABILITIES}", "NICK justinfan12", f"JOIN #{channel}")
        _until(stream, "ROOMSTATE")
        world.chat.wait_joined(channel)
        yield stream


def _tell(stream: BinaryIO, *lines: str) -> None:
    stream.write("".join(f"{line}\r\n" for line in lines).encode())


def _until(stream: BinaryIO, word: str) -> str:
    while line := stream.readline().decode("utf-8", "replace"):
        if word in line:
            return line.rstrip("\r\n")
    raise AssertionError(f"closed before {word}")


@pytest.mark.parametrize("tls", [False, True])
def test_whoever_has_joined_hears_what_is_said(world: World, tls: bool) -> None:
    world.add_channel("alice")
    assert world.chat.say("alice", "to nobody").heard == 0
    with _joined(world, "alice", tls=tls) as stream:
        said = world.chat.say("alice", "hello there", user="bob")
        line = _until(stream, "PRIVMSG")
    assert said.heard == 1
    assert line.endswith(":bob!bob@bob.tmi.twitch.tv PRIVMSG #alice :hello there")
    assert f"id={said.id};" in line
    assert f"tmi-sent-ts={said.sent_ms};" in line


def test_marks_name_what_they_take_away(world: World) -> None:
    world.add_channel("alice")
    with _joined(world, "alice") as stream:
        said = world.chat.say("alice", "rude", user="bob")
        world.chat.delete(said)
        assert f"target-msg-id={said.id}" in _until(stream, "CLEARMSG #alice :rude")
        world.chat.clear("alice", "bob", 600)
        assert "ban-duration=600" in _until(stream, "CLEARCHAT #alice :bob")
        world.chat.clear("alice")
        _until(stream, "CLEARCHAT #alice")


def test_a_bad_login_is_refused_and_closed(world: World) -> None:
    channel = world.add_channel("alice")
    good = world.helix.issue(channel, ("chat:read",))
    for token, answer in (
        (good, " 001 alice"),
        (world.helix.issue(channel, ("chat:edit",)), "Login authentication failed"),
        ("nonsense", "Login authentication failed"),
    ):
        with _connected(world.chat.plain_url, "") as stream:
            _tell(stream, f"PASS oauth:{token}", "NICK alice")
            _until(stream, answer)
    assert not any(good in line for line in world.chat.received)


def test_it_reconnects_freezes_cuts_and_refuses(world: World) -> None:
    world.add_channel("alice")
    with _joined(world, "alice") as stream:
        world.chat.reconnect()
        _until(stream, "RECONNECT")
        world.chat.piece_bytes = 5
        world.chat.ping()
        _until(stream, "PING")
        world.chat.frozen = True
        _tell(stream, "PING :are you there")
        world.chat.wait(lambda chat: "PING :are you there" in chat.received)
        world.chat.cut()
        assert stream.read() == b""
    world.chat.refusing = True
    with _connected(world.chat.plain_url, "") as stream:
        assert stream.read() == b""


def test_it_is_also_reached_through_the_proxy(world: World) -> None:
    world.add_channel("alice")
    place = urlsplit(world.proxy_url)
    plain = socket.create_connection((place.hostname or "", place.port or 0), timeout=10)
    plain.sendall(b"CONNECT irc.chat.twitch.tv:6697 HTTP/1.1\r\n\r\n")
    assert plain.recv(1024).startswith(b"HTTP/1.1 200")
    context = ssl.create_default_context(cafile=str(world.certificate_path))
    with context.wrap_socket(plain, server_hostname="irc.chat.twitch.tv") as connection:
        connection.sendall(b"NICK justinfan1\r\nJOIN #alice\r\n")
        world.chat.wait_joined("alice")


def test_a_flood_is_counted_message_by_message(world: World) -> None:
    world.add_channel("alice")
    with _joined(world, "alice") as stream:
        heard: list[str] = []
        reader = threading.Thread(target=lambda: heard.extend(_ids(stream, 2000)))
        reader.start()
        flood = world.chat.flood("alice", per_second=20_000, seconds=0.1)
        reader.join(10)
    assert heard == list(flood.ids())
    assert len(heard) == 2000


def _ids(stream: BinaryIO, count: int) -> list[str]:
    data = b""
    while data.count(b"\r\n") < count:
        data += stream.read(1 << 16)
    return [line.split(b";id=")[1][:36].decode() for line in data.splitlines()]


def test_it_floods_as_a_process_of_its_own() -> None:
    command = [sys.executable, "-m", "tests.sandbox.irc_flood", "--seconds", "0.1"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        url = json.loads(process.stdout.readline())["plain_url"]
        with _connected(url, "") as stream:
            _tell(stream, "NICK justinfan1", "JOIN #bench")
            _until(stream, "ROOMSTATE")
            assert len(_ids(stream, 2000)) == 2000
            assert json.loads(process.stdout.readline())["count"] == 2000
        process.stdin.close()
        assert process.wait(10) == 0
