"""`vodtender status`, run as an operator runs it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.archive import Archive
from tests.cli.commands import Type
from tests.terminal import Terminal
from vodtender.cli.output import fit, width
from vodtender.cli.status_screen import screen
from vodtender.config.settings import Settings
from vodtender.model.breaker import Breaker
from vodtender.procedures import status as procedure
from vodtender.store import breaker, claims, pause
from vodtender.store.claims import Progress

Run = Callable[..., "subprocess.CompletedProcess[str]"]

_COMMAND = (sys.executable, "-m", "vodtender")
_ROOT = Path(__file__).parents[2]
_NOBODY = "postgresql://vod:hunter2@127.0.0.1:1/vod"


@pytest.fixture
def environ(archive: Archive, tmp_path: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(_ROOT),
        "DB_DSN": archive.dsn,
        "DATA_DIR": str(tmp_path),
        "TWITCH_CHANNEL": "alice",
    }


@pytest.fixture
def run(environ: Mapping[str, str], tmp_path: Path) -> Run:
    def ran(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*_COMMAND, "status", *arguments],
            env={**environ, **more},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return ran


def picture(archive: Archive, columns: int | None = None, **settings: Any) -> str:
    fields = {"twitch_channel": "alice", "db_dsn": archive.dsn, **settings}
    found = procedure.document(archive.database, Settings(**fields))
    return screen(found, columns=columns, colours=False)


# --- what it prints ---------------------------------------------------------------------


def test_it_shows_the_queue_and_what_to_type(run: Run, archive: Archive) -> None:
    archive.add("1", channel="alice")
    archive.add("2", "failed", channel="alice", problem="Twitch has no such VOD")
    done = run()
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 queued, 1 failed for good" in done.stdout
    assert "Twitch has no such VOD" in done.stdout
    assert "vodtender run" in done.stdout
    assert "\x1b" not in done.stdout


def test_as_json_it_is_the_document(type_in: Type, archive: Archive) -> None:
    archive.add("1", channel="alice")
    ran = type_in("status", "--json")
    assert (ran.status, ran.err) == (0, "")
    found = ran.document
    expected = procedure.document(archive.database, Settings(twitch_channel="alice"))
    assert set(found) == set(expected)
    assert found["queue_depth"] == 1


def test_a_database_that_is_down_is_said_with_what_to_do(
    type_in: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DB_DSN", _NOBODY)
    ran = type_in("status")
    assert (ran.status, ran.out) == (5, "")
    assert "error: The database cannot be reached" in ran.err
    assert "hint: " in ran.err
    assert "hunter2" not in ran.err


def test_a_database_that_is_down_is_an_object_for_programs(
    type_in: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DB_DSN", _NOBODY)
    ran = type_in("status", "--json")
    assert (ran.status, ran.out) == (5, "")
    error = json.loads(ran.err)
    assert (error["error"], error["exit"]) == ("database_unavailable", 5)
    assert error["hint"]


def test_it_loads_nothing_that_it_does_not_need(environ: Mapping[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "vodtender", "status"],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "psycopg" in loaded
    for heavy in (
        *("rich", "pydantic", "requests", "cryptography", "googleapiclient", "yt_dlp"),
        *("apscheduler", "starlette", "uvicorn", "prometheus_client", "psycopg_pool"),
    ):
        assert heavy not in loaded


# --- watching ---------------------------------------------------------------------------


def test_watching_off_a_terminal_prints_one_line_of_json_each_time(
    environ: Mapping[str, str], archive: Archive, tmp_path: Path
) -> None:
    with subprocess.Popen(
        [*_COMMAND, "status", "--watch", "--json"],
        env=environ,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        archive.add("1", channel="alice")
        second = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert (first["type"], second["type"]) == ("status", "status")
    assert (first["queue_depth"], second["queue_depth"]) == (0, 1)
    assert (process.returncode, said) == (0, "")


def test_watching_goes_on_while_the_database_is_away(
    environ: Mapping[str, str], archive: Archive, tmp_path: Path
) -> None:
    with subprocess.Popen(
        [*_COMMAND, "status", "--watch", "--json"],
        env=environ,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["database"]["ok"]
        with archive.connection() as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        lines = [json.loads(process.stdout.readline()) for _ in range(2)]
        assert [line["database"]["ok"] for line in lines] == [False, True]
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0


def test_watching_on_a_terminal_draws_in_place_and_ends_well(
    environ: Mapping[str, str], archive: Archive, tmp_path: Path
) -> None:
    command = [*_COMMAND, "status", "--watch"]
    with Terminal(command, environ=environ, directory=tmp_path, rows=14) as terminal:
        terminal.wait_for("no VODs")
        archive.add("1", channel="alice")
        terminal.wait_for("1 queued")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.wait() == 0
        pictures = terminal.text.split("\x1b[H")[1:]
        assert len(pictures) >= 2
        assert all(one.count("\n") <= 13 for one in pictures)  # it does not scroll


@pytest.mark.parametrize("wanted", [True, False])
def test_colours_are_for_terminals_that_want_them(
    environ: Mapping[str, str], tmp_path: Path, wanted: bool
) -> None:
    more = {} if wanted else {"NO_COLOR": "1"}
    command = [*_COMMAND, "status"]
    with Terminal(command, environ={**environ, **more}, directory=tmp_path) as terminal:
        assert terminal.wait() == 0
        assert ("\x1b[1m" in terminal.text) == wanted


# --- the screen -------------------------------------------------------------------------


def test_what_moves_is_shown_with_speed_and_time_left(archive: Archive) -> None:
    archive.add("1", title="A stream")
    claim = archive.claim("1")
    with archive.connection() as connection:
        progress = Progress("download", "segments", 250_000_000, 10**9, 5e6)
        claims.renew(connection, claim, 60, progress)
    assert "↓ 1  25 %  250.0 MB of 1.0 GB  5.0 MB/s  2 min left  A stream" in picture(archive)


def test_a_title_is_only_a_text(archive: Archive) -> None:
    archive.add("1", title="[red]x[/red] \x1b[2J\nroot# ", vanishes_at=_soon())
    shown = picture(archive)
    assert "[red]x[/red] \\x1b[2J\\nroot#" in shown
    assert "\x1b" not in shown


def test_lines_end_where_the_terminal_does(archive: Archive) -> None:
    archive.add("1", title="漢字とかな交じり文" * 10, vanishes_at=_soon())
    archive.add("2", "failed", problem="a long story " * 20)
    lines = picture(archive, columns=60).splitlines()
    assert max(map(width, lines)) <= 60
    assert any(line.endswith("…") for line in lines)
    assert max(map(width, picture(archive, columns=None).splitlines())) > 200


def test_what_to_type_is_never_cut_on_a_narrow_terminal(archive: Archive) -> None:
    archive.add("1", "failed", problem="a long story " * 20)
    _, _, after = picture(archive, columns=40).partition("\nNext ")
    assert " ".join(after.split()) == (
        "vodtender run # no daemon is running, so nothing moves"
        " vodtender vods --state failed # 1 VOD has failed for good"
    )


def test_on_a_low_screen_what_is_well_goes_first_and_what_to_type_stays(archive: Archive) -> None:
    for number in range(1, 9):
        archive.add(str(number), "failed", problem=f"broken {number}", problem_code="http")
    found = procedure.document(archive.database, Settings(twitch_channel="alice"))
    whole = screen(found, columns=80, colours=False)
    assert "Vanishing" in whole
    shown = screen(found, columns=80, colours=False, rows=10)
    assert len(shown.splitlines()) == 10
    assert "Vanishing" not in shown
    assert "8 failed for good" in shown
    assert "Next      vodtender run" in shown
    assert "vodtender vods --state failed" in shown
    assert screen(found, columns=80, colours=False, rows=1).startswith("Next      vodtender run")


def test_a_terminal_that_does_not_say_how_wide_it_is_gets_eighty_columns(
    environ: Mapping[str, str], archive: Archive, tmp_path: Path
) -> None:
    archive.add("1", "failed", problem="a long story " * 20)
    command = (*_COMMAND, "status")
    with Terminal(command, environ=environ, directory=tmp_path, columns=0, rows=0) as terminal:
        assert terminal.wait() == 0
    lines = re.sub(r"\x1b\[\d*m", "", terminal.text).splitlines()
    assert 60 < max(map(width, lines)) <= 80


def test_trouble_is_told_in_words(archive: Archive) -> None:
    archive.add("1", vanishes_at=_soon())
    for number in ("2", "3", "4"):
        archive.add(number, "downloaded", problem="today's upload quota is used up")
    until = datetime(2099, 1, 1, tzinfo=UTC)
    with archive.connection() as connection:
        breaker.put(connection, Breaker("alice", "open", 5, until))
        pause.begin(connection, "the disk is swapped")
    shown = picture(archive)
    assert "paused: the disk is swapped" in shown
    assert "alice: open, 5 VODs failed, one is tried after 2099-01-01 00:00 UTC" in shown
    assert "1 within a day and not on disk" in shown
    assert re.search(r"4 and 2 more, \d+ s ago: today's upload quota is used up", shown)
    assert "none is running" in shown


def test_it_fits_on_a_screen_however_much_is_wrong(archive: Archive) -> None:
    for number in range(1, 40):
        archive.add(str(number), "failed", problem=f"broken {number}", problem_code="http")
        archive.add(str(100 + number), vanishes_at=_soon())
    shown = picture(archive).splitlines()
    assert len(shown) <= 48
    assert any("more: vodtender status --json" in line for line in shown)


@pytest.mark.parametrize(
    ("text", "columns", "cut"),
    [
        ("abcdef", 6, "abcdef"),
        ("abcdefg", 6, "abcde…"),
        ("漢字漢字", 8, "漢字漢字"),
        ("漢字漢字", 7, "漢字漢…"),
        ("漢字漢字", 6, "漢字…"),
        ("abc", None, "abc"),
        ("abc", 1, "…"),
    ],
)
def test_wide_characters_count_twice(text: str, columns: int | None, cut: str) -> None:
    assert fit(text, columns) == cut


def _soon() -> datetime:
    return datetime.now(UTC) + timedelta(hours=3)
