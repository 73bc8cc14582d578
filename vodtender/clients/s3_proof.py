"""What a store must show before an object counts as uploaded."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from vodtender.clients.s3 import SLOW_CLASSES, Store, Stored
from vodtender.errors import Rejected, Transient
from vodtender.model.s3_location import S3Location

DAMAGED = "s3_damaged"


@dataclass(frozen=True, slots=True)
class Sent:
    """An object that the store holds. `proof` says how that is known: `crc32`, `etag` or
    `read back`."""

    stored: Stored
    crc32: int
    proof: str


@dataclass(frozen=True, slots=True)
class Part:
    number: int
    size_bytes: int
    crc32: int
    md5: bytes
    etag: str


def proven(store: Store, at: S3Location, parts: Sequence[Part], crc32: int, what: str) -> Sent:
    """What the store holds there now, if it is these parts, whose CRC32 together that is. `what`
    was done, in words.

    Raises:
        Transient: it is not (code `s3_damaged`), or nothing is there (`s3_lost`).
        Rejected: the store cannot prove it (`s3_unproven`).
    """
    stored = store.head(at)
    if stored is None:
        raise Transient(f"{what}: the store has lost it.", code="s3_lost")
    if stored.size_bytes != sum(part.size_bytes for part in parts):
        raise _damaged(what)
    if stored.crc32 is not None:
        if stored.crc32 != crc32:
            raise _damaged(what)
        return Sent(stored, crc32, "crc32")
    joined = hashlib.md5(b"".join(part.md5 for part in parts), usedforsecurity=False)
    if all(part.md5 for part in parts) and stored.etag == f"{joined.hexdigest()}-{len(parts)}":
        return Sent(stored, crc32, "etag")
    if stored.storage_class in SLOW_CLASSES:
        raise Rejected(
            f"{what}: the store cannot prove what it holds, and would have to thaw it.",
            hint="choose a storage class that can be read at once",
            code="s3_unproven",
        )
    found = 0
    for block in store.stream(at):
        found = zlib.crc32(block, found)
    if found != crc32:
        raise _damaged(what)
    return Sent(stored, crc32, "read back")


def _damaged(what: str) -> Transient:
    return Transient(f"{what}: what the store holds differs from the file.", code=DAMAGED)
