"""Children that are warm: most of what a child costs is to load yt-dlp, and these have it.

They are forked off a server that has loaded it once. For tests of what is fetched and what is
said. How a child is started, watched and ended is for the tests that start one as it is.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import tempfile
from pathlib import Path
from typing import Any

from tests.clients.ytdlp import warm_child
from vodtender.clients.ytdlp import process
from vodtender.clients.ytdlp.process import FetchedVod, FetchRequest, StillRecording
from vodtender.clients.ytdlp.running import environment
from vodtender.clients.ytdlp.wire import error_from_json

_PATIENCE_SECONDS = 30.0
_PLAIN: dict[str, Any] = {"cookies_path": None, "extra_args": [], "verbose": False, "niceness": 0}
_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(["__main__", "vodtender.clients.ytdlp.fetching"])


def said(request: dict[str, Any]) -> list[dict[str, Any]]:
    """All that a child says to a request. Raises its error."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "said")
        child = _server.Process(
            target=warm_child.serve, args=(request, environment(os.environ), path)
        )
        child.start()
        child.join(_PATIENCE_SECONDS)
        child.kill()
        child.join()
        child.close()
        lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    if lines[-1]["type"] == "error":
        raise error_from_json(lines[-1])
    return lines


def fetch_warm(asked: FetchRequest) -> FetchedVod | StillRecording:
    """As `process.fetch`, without the limits that a parent keeps."""
    return process.fetch_result(said(process.fetch_line(asked))[-1], asked)


def fetched_warm(asked: FetchRequest) -> FetchedVod:
    """Fetch, and expect that it is whole."""
    got = fetch_warm(asked)
    assert isinstance(got, FetchedVod)
    return got


def probe_warm(vod_id: str) -> dict[str, Any]:
    """One dry extraction without cookies."""
    return said({"mode": "probe", "vod_id": vod_id, **_PLAIN})[-1]


def listed_warm(channel: str, limit: int | None = None) -> list[str]:
    """The ids of a channel's past broadcasts."""
    asked = {"mode": "list", "channel": channel, "kinds": ["archive"], "limit": limit, **_PLAIN}
    return [line["id"] for line in said(asked) if line["type"] == "entry"]
