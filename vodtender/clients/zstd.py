"""zstd, from Python itself where it has it (3.14), else from `backports.zstd`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Error = zstd.ZstdError

_LEVEL = 3
_BLOCK_BYTES = 1 << 20


def compressor() -> Any:
    """One that uses every core, and puts a checksum at the end."""
    options: dict[int, int] = {
        zstd.CompressionParameter.compression_level: _LEVEL,
        zstd.CompressionParameter.checksum_flag: 1,
        zstd.CompressionParameter.nb_workers: os.cpu_count() or 1,
    }
    return zstd.ZstdCompressor(options=options)


def blocks(path: Path, read: Any = None) -> Iterator[bytes]:
    """What is in a compressed file, as `zstd -d` gives it. `read` is told each raw block.

    Raises EOFError when it ends too early, `Error` when it is damaged, OSError.
    """
    with path.open("rb") as file:
        frame = zstd.ZstdDecompressor()
        begun = False
        while raw := file.read(_BLOCK_BYTES):
            if read is not None:
                read(raw)
            while raw:
                if frame.eof:  # another frame follows, which zstd allows
                    frame = zstd.ZstdDecompressor()
                begun = True
                yield frame.decompress(raw)
                raw = frame.unused_data if frame.eof else b""
    if not begun or not frame.eof:
        raise EOFError(f"{path} ends too early")
