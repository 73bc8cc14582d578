"""Names of files that outlive a loss of power."""

from __future__ import annotations

import os
from pathlib import Path


def sync_directory(directory: Path, *, required: bool) -> None:
    """The names in it are on the disk when this returns. Some network file systems cannot do that
    for a directory: that is an error only where it is `required`.

    Raises OSError.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError:
        if required:
            raise
    finally:
        os.close(descriptor)
