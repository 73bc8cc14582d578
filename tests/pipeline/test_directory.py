"""DATA_DIR: who works in it, and what is known of those who have ended."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from vodtender.errors import SettingsError
from vodtender.pipeline.directory import DataDirectory, open_directory

_REGISTER = """
import sys
from pathlib import Path
from vodtender.pipeline.directory import open_directory
kept = open_directory(Path(sys.argv[1])).register("them-1-aa")
print("registered", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def directory(tmp_path: Path) -> DataDirectory:
    return open_directory(tmp_path / "data")


def _lock(directory: DataDirectory) -> Path:
    return directory.root / "in-progress" / "workers" / "them-1-aa"


def test_a_worker_that_was_killed_is_known_to_be_dead_at_once(directory: DataDirectory) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _REGISTER, str(directory.root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"registered\n"
        assert directory.dead_workers() == []
        worker.kill()
    assert directory.dead_workers() == ["them-1-aa"]
    directory.unregister("them-1-aa")
    assert directory.dead_workers() == []


def test_a_worker_of_another_machine_is_never_known_to_be_dead(directory: DataDirectory) -> None:
    os.close(directory.register("them-1-aa"))
    _lock(directory).write_bytes(b"another machine")
    assert directory.dead_workers() == []
    directory.forget_strangers(max_age_seconds=3600)
    assert _lock(directory).exists()
    os.utime(_lock(directory), (0, 0))
    directory.forget_strangers(max_age_seconds=3600)
    assert not _lock(directory).exists()


def test_what_a_living_worker_holds_stays_however_old(directory: DataDirectory) -> None:
    kept = directory.register("them-1-aa")
    os.utime(_lock(directory), (0, 0))
    directory.forget_strangers(max_age_seconds=1)
    assert _lock(directory).exists()
    os.close(kept)


def test_the_id_stays_when_the_directory_moves(tmp_path: Path, directory: DataDirectory) -> None:
    directory.root.rename(tmp_path / "moved")
    assert open_directory(tmp_path / "moved").id == directory.id


def test_a_file_in_the_place_of_the_directory_is_a_settings_error(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(SettingsError, match=r"DATA_DIR .* cannot be written"):
        open_directory(tmp_path / "data")
