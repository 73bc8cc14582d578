"""Running programs one after the other, and passing on to them who asks for the end."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Failed(Exception):  # noqa: N818 - told to the person as it is
    """A step did not do what it should."""


class Interrupted(Exception):  # noqa: N818
    """A person or the system has asked for the end."""


class Runner:
    """Runs programs in `directory` with this environment and no other. They hold on to the file
    `lock` as well, so that it stays locked for as long as one of them lives.

    Each is in a session of its own, so that Ctrl-C reaches it through us and once: the first
    asks it to come to a safe point, the second to end at once.
    """

    def __init__(self, directory: Path, environment: dict[str, str], lock: int) -> None:
        self.environment = environment
        self._lock = lock
        self._directory = directory
        self._interrupted = False
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._pass_on) for number in _SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def run(
        self, command: list[str], environment: Mapping[str, str], *, quiet: bool = False
    ) -> None:
        """Runs a program to its end; `quiet` ones may fail. Raises Failed, Interrupted."""
        self.stop_if_asked()
        output = subprocess.DEVNULL if quiet else None
        self._process = subprocess.Popen(
            command,
            cwd=self._directory,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            text=True,
            start_new_session=True,
            pass_fds=[self._lock],
        )
        if self._interrupted:  # it came before there was somebody to pass it on to
            self._pass_on(signal.SIGINT, None)
        status = self._process.wait()
        self.stop_if_asked()
        if status and not quiet:
            raise Failed(f"`{' '.join(command[2:])}` has failed with exit status {status}")

    def stop_if_asked(self) -> None:
        """Raises Interrupted."""
        if self._interrupted:
            raise Interrupted

    def _pass_on(self, _number: int, _frame: FrameType | None) -> None:
        self._interrupted = True
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGINT)
