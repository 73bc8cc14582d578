"""`python -m tests.sandbox` serves until it is told to stop, and reports what it saw."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests


@contextmanager
def _sandbox(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    command = [sys.executable, "-m", "tests.sandbox", *arguments]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        found: dict[str, str] = {}
        while "SANDBOX_READY" not in found:
            name, _, value = process.stdout.readline().rstrip("\n").partition("=")
            assert name, "the sandbox ended before it was ready"
            found[name] = value
        yield process, found


def test_it_prints_an_environment_and_serves_until_sigterm(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    credentials = tmp_path / "youtube.json"
    with _sandbox("--report", str(report), "--credentials", str(credentials)) as (process, env):
        assert env["TWITCH_CHANNELS"] == "demo_channel"
        answer = requests.get(
            "https://api.twitch.tv/helix/users",
            proxies={"https": env["HTTPS_PROXY"]},
            verify=env["SSL_CERT_FILE"],
            timeout=10,
        )
        assert answer.status_code == 401
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert json.loads(report.read_text())["requests"] == {"api.twitch.tv": 1}
    assert "refresh_token" in json.loads(credentials.read_text())
    assert not Path(env["SSL_CERT_FILE"]).exists()


def test_it_ends_with_its_standard_input() -> None:
    with _sandbox("--scenario", "empty", "--while-stdin") as (process, _env):
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(10) == 0
