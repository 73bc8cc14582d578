"""Fetching one piece of a VOD over HTTP: whole, checked and named, or not at all."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import stamina
from yt_dlp.networking.exceptions import HTTPError, RequestError

from vodtender.clients.ytdlp import answers
from vodtender.clients.ytdlp.rate import RateLimit
from vodtender.clients.ytdlp.workdir import Stored, WorkDirectory
from vodtender.errors import RateLimited, Transient, VodtenderError
from vodtender.model.playlist import ByteRange, is_muted

ATTEMPTS = 5
PACKET_BYTES = 188
_SYNC = b"\x47"
_FIRST_WAIT_SECONDS = 0.3
_LONGEST_WAIT_SECONDS = 10.0
_AT_ONCE_SECONDS = 0.01
_PATIENCE = timedelta(seconds=20)

Content = tuple[int, int]
"""What some bytes are: their number and their CRC."""


class Refused(Exception):  # noqa: N818 - an event, told apart from failures
    """The server says 403, 404 or 410 for this address."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status


class Damaged(Transient):
    """What the server has under this address is not a segment: it came so every time.
    `content` tells it from what it has under others."""

    code = "bad_segment"

    def __init__(self, complaint: str, content: Content) -> None:
        super().__init__(
            f"A segment comes damaged each time: {complaint}.",
            hint="vodtender retry VOD --allow-gaps   (keeps the VOD without it)",
        )
        self.complaint = complaint
        self.content = content


class _TryAgain(Exception):  # noqa: N818
    """One attempt failed in a way that another may cure; `answer` if it was the last."""

    def __init__(self, answer: VodtenderError, wait_seconds: float | None = None) -> None:
        super().__init__(str(answer))
        self.answer = answer
        self.wait_seconds = wait_seconds


@dataclass(frozen=True, slots=True)
class _Tries:
    """What the attempts at one piece have shown: contents of which nothing proves that they
    are whole, and those that are damaged, each with what is wrong."""

    unproven: set[Content] = field(default_factory=set)
    damages: list[tuple[str, Content]] = field(default_factory=list)

    def damage(self) -> Damaged | None:
        """If it was damaged in the same way each time."""
        every_time = len(self.damages) == ATTEMPTS and len(set(self.damages)) == 1
        return Damaged(*self.damages[0]) if every_time else None


class Open(Protocol):
    def __call__(self, url: str, headers: dict[str, str]) -> Any: ...


@dataclass(frozen=True, slots=True)
class PieceFetcher:
    """Fetches pieces into a work directory. Shared by all threads."""

    open_url: Open
    headers: dict[str, str]
    directory: WorkDirectory
    rate_limit: RateLimit
    on_bytes: Callable[[int], None]
    """Told of bytes as they arrive, and of minus those that have to come again."""

    def fetch(
        self, url: str, key: str, byte_range: ByteRange | None, *, fragmented: bool
    ) -> Stored:
        """One piece, with several attempts. Raises Refused, or an answer, which may be
        Damaged."""
        tries = _Tries()
        try:
            for attempt in stamina.retry_context(
                on=_wait,
                attempts=ATTEMPTS,
                timeout=None,
                wait_initial=_FIRST_WAIT_SECONDS,
                wait_max=_LONGEST_WAIT_SECONDS,
                wait_jitter=_FIRST_WAIT_SECONDS,
            ):
                with attempt:
                    return self._attempt(url, key, byte_range, tries, fragmented=fragmented)
        except _TryAgain as last:
            answer = tries.damage() or last.answer
            answer.message = f"{answer.message.rstrip('.')} ({url.partition('?')[0]})."
            raise answer from last
        raise AssertionError  # pragma: no cover

    def _attempt(
        self,
        url: str,
        key: str,
        byte_range: ByteRange | None,
        tries: _Tries,
        *,
        fragmented: bool,
    ) -> Stored:
        counted = 0

        def count(size_bytes: int) -> None:
            nonlocal counted
            counted += size_bytes
            self.on_bytes(size_bytes)

        stored: Stored | None = None
        try:
            stored = self._take(url, key, byte_range, count, tries, fragmented=fragmented)
            return stored
        except HTTPError as error:
            error.close()
            raise _refusal(error) from error
        except RequestError as error:
            raise _TryAgain(answers.unreachable(error, "A segment's connection broke")) from error
        finally:
            if stored is None:
                self.on_bytes(-counted)

    def _take(
        self,
        url: str,
        key: str,
        byte_range: ByteRange | None,
        count: Callable[[int], None],
        tries: _Tries,
        *,
        fragmented: bool,
    ) -> Stored:
        headers = {**self.headers, "Accept-Encoding": "identity"}
        if byte_range is not None:
            headers["Range"] = byte_range.header
        path = self.directory.temporary(key)
        size = crc = 0
        check = _BoxCheck() if fragmented else _PacketCheck()
        with self.open_url(url, headers) as response, path.open("wb", buffering=0) as file:
            declared = str(response.headers.get("Content-Length") or "")
            if response.headers.get("Content-Encoding", "identity") != "identity":
                declared = ""  # the length of something else: yt-dlp has unpacked it
            proven = byte_range is not None or _says_its_end(response.headers)
            while chunk := response.read(self.rate_limit.chunk_bytes):
                count(len(chunk))
                self.rate_limit.take(len(chunk))
                _write_all(file, chunk)
                check.take(chunk)
                crc = zlib.crc32(chunk, crc)
                size += len(chunk)
        _compare_length(size, declared, byte_range)
        complaint = check.complaint(path)
        if complaint:
            tries.damages.append((complaint, (size, crc)))
            raise _TryAgain(Transient(f"A segment came damaged: {complaint}.", code="bad_segment"))
        if not proven and (size, crc) not in tries.unproven:
            tries.unproven.add((size, crc))
            said = "A segment came without its length, and not twice the same."
            raise _TryAgain(Transient(said, code="bad_segment"), _AT_ONCE_SECONDS)
        return self.directory.store(key, size, crc, muted=is_muted(url))


