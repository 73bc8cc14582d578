"""Whether a PostgreSQL server answers on a Unix socket, asked in its own protocol.

A few bytes by hand instead of a driver: the question comes before every command, and
importing a driver costs more than the answer. Messages: PostgreSQL manual, "Frontend/Backend
Protocol", https://www.postgresql.org/docs/18/protocol-message-formats.html
"""

from __future__ import annotations

import socket
import struct
from enum import Enum
from pathlib import Path

_PROTOCOL_3_0 = 196608
_CANNOT_CONNECT_NOW = b"57P03"
_TERMINATE = b"X\x00\x00\x00\x04"


class Answer(Enum):
    """What the socket said."""

    READY = "ready"
    """Sessions can be opened (or are refused for a reason that a running server has)."""
    STARTING = "starting"
    """A server is there and is starting, recovering or stopping."""
    SILENT = "silent"
    """Something holds the socket and does not answer in time."""
    ABSENT = "absent"
    """Nobody listens."""


def ask(path: Path, *, user: str, database: str, timeout_seconds: float) -> Answer:
    """Open one session and close it again; never raises."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_seconds)
        try:
            connection.connect(str(path))
        except (TimeoutError, BlockingIOError):  # the second: its queue of callers is full
            return Answer.SILENT
        except OSError:
            return Answer.ABSENT
        try:
            connection.sendall(_startup_message(user, database))
            answer = _read_answer(connection)
            connection.sendall(_TERMINATE)
        except TimeoutError:
            return Answer.SILENT
        except OSError:
            return Answer.STARTING  # it hung up in the middle: on its way up or down
    return answer


def _startup_message(user: str, database: str) -> bytes:
    body = struct.pack("!I", _PROTOCOL_3_0)
    for text in ("user", user, "database", database, "application_name", "vodtender probe"):
        body += text.encode() + b"\0"
    body += b"\0"
    return struct.pack("!I", len(body) + 4) + body


def _read_answer(connection: socket.socket) -> Answer:
    while True:
        kind, size = struct.unpack("!cI", _read_exactly(connection, 5))
        body = _read_exactly(connection, size - 4)
        if kind == b"Z":  # ReadyForQuery
            return Answer.READY
        if kind == b"E":  # ErrorResponse: fields of one letter and a text, each ended by NUL
            fields = {field[:1]: field[1:] for field in body.split(b"\0") if field}
            return Answer.STARTING if fields.get(b"C") == _CANNOT_CONNECT_NOW else Answer.READY


def _read_exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if not piece:
            raise ConnectionResetError
        data += piece
    return data
