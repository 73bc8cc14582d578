"""One resumable upload: what Google keeps of the bytes that reach it.

Source: https://developers.google.com/youtube/v3/guides/using_resumable_upload_protocol
Chunks are multiples of 256 KiB, except the last. What arrives before a connection breaks is
kept, down to a multiple of 256 KiB.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.sandbox import google_errors
from tests.sandbox.accounts import Account
from tests.sandbox.wire import Cut, Request, Response

GRAIN_BYTES = 256 * 1024
_STATUS_QUERY = re.compile(r"bytes \*/(\d+|\*)")
_CHUNK = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


@dataclass(eq=False)
class Session:
    """A resumable session. `expired` (404 or 410) is what it answers once it is gone."""

    id: str
    account: Account
    metadata: dict[str, Any]
    declared_bytes: int | None
    on_complete: Callable[[Session], Response]
    save_to: Path | None = None
    expired: int | None = None
    received_bytes: int = 0
    puts: int = 0
    status_queries: int = 0
    complaints: list[str] = field(default_factory=list)
    """Requests that broke the protocol, in words."""
    answer: Response | None = None
    """The final answer, once the upload is whole; given again to whoever asks again."""
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _hash: Any = field(default_factory=hashlib.sha256, repr=False)
    _pending: bytearray = field(default_factory=bytearray, repr=False)
    _head: bytes = field(default=b"", repr=False)

    @property
    def complete(self) -> bool:
        return self.answer is not None

    @property
    def sha256(self) -> str:
        return str(self._hash.hexdigest())

    @property
    def head(self) -> bytes:
        """The first bytes of the file, to tell what it is."""
        return self._head

    def expire(self, status: int = 404) -> None:
        """The session is forgotten, as after a week."""
        self.expired = status

    def put(self, request: Request) -> Response:
        with self.lock:
            self.puts += 1
            if self.expired is not None:
                request.drain()
                return google_errors.response("notFound") if self.expired == 404 else _gone()
            if self.answer is not None:
                request.drain()
                return _copy(self.answer)
            return self._put(request)

    def _put(self, request: Request) -> Response:
        given = request.headers.get("content-range", "")
        length = int(request.headers.get("content-length") or 0)
        if _STATUS_QUERY.fullmatch(given):
            self.status_queries += 1
            request.drain()
            return self._incomplete()
        if not given and length == self.declared_bytes:
            first, last, total = 0, length - 1, str(length)
        else:
            found = _CHUNK.fullmatch(given)
            if found is None:
                return self._complain(request, f"unreadable Content-Range {given!r}")
            first, last, total = int(found[1]), int(found[2]), found[3]
        problem = self._problem(first, last, total, length)
        if problem:
            return self._complain(request, problem)
        self._receive(request, first)
        whole = total != "*" and last + 1 == int(total)
        if whole:
            self._keep(bytes(self._pending))
            self._pending.clear()
            self.answer = self.on_complete(self)
            return _copy(self.answer)
        return self._incomplete()

    def _problem(self, first: int, last: int, total: str, length: int) -> str | None:
        if last - first + 1 != length:
            return f"Content-Range of {last - first + 1} bytes, Content-Length {length}"
        if total != "*" and self.declared_bytes not in (None, int(total)):
            return f"total of {total} bytes, {self.declared_bytes} were declared"
        if first > self.received_bytes:
            return f"chunk starts at {first}, only {self.received_bytes} bytes are here"
        final = total != "*" and last + 1 == int(total)
        if not final and length % GRAIN_BYTES:
            return f"chunk of {length} bytes is no multiple of 256 KiB"
        return None

    def _complain(self, request: Request, problem: str) -> Response:
        self.complaints.append(problem)
        request.drain()
        return google_errors.response("badRequest", problem)

    def _receive(self, request: Request, first: int) -> None:
        known = self.received_bytes - first
        try:
            for piece in request.pieces():
                fresh = piece[min(known, len(piece)) :]
                known -= len(piece) - len(fresh)
                self._take(fresh)
        except (Cut, OSError):
            self._pending.clear()
            raise
        # A chunk of whole grains leaves nothing behind; the last one is kept by the caller.

    def _take(self, fresh: memoryview) -> None:
        """Keep whole grains; what is left over waits for more."""
        if self._pending:
            self._pending += fresh
            fresh = memoryview(bytes(self._pending))
            self._pending.clear()
        whole = len(fresh) // GRAIN_BYTES * GRAIN_BYTES
        self._keep(fresh[:whole])
        self._pending += fresh[whole:]

    def _keep(self, data: memoryview | bytes) -> None:
        if not data:
            return
        self._hash.update(data)
        if len(self._head) < 64:
            self._head += bytes(data[:64])
        if self.save_to is not None:
            with self.save_to.open("ab") as file:
                file.write(data)
        self.received_bytes += len(data)

    def _incomplete(self) -> Response:
        headers = {"X-GUploader-UploadID": self.id}
        if self.received_bytes:
            headers["Range"] = f"bytes=0-{self.received_bytes - 1}"
        return Response(308, b"", headers)


def _copy(response: Response) -> Response:
    return Response(response.status, response.body, response.headers)


def _gone() -> Response:
    return Response.of_text("Gone", 410)
