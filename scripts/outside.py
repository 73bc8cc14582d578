"""The sandbox (tests/sandbox) as a process beside ours."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_PATIENCE_SECONDS = 10.0


class SandboxBroken(Exception):  # noqa: N818 - told to the person as it is
    """The sandbox did not start."""


@contextmanager
def sandbox(
    scenario: str, environment: Mapping[str, str], **paths: Path
) -> Iterator[dict[str, str]]:
    """The world of a scenario, for as long as the block lasts: the environment of whoever is to
    live in it. `paths` are options of `python -m tests.sandbox`. Raises SandboxBroken.

    It is in a session of its own, so that Ctrl-C is not for it, and ends with us in any case.
    """
    options = [f"--{name}={path}" for name, path in paths.items()]
    command = [sys.executable, "-m", "tests.sandbox", f"--scenario={scenario}", *options]
    process = subprocess.Popen(
        [*command, "--while-stdin"],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield _world(process.stdout)
    finally:
        process.stdin.close()
        try:
            process.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def _world(lines: Iterator[str]) -> dict[str, str]:
    world: dict[str, str] = {}
    for line in lines:
        name, _, value = line.rstrip("\n").partition("=")
        if name == "SANDBOX_READY":
            return world
        world[name] = value
    raise SandboxBroken("the sandbox did not start")
