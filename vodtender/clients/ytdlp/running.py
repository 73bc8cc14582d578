"""One child process: started, watched, listened to, and dead in the end with all its own."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from vodtender.clients.ytdlp.wire import RATE_LIMIT, error_from_json
from vodtender.errors import Stopped, Transient, VodtenderError

_POLL_SECONDS = 0.25
_TERM_GRACE_SECONDS = 3.0
_LAST_WORDS_LINES = 8
_SECRET_NAME = re.compile(r"(_DSN|_PASSWORD|_SECRET|_TOKEN|_KEY|_KEYS)(_FILE)?$|_CREDENTIALS")
_PROGRESS_FIELDS = ("phase", "bytes_done", "segments_done", "work")

Log = Callable[[str, str], None]
"""Told of the child's log lines: level and message."""


@dataclass(frozen=True, slots=True)
class Watch:
    """When to end a child: after so long in all, after so long without progress, on request;
    and how fast it may fetch until then, in bytes per second."""

    timeout: timedelta | None
    stall_timeout: timedelta
    should_stop: Callable[[], bool]
    rate_limit: Callable[[], int | None] | None = None


class Child:
    """A context manager: on leaving it the child's whole process group is dead."""

    def __init__(self, request: dict[str, Any], watch: Watch, on_log: Log | None) -> None:
        self._request = request
        self._watch = watch
        self._on_log = on_log
        self._lines: queue.Queue[bytes | None] = queue.Queue(maxsize=1000)
        self._last_words: deque[bytes] = deque(maxlen=_LAST_WORDS_LINES)

    def __enter__(self) -> Child:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "vodtender.clients.ytdlp.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env=environment(os.environ),
        )
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self._threads = [
            threading.Thread(target=self._listen, args=(process.stdout,), daemon=True),
            threading.Thread(target=self._last_words.extend, args=(process.stderr,), daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        self._rate_limit = self._current_rate_limit()
        self._tell(self._request | {RATE_LIMIT: self._rate_limit})
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end(gently=error is not None)

    def lines(self) -> Iterator[dict[str, Any]]:
        """What the child says, log lines aside. Raises its error, Stopped, or Transient."""
        started = moved = time.monotonic()
        position: object = None
        while True:
            if self._watch.should_stop():
                raise Stopped("The download was ended on request.")
            self._pass_on_rate_limit()
            now = time.monotonic()
            self._check_time(now - started, now - moved)
            try:
                raw = self._lines.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                continue
            if raw is None:
                raise self._crashed()
            line = self._read(raw)
            here = _position(line)
            if here is None or here != position or line.get("phase") == "verifying":
                # While verifying, all that can hang is the disk itself.
                position, moved = here, time.monotonic()
            if line["type"] == "log":
                if self._on_log is not None:
                    self._on_log(line["level"], line["message"])
            elif line["type"] == "error":
                raise self._spoken(line)
            else:
                yield line

    def _current_rate_limit(self) -> int | None:
        return self._watch.rate_limit() if self._watch.rate_limit else None

    def _pass_on_rate_limit(self) -> None:
        current = self._current_rate_limit()
        if current != self._rate_limit:
            self._rate_limit = current
            self._tell({RATE_LIMIT: current})

    def _tell(self, line: dict[str, Any]) -> None:
        stdin = self._process.stdin
        assert stdin is not None
        with contextlib.suppress(BrokenPipeError):
            stdin.write(json.dumps(line).encode() + b"\n")
            stdin.flush()

    def _check_time(self, running_seconds: float, still_seconds: float) -> None:
        timeout, stall = self._watch.timeout, self._watch.stall_timeout
        if timeout is not None and running_seconds > timeout.total_seconds():
            raise Transient(
                f"The download took longer than {timeout.total_seconds():.0f} s "
                "(DOWNLOAD_TIMEOUT) and was ended; the next attempt goes on from what is there.",
                code="timeout",
            )
        if still_seconds > stall.total_seconds():
            raise Transient(
                f"The download made no progress for {stall.total_seconds():.0f} s "
                "(DOWNLOAD_STALL_TIMEOUT) and was ended.",
                code="stalled",
            )

    def _listen(self, stdout: IO[bytes]) -> None:
        for line in stdout:
            self._lines.put(line)
        self._lines.put(None)

    def _read(self, raw: bytes) -> dict[str, Any]:
        try:
            line = json.loads(raw)
            if isinstance(line, dict) and isinstance(line["type"], str):
                return line
        except (ValueError, KeyError):
            pass
        raise self._crashed(f"it said {raw[:200]!r}")

    def _spoken(self, line: dict[str, Any]) -> VodtenderError:
        try:
            return error_from_json(line)
        except (KeyError, ValueError, TypeError):
            return self._crashed(f"it reported {line!r}"[:300])

    def _crashed(self, how: str = "") -> VodtenderError:
        self._end(gently=False)
        status = self._process.returncode
        if not how and status < 0:
            how = f"signal {signal.Signals(-status).name}"
        words = b"".join(self._last_words).decode("utf-8", "replace").strip()
        words = f" Its last words: {words[-1000:]}" if words else ""
        return Transient(
            f"The download's process ended unexpectedly ({how or f'status {status}'}).{words}",
            code="child_failed",
        )

    def _end(self, *, gently: bool) -> None:
        """Kill the group: politely first, then for sure. The child is reaped last of all.

        As long as it is not reaped its process id, which is the group's, names nothing else.
        """
        process = self._process
        if process.returncode is not None:
            return
        if gently:
            self._signal(signal.SIGTERM)
            deadline = time.monotonic() + _TERM_GRACE_SECONDS
            while not self._exited() and time.monotonic() < deadline:
                time.sleep(0.02)
        self._signal(signal.SIGKILL)
        process.wait()
        self._drain()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()

    def _drain(self) -> None:
        """Let the listeners end: the one that is full of lines must be able to put its last."""
        for thread in self._threads:
            while thread.is_alive():
                with contextlib.suppress(queue.Empty):
                    while True:
                        self._lines.get_nowait()
                thread.join(0.02)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def _exited(self) -> bool:
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self._process.pid, flags) is not None


def environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """The child's environment: no secret that it has no use for, and where to find this code."""
    kept = {name: value for name, value in inherited.items() if not _SECRET_NAME.search(name)}
    root = str(Path(__file__).resolve().parents[3])
    others = [path for path in kept.get("PYTHONPATH", "").split(os.pathsep) if path]
    return {**kept, "PYTHONPATH": os.pathsep.join([root, *others]), "PYTHONUNBUFFERED": "1"}


def _position(line: dict[str, Any]) -> object:
    """Where a progress line says the work is; None for lines of other types."""
    if line["type"] != "progress":
        return None
    return tuple(line.get(name) for name in _PROGRESS_FIELDS)
