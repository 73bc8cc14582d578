"""Running commands: in this very process, which is fast, or as an operator does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.archive import Archive
from vodtender.cli.main import run

_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command printed, and its exit status."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


Type = Callable[..., Ran]


@pytest.fixture
def type_in(
    archive: Archive,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Type:
    """`type_in("retry", "1")`: runs a command on the archive, off a terminal."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DB_DSN", archive.dsn)

    def typed(*arguments: str) -> Ran:
        capsys.readouterr()
        status = run(list(arguments))
        said = capsys.readouterr()
        return Ran(int(status), said.out, said.err)

    return typed


def in_a_shell(archive: Archive, directory: Path, *arguments: str) -> Ran:
    """The same in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "vodtender", *arguments],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(_ROOT), "DB_DSN": archive.dsn},
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)
