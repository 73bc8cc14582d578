"""The daemon's memory while it carries 2 GB from Twitch to YouTube."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from scripts.benchmarks import daemon
from scripts.benchmarks.figures import Effort, Figure, Peak
from scripts.outside import sandbox

_LIMIT_MEGABYTES = 150.0
_SAMPLE_SECONDS = 0.1


def measure(directory: Path, effort: Effort) -> Iterator[Figure]:
    credentials = directory / "credentials.json"
    scenario = "bench-quick" if effort is Effort.QUICK else "bench-plain"
    uploads = directory / "youtube"
    with sandbox(scenario, os.environ, credentials=credentials, uploads=uploads) as world:
        environment = daemon.environment(world, directory)
        daemon.do(["auth", "import", "youtube", str(credentials)], environment)
        with (
            daemon.running(["--drain"], environment) as process,
            Peak(lambda: daemon.megabytes(process), _SAMPLE_SECONDS) as peak,
        ):
            status = process.wait()
    arrived = sum(path.stat().st_size for path in uploads.iterdir())
    if status or not arrived:
        raise RuntimeError(f"run --drain ended with {status}, {arrived} bytes were uploaded")
    yield Figure(
        "memory of the daemon while it uploads",
        peak.value,
        _LIMIT_MEGABYTES,
        " MB",
        f"{arrived / 1e9:.2f} GB arrived",
    )
