"""What goes over the wire: one HTTP request and its answer, as the sandbox's hosts see them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from io import BufferedReader
from typing import Any
from urllib.parse import parse_qs

Headers = dict[str, str]
"""Header names in lower case; of a repeated header the last one counts."""

PIECE_BYTES = 1 << 20


class Cut(Exception):  # noqa: N818 - an event on the wire, not an error of ours
    """The client went away in the middle of what it was sending."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Wait when that much of a body has gone by."""

    after_bytes: int
    wait: Callable[[], None]


@dataclass(eq=False)
class Request:
    """One request. The body is read when a host asks for it, whole or in pieces."""

    method: str
    scheme: str
    host: str
    path: str
    query_text: str
    headers: Headers
    reader: BufferedReader
    before_body: Callable[[], None] = lambda: None
    cut_body_after_bytes: int | None = None
    hold_body: Hold | None = None
    body_bytes_read: int = 0
    body_done: bool = False

    @property
    def url(self) -> str:
        query = f"?{self.query_text}" if self.query_text else ""
        return f"{self.scheme}://{self.host}{self.path}{query}"

    @cached_property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(self.query_text, keep_blank_values=True)

    def argument(self, name: str, default: str = "") -> str:
        """First value of a query parameter."""
        return self.query.get(name, [default])[0]

    @property
    def bearer(self) -> str | None:
        """The token of `Authorization: Bearer …` (or `OAuth …`, as Twitch says), if any."""
        kind, _, token = self.headers.get("authorization", "").partition(" ")
        return token.strip() or None if kind.lower() in {"bearer", "oauth"} else None

    @cached_property
    def body(self) -> bytes:
        return b"".join(bytes(piece) for piece in self.pieces())

    def json(self) -> Any:
        return json.loads(self.body or b"null")

    @cached_property
    def form(self) -> dict[str, str]:
        """Fields of a urlencoded body, and of the query for those that Twitch takes there."""
        fields = {name: values[0] for name, values in self.query.items()}
        fields |= {k: v[0] for k, v in parse_qs(self.body.decode("utf-8", "replace")).items()}
        return fields

    def pieces(self) -> Iterator[memoryview]:
        """The body, piece by piece, in constant memory. Each piece is valid until the next.

        Raises `Cut` when the client (or a fault) ends the connection before the body's end.
        """
        if self.body_done:
            return
        self.before_body()
        if "chunked" in self.headers.get("transfer-encoding", "").lower():
            yield from self._chunked()
        else:
            yield from self._exactly(int(self.headers.get("content-length") or 0))
        self.body_done = True

    def _exactly(self, length: int) -> Iterator[memoryview]:
        buffer = memoryview(bytearray(min(PIECE_BYTES, max(length, 1))))
        while length:
            room = min(length, len(buffer))
            room = self._until_fault(room)
            got = self.reader.readinto(buffer[:room])
            if not got:
                raise Cut
            self.body_bytes_read += got
            length -= got
            yield buffer[:got]

    def _until_fault(self, room: int) -> int:
        """How much may be read before a fault strikes; strikes when that is nothing."""
        if self.hold_body is not None:
            left = self.hold_body.after_bytes - self.body_bytes_read
            if left > 0:
                return min(room, left)
            hold, self.hold_body = self.hold_body, None
            hold.wait()
        if self.cut_body_after_bytes is not None:
            room = min(room, self.cut_body_after_bytes - self.body_bytes_read)
            if room <= 0:
                raise Cut
        return room

    def _chunked(self) -> Iterator[memoryview]:
        while True:
            line = self.reader.readline(1024)
            if not line:
                raise Cut
            size = int(line.split(b";")[0], 16)
            if size:
                yield from self._exactly(size)
            self.reader.readline(1024)
            if not size:
                return

    def drain(self) -> None:
        """Read what is left of the body, so that the connection can be used again."""
        for _ in self.pieces():
            pass


Buffer = bytes | bytearray | memoryview


@dataclass(eq=False)
class Response:
    """One answer. `bytes_per_second` makes it slow, `cut_after_bytes` makes it end early;
    with `length_unsaid` nothing but the end of the connection says where it ends."""

    status: int = 200
    body: Buffer = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    bytes_per_second: float | None = None
    cut_after_bytes: int | None = None
    hold: Hold | None = None
    lost: bool = False
    length_unsaid: bool = False

    @property
    def sent_bytes(self) -> int:
        """How much of the body goes out."""
        if self.lost:
            return 0
        end = len(self.body) if self.cut_after_bytes is None else self.cut_after_bytes
        return min(end, len(self.body))

    @property
    def answers(self) -> bool:
        """Whether the whole answer goes out."""
        return not self.lost and self.sent_bytes == len(self.body)

    @classmethod
    def of_json(
        cls, value: object, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> Response:
        kind = {"Content-Type": "application/json; charset=UTF-8"}
        return cls(status, json.dumps(value).encode(), {**kind, **(headers or {})})

    @classmethod
    def of_text(
        cls, text: str, status: int = 200, content_type: str = "text/plain; charset=utf-8"
    ) -> Response:
        return cls(status, text.encode(), {"Content-Type": content_type})

    @classmethod
    def redirect(cls, location: str) -> Response:
        return cls(302, b"", {"Location": location})


Host = Callable[[Request], Response]
"""Whoever answers for a host name."""
