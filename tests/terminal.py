"""A command on a terminal, as a person runs it."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self


class Terminal:
    """The command's three streams are one terminal; what it prints is read from `text`."""

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        environ: Mapping[str, str],
        directory: Path,
        columns: int = 100,
        rows: int = 40,
    ) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process = subprocess.Popen(
            arguments,
            env={"TERM": "xterm", **environ},
            cwd=directory,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self._read = b""

    @property
    def text(self) -> str:
        """All that was read so far, with its escape sequences."""
        return self._read.decode("utf-8", "replace").replace("\r\n", "\n")

    def press(self, text: str) -> None:
        """As if on the keyboard."""
        os.write(self._master, text.encode())

    def wait_for(self, wanted: str, seconds: float = 30) -> str:
        """Reads until the text is there; returns all of it."""
        deadline = time.monotonic() + seconds
        while wanted not in self.text:
            left = deadline - time.monotonic()
            came = left > 0 and self._more(left)
            assert came, f"no {wanted!r} in:\n{self.text}"
        return self.text

    def wait(self, seconds: float = 30) -> int:
        """Reads on until the command ends; returns its exit status."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and self._more(left):
            pass
        return self.process.wait(max(0.1, deadline - time.monotonic()))

    def _more(self, seconds: float) -> bool:
        """Whether there was more to read within this time."""
        ready, _, _ = select.select([self._master], [], [], seconds)
        if not ready:
            return False
        try:
            chunk = os.read(self._master, 65536)
        except OSError:  # the other end is closed
            return False
        self._read += chunk
        return bool(chunk)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._master)
