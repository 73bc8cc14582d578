"""What is temporary does not outlive its owner for long."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from vodtender.clients.temporary import directory

_OWNER = """
import os, signal
from vodtender.clients.temporary import directory
with directory() as path:
    (path / "large").touch()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_left_by_one_that_was_killed_goes_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    (tmp_path / "vodtender-abc").mkdir()
    subprocess.run([sys.executable, "-c", _OWNER], check=False)
    (left,) = tmp_path.glob("vodtender-work-*/large")
    with directory() as one, directory() as other:
        assert one.is_dir()
        assert other.is_dir()
        assert not left.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["vodtender-abc"]
