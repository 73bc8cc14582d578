"""What the daemon takes while there is nothing to do."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

from scripts.benchmarks import daemon
from scripts.benchmarks.figures import Effort, Figure
from scripts.outside import sandbox

_MEMORY_LIMIT_MEGABYTES = 120.0
_CPU_LIMIT_PERCENT = 1.0
_SETTLING_SECONDS = 15
_ACCOUNTS = ("TWITCH_CLIENT_ID", "TWITCH_CLIENT_SECRET", "YT_CLIENT_ID", "YT_CLIENT_SECRET")


def measure(directory: Path, effort: Effort) -> Iterator[Figure]:
    seconds = effort.choose(60, 180)
    with sandbox("demo-quick", os.environ) as world:
        environment = daemon.environment(world, directory)
        yield from _idle("with Helix", environment, seconds, directory)
        for name in _ACCOUNTS:
            environment.pop(name)
        yield from _idle("without accounts", environment, seconds, directory)


def _idle(
    name: str, environment: Mapping[str, str], seconds: int, directory: Path
) -> Iterator[Figure]:
    daemon.do(["run", "--drain"], environment)
    with daemon.running([], environment) as process:
        time.sleep(_SETTLING_SECONDS)
        before, began = _cpu_seconds(process), time.monotonic()
        postgres = _postgres(directory)
        postgres_before = sum(map(_cpu_seconds, postgres))
        time.sleep(seconds)
        passed = time.monotonic() - began
        used = _cpu_seconds(process) - before
        used_postgres = sum(map(_cpu_seconds, postgres)) - postgres_before
        memory = daemon.megabytes(process)
    detail = f"over {passed:.0f} s, its children included"
    yield Figure(f"memory of the idle daemon, {name}", memory, _MEMORY_LIMIT_MEGABYTES, " MB")
    yield Figure(
        f"CPU of the idle daemon, {name}", 100 * used / passed, _CPU_LIMIT_PERCENT, " %", detail
    )
    yield Figure(f"CPU of its database, {name}", 100 * used_postgres / passed, None, " %")


def _cpu_seconds(process: psutil.Process) -> float:
    """Of the process and of those of its children that have ended."""
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)


def _postgres(directory: Path) -> list[psutil.Process]:
    pid_file = directory / "data" / "postgres" / "data" / "postmaster.pid"
    server = psutil.Process(int(pid_file.read_text().split("\n", 1)[0]))
    return [server, *server.children(recursive=True)]
