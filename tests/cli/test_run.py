"""`vodtender run` as a person or a service manager starts it, in the sandbox's world."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.cli.commands import Ran, Type
from tests.clients.ytdlp.fetches import wait_until
from tests.daemon.keeper import at_work
from tests.sandbox.world import World
from tests.terminal import Terminal
from vodtender.cli.main import run
from vodtender.config.settings import Settings
from vodtender.procedures import status
from vodtender.store.database import Database

_COMMAND = (sys.executable, "-m", "vodtender")
_ROOT = Path(__file__).parents[2]
_LOG_LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ (INFO|WARN|ERROR) [\w-]+: .*")


class Shell:
    """A person's, with the settings of the sandbox's world in its environment."""

    def __init__(self, world: World, dsn: str, directory: Path) -> None:
        self.world = world
        self.dsn = dsn
        self.directory = directory
        self.environ = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(_ROOT),
            "DB_DSN": dsn,
            "DATA_DIR": str(directory / "data"),
            "HTTP_ADDR": "127.0.0.1:0",
            **world.env(),
        }

    def type(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Any command, to its end."""
        return subprocess.run(
            [*_COMMAND, *arguments],
            env={**self.environ, **self.world.settings(), **more},
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def terminal(self, *arguments: str, columns: int = 120) -> Terminal:
        """Any command, on a terminal."""
        return Terminal(
            [*_COMMAND, *arguments],
            environ={**self.environ, **self.world.settings()},
            directory=self.directory,
            columns=columns,
        )

    @contextmanager
    def begun(self, *arguments: str) -> Iterator[Running]:
        """Any command, while it runs."""
        log = self.directory / "log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [*_COMMAND, *arguments],
                env={**self.environ, **self.world.settings()},
                cwd=self.directory,
                stdout=subprocess.DEVNULL,
                stderr=file,
            )
        try:
            yield Running(process, log)
        finally:
            process.kill()
            process.wait()

    def status(self) -> dict[str, Any]:
        """What `vodtender status` would print."""
        database = Database(lambda: self.dsn)
        try:
            return status.document(database, Settings(twitch_channel="alice"))
        finally:
            database.close()