class _PacketCheck:
    """Whole MPEG-TS packets, each with its sync byte (ISO 13818-1)."""

    def __init__(self) -> None:
        self._size = 0
        self._good = True

    def take(self, chunk: bytes) -> None:
        firsts = chunk[-self._size % PACKET_BYTES :: PACKET_BYTES]
        self._good &= firsts.count(_SYNC) == len(firsts)
        self._size += len(chunk)

    def complaint(self, _path: Path) -> str:
        if not self._size:
            return "it is empty"
        if not self._good:
            return "it is not an MPEG transport stream"
        return "its last packet is cut" if self._size % PACKET_BYTES else ""


class _BoxCheck:
    """Whole boxes of an ISO base media file, one after the other to the end."""

    def take(self, chunk: bytes) -> None:
        """The boxes' sizes are read from the file when it is there."""

    def complaint(self, path: Path) -> str:
        kinds: set[bytes] = set()
        end = path.stat().st_size
        at = 0
        with path.open("rb") as file:
            while at < end:
                file.seek(at)
                head = file.read(16)
                size = int.from_bytes(head[:4], "big")
                if size == 1:
                    size = int.from_bytes(head[8:16], "big")
                if size < 8 or at + size > end:
                    return "its last box is cut"
                kinds.add(head[4:8])
                at += size
        return "" if kinds & {b"moof", b"moov"} else "it holds no fragment"


def _says_its_end(headers: Mapping[str, str]) -> bool:
    """Whether an answer tells how long it is. One that ends with its connection (RFC 9112, 6.3)
    may have been cut and look whole: it has to come twice the same."""
    return "Content-Length" in headers or "chunked" in headers.get("Transfer-Encoding", "").lower()


def _compare_length(size: int, declared: str, byte_range: ByteRange | None) -> None:
    expected = int(declared) if declared.isdecimal() else None
    if byte_range is not None:
        expected = byte_range.length_bytes
    if expected is not None and size != expected:
        said = f"A segment came with {size} bytes instead of {expected}."
        raise _TryAgain(Transient(said, code="bad_segment"))


def _refusal(error: HTTPError) -> Exception:
    if error.status in answers.GONE_STATUSES:
        return Refused(error.status)
    if answers.asks_to_wait(error):
        now = datetime.now(UTC)
        until = answers.wait_until(error.response.headers, now)
        told = f"Twitch's video server asks to wait (HTTP {error.status})."
        said = RateLimited(told, until=until)
        # A long wait is the pipeline's business: it can do something else meanwhile.
        return _TryAgain(said, (until - now).total_seconds()) if until - now < _PATIENCE else said
    said_no = Transient(f"A segment was answered with HTTP {error.status}.", code="segment_refused")
    return _TryAgain(said_no)


def _wait(error: Exception) -> bool | float:
    if not isinstance(error, _TryAgain):
        return False
    return True if error.wait_seconds is None else error.wait_seconds


def _write_all(file: Any, chunk: bytes) -> None:
    view = memoryview(chunk)
    while view:
        view = view[file.write(view) :]
