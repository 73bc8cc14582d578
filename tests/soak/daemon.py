"""A daemon that is killed and started again, as a subprocess."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

COMMAND = (sys.executable, "-m", "vodtender", "--debug")


class Daemon:
    """`vodtender run`, one life after the other; what it says goes to one file."""

    def __init__(self, environ: Mapping[str, str], directory: Path, log: Path) -> None:
        self._environ = dict(environ)
        self._directory = directory
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def status(self) -> int | None:
        """The exit status once it has ended."""
        return None if self._process is None else self._process.poll()

    def start(self, *arguments: str) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*COMMAND, "run", *arguments],
                env=self._environ,
                cwd=self._directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        """kill -9: only the daemon itself, as an out-of-memory killer would."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def wait(self, timeout_seconds: float) -> int:
        """Raises TimeoutExpired when it hangs."""
        assert self._process is not None
        return self._process.wait(timeout_seconds)


def command(
    *arguments: str,
    environ: Mapping[str, str],
    directory: Path,
    said: str | None = None,
    timeout_seconds: float = 60,
) -> subprocess.CompletedProcess[str]:
    """Any other command, to its end. Raises TimeoutExpired when it hangs."""
    return subprocess.run(
        [*COMMAND, *arguments],
        env=dict(environ),
        cwd=directory,
        input=said or "",
        capture_output=True,
        text=True,
        timeout=timeout_seconds,
        check=False,
    )