class Running:
    """A command off a terminal, and what it has logged."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def said(self) -> str:
        return self._log.read_text()

    def wait_for(self, wanted: str) -> re.Match[str]:
        """Until it has logged this."""
        wait_until(lambda: re.search(wanted, self.said) is not None, 30)
        found = re.search(wanted, self.said)
        assert found is not None
        return found


@pytest.fixture
def shell(in_world: World, database_dsn: str, tmp_path: Path) -> Shell:
    in_world.add_channel("alice")
    return Shell(in_world, database_dsn, tmp_path)


@pytest.fixture
def type_here(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Type]:
    """A command that ends by itself, in this very process, which is fast; afterwards logging is
    as it was."""
    root, ours = logging.getLogger(), logging.getLogger("vodtender")
    before = ([*root.handlers], root.level, ours.level)
    monkeypatch.chdir(shell.directory)

    def typed(*arguments: str, **more: str) -> Ran:
        for name, value in (shell.environ | shell.world.settings() | more).items():
            monkeypatch.setenv(name, value)
        capsys.readouterr()
        status = run(list(arguments))
        said = capsys.readouterr()
        return Ran(int(status), said.out, said.err)

    yield typed
    root.handlers[:], level, our_level = before
    root.setLevel(level)
    ours.setLevel(our_level)


# --- to the end -------------------------------------------------------------------------


def test_drained_a_small_world_is_on_disk_and_status_says_so(shell: Shell) -> None:
    shell.world.add_vod("alice", title="One")
    shell.world.add_vod("alice", "muted", title="Two")
    done = shell.type("run", "--drain")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert all(_LOG_LINE.fullmatch(line) for line in done.stderr.splitlines()), done.stderr
    assert "\x1b" not in done.stderr
    assert len(list((shell.directory / "data").glob("*.mp4"))) == 2

    found = json.loads(shell.type("status", "--json").stdout)
    assert found["states"] == {"downloaded": 2}
    assert (found["queue_depth"], found["upload_queue_depth"]) == (0, 2)
    assert (found["workers"], found["downloads"], found["errors"]) == ([], [], [])


def test_once_waits_for_nothing(shell: Shell, type_here: Type) -> None:
    vod = shell.world.add_vod("alice")
    shell.world.faults.status(503, path=f"*{vod.id}*", times=None)
    ran = type_here("run", "--once", DOWNLOAD_BACKOFF_BASE="1h", PROCESSING_RETRY_COOLDOWN="1h")
    assert ran.status == 0, ran.err
    assert shell.status()["states"] == {"retrying": 1}


def test_the_log_can_be_read_by_machines(type_here: Type) -> None:
    ran = type_here("run", "--drain", LOG_FORMAT="json")
    assert ran.status == 0
    events = [json.loads(line) for line in ran.err.splitlines()]
    assert {"time", "level", "component", "msg"} <= set(events[0])
    assert "started" in [event["msg"] for event in events]


# --- what cannot be done ----------------------------------------------------------------


@pytest.mark.parametrize("mode", [(), ("--drain",), ("--once",)])
def test_without_a_channel_and_without_vods_it_says_what_to_set(
    type_here: Type, mode: tuple[str, ...]
) -> None:
    ran = type_here("run", *mode, TWITCH_CHANNELS="")
    assert ran.status == 2
    assert "No channel is set" in ran.err
    assert "TWITCH_CHANNEL=name vodtender run" in ran.err


def test_without_a_channel_vods_that_were_added_by_hand_are_fetched(
    shell: Shell, type_here: Type
) -> None:
    vod = shell.world.add_vod("alice", title="Added by hand")
    assert type_here("add", vod.id, TWITCH_CHANNELS="").status == 0
    ran = type_here("run", "--drain", TWITCH_CHANNELS="")
    assert ran.status == 0, ran.err
    assert len(list((shell.directory / "data").glob(f"*_{vod.id}.mp4"))) == 1


def test_impossible_settings_are_told_before_anything_starts(shell: Shell, type_here: Type) -> None:
    ran = type_here("run", LEASE_SECONDS="never")
    assert ran.status == 2
    assert "environment: LEASE_SECONDS" in ran.err
    assert not (shell.directory / "data").exists()


def test_an_address_that_is_taken_is_told(type_here: Type) -> None:
    with socket.create_server(("127.0.0.1", 0)) as first:
        port = first.getsockname()[1]
        ran = type_here("run", HTTP_ADDR=f"127.0.0.1:{port}")
    assert ran.status == 2
    assert f"HTTP_ADDR 127.0.0.1:{port} cannot be listened on" in ran.err
    assert "vodtender status" in ran.err


def test_a_database_that_is_down_at_the_start_is_an_error(type_here: Type) -> None:
    ran = type_here("run", DB_DSN="postgresql://vod@127.0.0.1:1/vod")
    assert ran.status == 5
    assert "The database cannot be reached" in ran.err


# --- signals ----------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "number"), [((), signal.SIGTERM), (("--drain",), signal.SIGINT)])
def test_the_first_signal_brings_the_work_to_a_safe_point(
    shell: Shell, mode: tuple[str, ...], number: signal.Signals
) -> None:
    shell.world.add_vod("alice")
    gate = shell.world.faults.hold(path="*/3.ts")
    with shell.begun("run", *mode) as daemon:
        gate.wait_reached(30)
        daemon.process.send_signal(number)
        assert daemon.process.wait(30) == 0
        assert "stopping" in daemon.said
    found = shell.status()
    assert found["states"] == {"queued": 1}
    assert (found["workers"], found["downloads"], found["errors"]) == ([], [], [])


# --- on a terminal ----------------------------------------------------------------------


def test_a_person_sees_what_moves_below_the_log(shell: Shell) -> None:
    shell.world.add_vod("alice", "slow", title="[red]x[/red] \x1b[31m end", segment_count=40)
    with shell.terminal("run") as terminal:
        terminal.wait_for("download started")
        terminal.wait_for("kB/s")
        shown = terminal.wait_for("left")
        assert "[red]x[/red] \\x1b[31m end" in shown
        assert "\x1b[31m end" not in shown.replace("\\x1b[31m end", "")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.wait() == 0
        last = terminal.text
    assert "INFO daemon: stopping" in last
    assert last.rindex("\x1b[?25h") > last.rindex("\x1b[?25l")  # the cursor is back


def test_log_lines_are_neither_wrapped_nor_mixed_with_the_progress(shell: Shell) -> None:
    for number in range(2):
        shell.world.add_vod("alice", title=f"Stream {number}")
    with shell.terminal("run", "--drain", columns=50) as terminal:
        assert terminal.wait(60) == 0
        printed = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.text)
    done = [line for line in re.split(r"[\r\n]+", printed) if "download: done" in line]
    assert len(done) == 2
    assert all(_LOG_LINE.fullmatch(line) and "stage=downloaded" in line for line in done)


def test_a_second_ctrl_c_leaves_the_terminal_usable(shell: Shell) -> None:
    shell.world.add_vod("alice")
    gate = shell.world.faults.hold(path="*/3.ts")
    with shell.terminal("run") as terminal, psycopg.connect(shell.dsn) as connection:
        terminal.wait_for("download started")
        gate.wait_reached(30)
        connection.execute("LOCK TABLE vods")
        terminal.process.send_signal(signal.SIGINT)
        terminal.wait_for("stopping")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.wait(10) == 130
        assert terminal.text.rindex("\x1b[?25h") > terminal.text.rindex("\x1b[?25l")


def test_a_terminal_that_cannot_move_its_cursor_gets_the_log_only(shell: Shell) -> None:
    shell.environ["TERM"] = "dumb"
    with shell.terminal("run", "--drain") as terminal:
        assert terminal.wait(60) == 0
        assert "\x1b" not in terminal.text
        assert "INFO daemon: started" in terminal.text


# --- over HTTP --------------------------------------------------------------------------


def test_the_daemon_tells_over_http_what_it_does(
    shell: Shell, caplog: pytest.LogCaptureFixture
) -> None:
    shell.world.add_vod("alice", title="Held up")
    gate = shell.world.faults.hold(path="*/3.ts")
    caplog.set_level("INFO", "vodtender")
    with at_work({**shell.environ, **shell.world.settings()}):
        gate.wait_reached(30)
        (started,) = [one for one in caplog.records if one.getMessage() == "started"]
        address = vars(started)["fields"]["http"]
        wait_until(lambda: bool(_get(f"{address}/status")["downloads"]), 30)
        found = _get(f"{address}/status")
        gate.release()
    assert found["queue_depth"] == 1
    assert found["downloads"][0]["title"] == "Held up"
    (worker,) = found["workers"]
    assert (worker["alive"], worker["pid"]) == (True, os.getpid())


def _get(url: str) -> Any:
    directly = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with directly.open(url, timeout=10) as answer:
        return json.load(answer)
