"""`vodtender config check | show | example`, run as an operator runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from vodtender.config.settings import DECLARED

Run = Callable[..., "subprocess.CompletedProcess[str]"]

_ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs `vodtender config …` in an empty directory with only these variables."""

    def ran(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "vodtender", *arguments],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(_ROOT), **environ},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return ran


def test_check_says_that_settings_are_fine(run: Run) -> None:
    done = run("config", "check", TWITCH_CHANNEL="someone")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        f"The settings can be used: {len(DECLARED) - 1} from default, 1 from environment.\n"
    )


def test_check_names_everything_that_is_wrong_and_exits_with_2(run: Run, tmp_path: Path) -> None:
    (tmp_path / "vodtender.yaml").write_text("\nDATADIR: x\n")
    done = run("config", "check", LEASE_SECONDS="none")
    assert done.returncode == 2
    assert done.stdout == ""
    assert 'vodtender.yaml:2: there is no setting "DATADIR"; did you mean DATA_DIR?' in done.stderr
    assert 'environment: LEASE_SECONDS is "none": expected a whole number' in done.stderr
    assert "vodtender config example" in done.stderr
    assert "Traceback" not in done.stderr


def test_check_warns_and_still_exits_with_0(run: Run) -> None:
    done = run("config", "check", TWITCH_CHANEL="someone")
    assert done.returncode == 0
    assert "TWITCH_CHANEL is no setting; did you mean TWITCH_CHANNEL?" in done.stderr


def test_check_as_json(run: Run, tmp_path: Path) -> None:
    (tmp_path / "vodtender.yaml").write_text("LOG_LEVEL: debug\n")
    (tmp_path / "vodtender.yaml").chmod(0o600)
    done = run("config", "check", "--json")
    assert json.loads(done.stdout) == {
        "ok": True,
        "file": "vodtender.yaml",
        "warnings": [],
        "from": {"default": len(DECLARED) - 1, "vodtender.yaml": 1},
    }


def test_show_has_a_line_per_setting_with_value_and_origin(run: Run, tmp_path: Path) -> None:
    (tmp_path / "vodtender.yaml").write_text("\nLOG_LEVEL: debug\n")
    done = run("config", "show", TWITCH_CHANNELS="a,b")
    assert done.returncode == 0
    lines = {line.split()[0]: line.split() for line in done.stdout.splitlines() if line.strip()}
    assert lines["LOG_LEVEL"] == ["LOG_LEVEL", "debug", "vodtender.yaml:2"]
    assert lines["TWITCH_CHANNELS"] == ["TWITCH_CHANNELS", "a,b", "environment"]
    assert lines["VOD_PROCESS_INTERVAL"] == ["VOD_PROCESS_INTERVAL", "1m", "default"]
    assert set(DECLARED) <= set(lines)


def test_show_as_json_has_texts_and_origins(run: Run) -> None:
    done = run("config", "show", "--json", UPLOAD_CHUNK_SIZE="1M")
    document = json.loads(done.stdout)
    by_name = {one["name"]: one for one in document["settings"]}
    assert list(by_name) == list(DECLARED)
    assert by_name["UPLOAD_CHUNK_SIZE"]["value"] == "1MiB"
    assert by_name["UPLOAD_CHUNK_SIZE"]["from"] == "environment"
    assert by_name["YT_LANGUAGE"]["value"] is None
    assert document["file"] is None
    assert document["warnings"] == []


@pytest.mark.parametrize("arguments", [("show",), ("show", "--json"), ("check",)])
def test_no_secret_is_ever_shown(run: Run, arguments: tuple[str, ...]) -> None:
    done = run(
        "config",
        *arguments,
        DB_DSN="postgresql://vod:pw4@h/vod",
        TWITCH_CLIENT_ID="public",
        TWITCH_CLIENT_SECRET="twsecret",
        YT_CLIENT_ID="public",
        YT_CLIENT_SECRET="ytsecret",
        ENCRYPTION_KEY="AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
    )
    assert done.returncode == 0
    for secret in ("pw4", "twsecret", "ytsecret", "AAECAwQF"):
        assert secret not in done.stdout + done.stderr


def test_the_example_is_a_settings_file(run: Run, tmp_path: Path) -> None:
    done = run("config", "example")
    assert done.returncode == 0
    (tmp_path / "own.yaml").write_text(done.stdout)
    checked = run("config", "check", VODTENDER_CONFIG="own.yaml")
    assert (checked.returncode, checked.stderr) == (0, "")


def test_an_example_can_be_had_while_the_settings_are_wrong(run: Run) -> None:
    assert run("config", "example", LEASE_SECONDS="none").returncode == 0
