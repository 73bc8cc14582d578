"""`python -m tests.sandbox`: the outside world as a process of its own.

Prints `NAME=value` lines for the environment of whoever is to live in it, the last one being
`SANDBOX_READY=1`, then serves until SIGTERM or SIGINT (or, with `--while-stdin`, until its
standard input ends, so that it does not outlive the script that started it).
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from pathlib import Path

from tests.sandbox.scenarios import SCENARIOS
from tests.sandbox.world import World


def main() -> None:
    options = _options()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    world = World()
    SCENARIOS[options.scenario](world)
    if options.uploads is not None:
        options.uploads.mkdir(parents=True, exist_ok=True)
        world.youtube.save_to = options.uploads
    if options.credentials is not None:
        options.credentials.write_text(json.dumps(world.google.credentials()))
    with world.start(options.port):
        lines = {**world.env(), **world.settings(), "SANDBOX_READY": "1"}
        sys.stdout.write("".join(f"{name}={value}\n" for name, value in lines.items()))
        sys.stdout.flush()
        if options.while_stdin:
            threading.Thread(target=_until_stdin_ends, args=(stop,), daemon=True).start()
        stop.wait()
    if options.report is not None:
        options.report.write_text(json.dumps(_report(world), indent=2) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.sandbox", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port of the proxy; 0: a free one")
    parser.add_argument("--scenario", choices=SCENARIOS, default="demo")
    parser.add_argument("--uploads", type=Path, help="directory that keeps uploaded files")
    parser.add_argument("--credentials", type=Path, help="write YouTube credentials (JSON) here")
    parser.add_argument("--report", type=Path, help="at the end, write what was seen (JSON) here")
    parser.add_argument("--while-stdin", action="store_true", help="end when stdin ends")
    return parser.parse_args()


def _until_stdin_ends(stop: threading.Event) -> None:
    while sys.stdin.buffer.read(4096):
        pass
    stop.set()


def _report(world: World) -> dict[str, object]:
    videos = [
        {
            "id": video.id,
            "title": video.title,
            "privacy": video.privacy,
            "status": video.upload_status,
            "size_bytes": video.size_bytes,
            "sha256": video.sha256,
            "path": str(video.path) if video.path else None,
        }
        for video in world.youtube.videos
    ]
    return {
        "videos": videos,
        "sessions": len(world.youtube.sessions),
        "complaints": world.youtube.complaints,
        "requests": dict(world.record.hosts()),
        "unexpected": sorted({seen.host for seen in world.record.unexpected}),
        "crashes": world.record.crashes,
    }


if __name__ == "__main__":
    main()
