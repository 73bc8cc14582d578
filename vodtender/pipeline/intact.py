"""Is a file still what was downloaded? Asked before it is taken for the VOD."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from vodtender.errors import Stopped, Transient
from vodtender.model.vod import Vod

_READ_BYTES = 1 << 20
_Signature = tuple[int, int, int, int]


@dataclass(slots=True)
class IntactFiles:
    """Compares files with their checksums. A file is read through once; after that its inode,
    size and time tell whether it has been changed."""

    _seen: dict[tuple[Path, str], _Signature] = field(default_factory=dict)

    def trust(self, path: Path, sha256: str) -> None:
        """The file was made just now and has this checksum."""
        self._seen[path, sha256] = _signature(path)

    def why_not(self, path: Path, vod: Vod, should_stop: Callable[[], bool]) -> str | None:
        """Why the file is not what was recorded of the VOD; None: it is.

        Raises:
            Transient: it is there and cannot be read.
            Stopped: asked to stop while reading.
        """
        try:
            found = _signature(path)
            if found[2] != vod.file_size_bytes:
                return f"its file {path.name} has {found[2]} bytes instead of {vod.file_size_bytes}"
            key = (path, vod.file_sha256 or "")
            if self._seen.get(key) == found:
                return None
            if _sha256(path, should_stop) != vod.file_sha256:
                return f"its file {path.name} was changed: its checksum is another"
        except FileNotFoundError:
            return f"its file {path.name} was deleted or moved"
        except OSError as error:
            raise Transient(f"{path.name} cannot be read: {error.strerror}", code="disk") from error
        self._seen[key] = found
        return None


def _signature(path: Path) -> _Signature:
    found = path.stat()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _sha256(path: Path, should_stop: Callable[[], bool]) -> str:
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while block := file.read(_READ_BYTES):
            if should_stop():
                raise Stopped("stopped while the file was read")
            digest.update(block)
    return digest.hexdigest()
