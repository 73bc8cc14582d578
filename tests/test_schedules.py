"""What runs vodtender by the clock: scripts for cron, systemd's units, Kubernetes' CronJobs."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
import yaml

from vodtender.cli.main import COMMANDS
from vodtender.config.settings import DECLARED

_SCRIPTS = Path(__file__).parents[1] / "scripts"
_UNITS = sorted((_SCRIPTS / "systemd").iterdir())
_CALLS = {
    "backup-db.sh": ["backup"],
    "archive-vods.sh": ["archive", "--yes"],
    "test-restore.sh": ["restore", "--test"],
}


def stand_in(directory: Path) -> Path:
    """A vodtender that says how it was called, and fails."""
    directory.mkdir(exist_ok=True)
    program = directory / "vodtender"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\nexit 3\n')
    program.chmod(0o755)
    return program


def on_path(script: Path, tmp_path: Path) -> dict[str, str]:
    return {"PATH": f"{stand_in(tmp_path / 'elsewhere').parent}:/usr/bin:/bin"}


def beside(script: Path, tmp_path: Path) -> dict[str, str]:
    stand_in(script.parent)
    return {"PATH": "/usr/bin:/bin"}


def in_the_checkout(script: Path, tmp_path: Path) -> dict[str, str]:
    (script.parent.parent / ".venv").mkdir()
    stand_in(script.parent.parent / ".venv" / "bin")
    return {"PATH": "/usr/bin:/bin"}


@pytest.mark.parametrize("place", [on_path, beside, in_the_checkout])
@pytest.mark.parametrize("name", _CALLS)
def test_a_script_passes_its_arguments_and_the_exit_status_on(
    name: str, place: Callable[[Path, Path], dict[str, str]], tmp_path: Path
) -> None:
    script = tmp_path / "a checkout" / "bin" / name
    script.parent.mkdir(parents=True)
    shutil.copy(_SCRIPTS / name, script)
    environ = place(script, tmp_path)
    link = tmp_path / name
    link.symlink_to(script)
    for path in (script, link):
        done = subprocess.run(
            [path, "--reason", "two words"],
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (3, "")
        assert done.stdout.splitlines() == [*_CALLS[name], "--reason", "two words"]


@pytest.mark.parametrize("name", _CALLS)
def test_without_vodtender_a_script_says_so_and_fails(name: str, tmp_path: Path) -> None:
    script = shutil.copy(_SCRIPTS / name, tmp_path)
    done = subprocess.run(
        [script], env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 127
    assert "no vodtender" in done.stderr


def unit(path: Path) -> ConfigParser:
    parser = ConfigParser(interpolation=None, strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(path.read_text())
    return parser


def test_every_timer_has_its_service_and_every_service_a_command_that_there_is() -> None:
    names = {path.name for path in _UNITS}
    assert "vod-tender.service" in names
    timers = [path for path in _UNITS if path.suffix == ".timer"]
    assert {path.stem for path in timers} == {
        "vod-tender-backup",
        "vod-tender-archive",
        "vod-tender-restore-test",
    }
    for timer in timers:
        assert f"{timer.stem}.service" in names
        assert unit(timer)["Timer"]["Persistent"] == "true"
    for path in _UNITS:
        if path.suffix == ".service":
            program, command = unit(path)["Service"]["ExecStart"].split()[:2]
            assert program == "/opt/vod-tender/bin/vodtender"
            assert command in COMMANDS


@pytest.mark.system
def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    program = str(stand_in(tmp_path / "bin"))
    for path in _UNITS:
        text = path.read_text().replace("/opt/vod-tender/bin/vodtender", program)
        (tmp_path / path.name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", *(tmp_path / path.name for path in _UNITS)],
        env={**os.environ, "SYSTEMD_LOG_LEVEL": "warning"},
        capture_output=True,
        text=True,
        check=False,
    )
    ours = [line for line in done.stderr.splitlines() if "vod-tender" in line]
    assert (done.returncode, ours) == (0, []), done.stderr


def jobs() -> list[Any]:
    return list(yaml.safe_load_all((_SCRIPTS / "kubernetes" / "cronjobs.yaml").read_text()))


def test_the_cron_jobs_have_the_names_that_the_runbook_uses() -> None:
    assert [job["metadata"]["name"] for job in jobs()] == [
        "vod-db-backup",
        "vod-archive",
        "vod-restore-test",
    ]
    secrets = {
        "DB_PASSWORD": ("vod-postgres-creds", "DB_PASSWORD"),
        "DB_ADMIN_DSN": ("vod-postgres-creds", "DB_ADMIN_DSN"),
        "AWS_ACCESS_KEY_ID": ("aws-creds", "access_key_id"),
        "AWS_SECRET_ACCESS_KEY": ("aws-creds", "secret_access_key"),
    }
    for job in jobs():
        assert (job["apiVersion"], job["kind"]) == ("batch/v1", "CronJob")
        assert job["metadata"]["namespace"] == "vod-tender"
        assert job["spec"]["concurrencyPolicy"] == "Forbid"
        pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        program, command, *_ = container["command"]
        assert program == "vodtender"
        assert command in COMMANDS
        for variable in container["env"]:
            assert variable["name"] in DECLARED
            if "valueFrom" in variable:
                named = variable["valueFrom"]["secretKeyRef"]
                assert (named["name"], named["key"]) == secrets[variable["name"]]
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]}


def test_the_archive_runs_where_the_daemons_volume_is() -> None:
    pod = jobs()[1]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert pod["volumes"][0]["persistentVolumeClaim"]["claimName"] == "vod-data"
    (mount,) = pod["containers"][0]["volumeMounts"]
    assert mount["mountPath"] == "/data"
    (term,) = pod["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert term["labelSelector"]["matchLabels"] == {"app": "vod-api"}
