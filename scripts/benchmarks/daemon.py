"""A running `vodtender run`, looked at from outside."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

VODTENDER = [sys.executable, "-m", "vodtender"]
_STOP_SECONDS = 60.0


def environment(world: Mapping[str, str], directory: Path) -> dict[str, str]:
    """The daemon's environment: the world, and an archive of its own."""
    own = {"DATA_DIR": str(directory / "data"), "HTTP_ADDR": "127.0.0.1:0"}
    return {**os.environ, **world, **own, "VODTENDER_CONFIG": os.devnull}


def do(arguments: list[str], environment: Mapping[str, str]) -> None:
    """Runs one command to its end; says nothing unless it fails. Raises RuntimeError."""
    command = [*VODTENDER, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"vodtender {' '.join(arguments)}: {done.returncode}\n{done.stderr}")


@contextmanager
def running(arguments: list[str], environment: Mapping[str, str]) -> Iterator[psutil.Popen]:
    """The daemon, for as long as the block lasts. Its log goes nowhere."""
    process = psutil.Popen(
        [*VODTENDER, "run", *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        if process.is_running():
            process.send_signal(signal.SIGTERM)
        process.wait(_STOP_SECONDS)


def megabytes(process: psutil.Popen) -> float:
    """Its resident memory; 0 once it has ended."""
    try:
        return float(process.memory_info().rss) / 1e6
    except psutil.NoSuchProcess:
        return 0.0
