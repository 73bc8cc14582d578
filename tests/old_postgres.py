"""A server that says it is an old PostgreSQL, and answers whatever it is asked with nothing.

Enough of https://www.postgresql.org/docs/current/protocol-flow.html for a client to connect and
to see which version it has met.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_SSL_REQUEST, _GSS_REQUEST = 80877103, 80877104


@contextmanager
def old_postgres(version: str) -> Iterator[str]:
    """Its connection string, for as long as the block lasts."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=_accept, args=(listening, version), daemon=True).start()
        port = listening.getsockname()[1]
        yield f"postgresql://vod:secretpw@127.0.0.1:{port}/vod?sslmode=disable"


def _accept(listening: socket.socket, version: str) -> None:
    with suppress(OSError):
        while True:
            connection, _ = listening.accept()
            threading.Thread(target=_serve, args=(connection, version), daemon=True).start()


def _serve(connection: socket.socket, version: str) -> None:
    with suppress(OSError, EOFError), connection:
        while True:
            (length,) = struct.unpack("!i", _read(connection, 4))
            (code,) = struct.unpack("!i", _read(connection, length - 4)[:4])
            if code not in (_SSL_REQUEST, _GSS_REQUEST):
                break
            connection.sendall(b"N")
        settings = (("server_version", version), ("client_encoding", "UTF8"))
        hello = _message(b"R", struct.pack("!i", 0))
        for name, value in settings:
            hello += _message(b"S", f"{name}\0{value}\0".encode())
        connection.sendall(hello + _message(b"Z", b"I"))
        while True:
            kind = _read(connection, 1)
            (length,) = struct.unpack("!i", _read(connection, 4))
            query = _read(connection, length - 4).rstrip(b"\0").upper()
            if kind != b"Q":
                return
            state = b"T" if query.startswith(b"BEGIN") else b"I"
            done = _message(b"C", query.split()[0] + b"\0")
            connection.sendall(done + _message(b"Z", state))


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


def _read(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        if not more:
            raise EOFError
        data += more
    return data
