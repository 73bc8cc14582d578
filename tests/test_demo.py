"""`scripts/demo`, run as a newcomer does."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import psutil

from scripts.outside import ROOT

_DEADLINE_SECONDS = 90
_LAST_MOMENT_SECONDS = 2
_GOOD_VODS = 4


def test_the_demo_carries_every_good_vod_even_after_one_that_was_interrupted(
    tmp_path: Path,
) -> None:
    with _Terminal(tmp_path) as terminal:
        terminal.wait_for("download started")
        second = _demo(tmp_path)
        assert second.returncode == 1
        assert "another demo is at work" in second.stderr
        terminal.wait_for("left")  # of the live progress
        terminal.press_ctrl_c()
        assert terminal.status() == 130
    assert not _left_running(tmp_path)

    done = _demo(tmp_path)

    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "data").glob("*.mp4"))) == _GOOD_VODS
    assert len(list((tmp_path / "youtube").iterdir())) == _GOOD_VODS
    assert f"{_GOOD_VODS} on YouTube" in done.stdout
    assert str(tmp_path / "data") in done.stdout
    assert "\x1b" not in done.stdout + done.stderr
    assert not _left_running(tmp_path)


def test_a_demo_that_fails_says_so(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("in the way of the directory for the videos")
    done = _demo(tmp_path)
    assert done.returncode == 1
    assert "has failed with exit status" in done.stderr
    assert not _left_running(tmp_path)


def _demo(directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["scripts/demo", "--quick", "--directory", str(directory)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_DEADLINE_SECONDS,
        check=False,
    )


def _left_running(directory: Path) -> list[str]:
    """The processes that have to do with a demo's directory and do not end in a moment."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            words = [*process.cmdline(), process.cwd(), *process.environ().values()]
            if any(str(directory) in word for word in words) and process.pid != os.getpid():
                found.append(process)
    # The database's process is still being taken down when its lock is free already.
    _, alive = psutil.wait_procs(found, timeout=_LAST_MOMENT_SECONDS)
    return [str(process) for process in alive]


class _Terminal:
    """The demo at its watchable pace, on a terminal."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._seen = ""

    def __enter__(self) -> _Terminal:
        pid, self._screen = pty.fork()
        if pid == 0:
            os.chdir(ROOT)
            os.environ["TERM"] = "xterm"
            command = ["scripts/demo", "--directory", str(self._directory)]
            os.execv(command[0], command)
        self._pid = pid
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._screen)  # hangs up, should it still run

    def wait_for(self, text: str) -> None:
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while text not in self._seen:
            left = deadline - time.monotonic()
            ready, _, _ = select.select([self._screen], [], [], max(0.0, left))
            assert ready, f"{text!r} has not come: {self._seen}"
            self._seen += os.read(self._screen, 4096).decode(errors="replace")

    def press_ctrl_c(self) -> None:
        os.write(self._screen, b"\x03")

    def status(self) -> int:
        """Its exit status, once it has ended."""
        while True:
            try:
                if not os.read(self._screen, 4096):
                    break
            except OSError:  # nobody has the terminal any more
                break
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
