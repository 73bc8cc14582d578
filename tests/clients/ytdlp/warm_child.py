"""What a warm child does (see `warm`). Imports nothing that its server has not loaded."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from vodtender.clients.ytdlp import child
from vodtender.clients.ytdlp.rate import RateLimit
from vodtender.clients.ytdlp.wire import Speaker


def serve(request: dict[str, Any], environ: dict[str, str], said: Path) -> None:
    """Serve one request in this environment, saying everything to a file."""
    os.environ.clear()
    os.environ.update(environ)
    speaker = Speaker(os.open(said, os.O_WRONLY | os.O_CREAT))
    os._exit(child.serve(request, speaker, RateLimit(None)))
