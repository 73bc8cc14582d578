"""Uploading a file to S3 in parts, side by side, with bounded memory, and proving it.

The store is told the CRC32 of every part and of the whole, and afterwards asked what it holds.
Amazon's keeps the CRC32 of the whole object and compares it itself. One that does not know that
keeps an MD5 of the parts' MD5s as its ETag; one that has neither must give the object back.

An upload that was cut off, by a kill too, goes on with the parts that are there when it is
begun again.
"""

from __future__ import annotations

import hashlib
import os
import threading
import zlib
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from vodtender.clients.s3 import Progress, Store, encoded
from vodtender.clients.s3_answers import answer_for, answers
from vodtender.clients.s3_proof import DAMAGED, Part, Sent, proven
from vodtender.clients.s3_session import Session, Sessions
from vodtender.errors import Stopped, Transient, VodtenderError
from vodtender.model.crc32 import combined
from vodtender.model.s3_location import S3Location

_SIDE_BY_SIDE = 8
_MOST_MEMORY_BYTES = 80 * 1024**2
_READ_BYTES = 1 << 20
_CHANGED = "file_changed"


def upload(
    store: Store,
    path: Path,
    at: S3Location,
    *,
    storage_class: str = "STANDARD",
    metadata: dict[str, str] | None = None,
    sha256: str | None = None,
    crc32: int | None = None,
    side_by_side: int | None = None,
    progress: Progress = lambda _done: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Sent:
    """Brings a file there and proves it. One that is there already, and the same, is not sent
    again. The file must not change meanwhile; with `sha256` or `crc32`, what is not that never
    becomes an object; the CRC32 costs nothing. `side_by_side` parts (8) are in memory at a time,
    and one more.

    Raises:
        Transient: the way or the store failed; begun again, it goes on. Or the file is not what
            it should be (code `file_changed`).
        AuthExpired, CredentialsMissing: the key is refused, or there is none.
        NotFound: no such bucket (code `no_bucket`).
        Rejected: the store refuses it, or cannot prove what it holds (code `s3_unproven`).
        Stopped: as was asked.
        OSError: the file cannot be read.
    """
    sending = _Sending(
        store,
        path,
        at,
        sha256=sha256,
        crc32=crc32,
        side_by_side=side_by_side or _SIDE_BY_SIDE,
        progress=progress,
        should_stop=should_stop,
    )
    if (found := sending.already_there(storage_class)) is not None:
        return found
    return sending.send(storage_class, metadata or {})


class _Sending:
    def __init__(
        self,
        store: Store,
        path: Path,
        at: S3Location,
        *,
        sha256: str | None,
        crc32: int | None,
        side_by_side: int,
        progress: Progress,
        should_stop: Callable[[], bool],
    ) -> None:
        self._store = store
        self._client = store.client
        self._path = path
        self._at = at
        self._where = {"Bucket": at.bucket, "Key": at.key}
        self._what = f"uploading {at}"
        self._sha256 = sha256
        self._crc32 = crc32
        self._side_by_side = side_by_side
        self._progress = progress
        self._should_stop = should_stop
        self._size = path.stat().st_size
        self._sessions = Sessions(self._client, at, self._size)
        self._guard = threading.Lock()
        self._failed = threading.Event()
        self._done = 0

    def already_there(self, storage_class: str) -> Sent | None:
        """Only a checksum of the whole object is proof enough here."""
        found = self._store.head(self._at)
        if found is None or found.size_bytes != self._size or found.crc32 is None:
            return None
        if found.storage_class != storage_class or found.crc32 != self._crc32_of_file():
            return None
        self._progress(self._size)
        return Sent(found, found.crc32, "crc32")

    def send(self, storage_class: str, metadata: dict[str, str]) -> Sent:
        with answers(self._what):
            session = self._sessions.unfinished(storage_class) or self._sessions.begin(
                storage_class, metadata
            )
        try:
            parts = self._send_parts(session)
            return self._finish(session, parts)
        except Transient as error:
            if error.code in (DAMAGED, _CHANGED):
                self._sessions.forget(session.id)
            raise  # else what is there is used by the next try
        except Stopped:
            raise
        except BaseException:
            self._sessions.forget(session.id)
            raise

    def _send_parts(self, session: Session) -> list[Part]:
        """All parts, in order. One reader goes through the file, so that it can be digested
        meanwhile; only as many parts are in memory as are on their way, and the one that is read
        next."""
        count = max(1, -(-self._size // session.part_bytes))
        lanes = max(1, min(self._side_by_side, _MOST_MEMORY_BYTES // session.part_bytes))
        parts: list[Part] = []
        digest = None if self._sha256 is None else hashlib.sha256()
        with (
            self._path.open("rb", buffering=0) as file,
            ThreadPoolExecutor(lanes, thread_name_prefix="s3") as pool,
            ThreadPoolExecutor(1, thread_name_prefix="s3 digest") as digester,
        ):
            # Used again and again: fresh memory for each part costs as much as reading it.
            length = min(session.part_bytes, self._size + 1)
            free = [bytearray(length) for _ in range(min(count, lanes + 1))]
            on_their_way: dict[Future[Part], tuple[bytearray, Future[None] | None]] = {}
            try:
                for number in range(1, count + 1):
                    if not free:
                        for one in wait(on_their_way, return_when=FIRST_COMPLETED).done:
                            parts.append(one.result())
                            free.append(_freed(*on_their_way.pop(one)))
                    buffer = free.pop()
                    data = self._read_part(file.fileno(), session, number, buffer)
                    digested = None if digest is None else digester.submit(digest.update, data)
                    sending = pool.submit(self._send_part, data, session, number)
                    on_their_way[sending] = (buffer, digested)
                parts += [one.result() for one in on_their_way]
            except BaseException:
                self._failed.set()
                raise
        if sum(part.size_bytes for part in parts) != self._size or (
            digest is not None and digest.hexdigest() != self._sha256
        ):
            raise self._changed()
        return sorted(parts, key=lambda part: part.number)

    def _read_part(
        self, descriptor: int, session: Session, number: int, buffer: bytearray
    ) -> bytes | bytearray:
        if self._should_stop():
            raise Stopped(f"the upload of {self._at} was stopped")
        count = _read(descriptor, (number - 1) * session.part_bytes, buffer)
        return buffer if count == len(buffer) else bytes(memoryview(buffer)[:count])

    def _send_part(self, data: bytes | bytearray, session: Session, number: int) -> Part:
        if self._failed.is_set() or self._should_stop():
            raise Stopped(f"the upload of {self._at} was stopped")
        crc32 = zlib.crc32(data)
        there = session.there.get(number)
        # Half of all the work, so only where there is no checksum to compare.
        by_md5 = not session.whole or (there is not None and "ChecksumCRC32" not in there)
        md5 = hashlib.md5(data, usedforsecurity=False).digest() if by_md5 else b""
        if there is not None and _is_same(there, len(data), crc32, md5):
            etag = there["ETag"]
        else:
            etag = self._put_part(session, number, data, crc32)
        with self._guard:
            self._done += len(data)
            self._progress(self._done)
        return Part(number, len(data), crc32, md5, etag)

    def _put_part(self, session: Session, number: int, data: bytes | bytearray, crc32: int) -> str:
        with answers(self._what):
            said = self._client.upload_part(
                **self._where,
                UploadId=session.id,
                PartNumber=number,
                Body=data,
                ChecksumCRC32=encoded(crc32),
            )
        return str(said["ETag"])

    def _finish(self, session: Session, parts: list[Part]) -> Sent:
        crc32 = 0
        for part in parts:
            crc32 = combined(crc32, part.crc32, part.size_bytes)
        if self._crc32 not in (None, crc32):
            raise self._changed()
        whole = {"ChecksumCRC32": encoded(crc32), "ChecksumType": "FULL_OBJECT"}
        listed = [
            {
                "PartNumber": part.number,
                "ETag": part.etag,
                **({"ChecksumCRC32": encoded(part.crc32)} if session.whole else {}),
            }
            for part in parts
        ]
        failure: VodtenderError | None = None
        try:
            self._client.complete_multipart_upload(
                **self._where,
                UploadId=session.id,
                MultipartUpload={"Parts": listed},
                **(whole if session.whole else {}),
            )
        except (BotoCoreError, ClientError) as error:
            # Its answer may have been lost and the object be there: that is looked up.
            failure = answer_for(error, self._what)
        try:
            return proven(self._store, self._at, parts, crc32, self._what)
        except VodtenderError as error:
            raise (failure or error) from error

    def _changed(self) -> Transient:
        return Transient(f"{self._path} is not what it was, or changes just now.", code=_CHANGED)

    def _crc32_of_file(self) -> int:
        crc32, digest = 0, hashlib.sha256()
        with self._path.open("rb") as file:
            while block := file.read(_READ_BYTES):
                if self._should_stop():
                    raise Stopped(f"the upload of {self._at} was stopped")
                crc32 = zlib.crc32(block, crc32)
                if self._sha256 is not None:
                    digest.update(block)
        if (self._sha256 is not None and digest.hexdigest() != self._sha256) or (
            self._crc32 not in (None, crc32)
        ):
            raise self._changed()
        return crc32


def _freed(buffer: bytearray, digested: Future[None] | None) -> bytearray:
    """What was sent may still be being digested."""
    if digested is not None:
        digested.result()
    return buffer


def _read(descriptor: int, offset: int, buffer: bytearray) -> int:
    """Fills the buffer from there on; returns how many bytes there were."""
    view, done = memoryview(buffer), 0
    while done < len(buffer):
        count = os.preadv(descriptor, [view[done:]], offset + done)
        if not count:
            break
        done += count
    return done


def _is_same(there: dict[str, Any], size_bytes: int, crc32: int, md5: bytes) -> bool:
    """Whether a part that the store has is the one at hand."""
    if there["Size"] != size_bytes:
        return False
    if "ChecksumCRC32" in there:
        return bool(there["ChecksumCRC32"] == encoded(crc32))
    return bool(md5) and there["ETag"].strip('"') == md5.hex()
