"""`vodtender prune`, as it is typed."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.archive import Archive
from tests.cli.commands import Type
from vodtender.pipeline import prune
from vodtender.pipeline.directory import DataDirectory, open_directory

NOW = datetime.now(UTC)
OLD = NOW - timedelta(days=100)
CONTENT = b"a video"


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataDirectory:
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    return open_directory(tmp_path / "data")


def add(archive: Archive, directory: DataDirectory, vod_id: str, stage: str, **more: Any) -> Path:
    path = directory.root / f"title_{vod_id}.mp4"
    path.write_bytes(CONTENT)
    columns: dict[str, Any] = {
        "directory_id": directory.id,
        "downloaded_path": str(path),
        "file_size_bytes": len(CONTENT),
        "downloaded_at": OLD,
        "published_at": OLD if stage == "published" else None,
        "date": OLD,
    }
    archive.add(vod_id, stage, **(columns | more))
    return path


@pytest.fixture
def files(archive: Archive, directory: DataDirectory) -> dict[str, Path]:
    """By VOD: 1 may go, 2 is young, 3 is the only copy, 4 was removed by hand; and a stranger."""
    found = {
        "1": add(archive, directory, "1", "published"),
        "2": add(archive, directory, "2", "published", date=NOW),
        "3": add(archive, directory, "3", "downloaded"),
        "4": add(archive, directory, "4", "published"),
        "": directory.root / "holiday.mp4",
    }
    found["4"].unlink()
    found[""].touch()
    return found


def left(files: dict[str, Path]) -> list[str]:
    return [vod_id for vod_id, path in files.items() if path.exists()]


def test_it_says_of_every_file_what_becomes_of_it_and_why(
    files: dict[str, Path], type_in: Type
) -> None:
    ran = type_in("prune", "--yes")
    assert (ran.status, ran.err) == (0, "")
    said = {line.split()[1] if line.split()[1].isdigit() else "": line for line in ran.lines[1:-1]}
    assert said["1"].startswith("removed")
    assert said["1"].endswith("title_1.mp4  processed by YouTube")
    assert said["2"].startswith("stays")
    assert "RETAIN_KEEP_NEWER_THAN_DAYS" in said["2"]
    assert said["3"].endswith("it is not on YouTube yet: the only copy")
    assert said["4"].startswith("gone")
    assert said[""].startswith("stays")
    assert "holiday.mp4" in said[""]
    assert ran.lines[-1] == "1 file (7 B) removed."
    assert left(files) == ["2", "3", ""]


def test_the_second_time_there_is_nothing_to_remove(
    archive: Archive, files: dict[str, Path], type_in: Type
) -> None:
    type_in("prune", "--yes", "--reason", "room")
    assert [(line.action, line.target, line.reason) for line in archive.audit()] == [
        ("prune", "1", "room")
    ]
    ran = type_in("prune")
    assert (ran.status, ran.lines[-1][:29]) == (0, "There is nothing to remove fr")
    assert len(archive.audit()) == 1


def test_a_dry_run_removes_nothing_and_needs_no_yes(files: dict[str, Path], type_in: Type) -> None:
    ran = type_in("prune", "--dry-run")
    assert (ran.status, ran.lines[-1]) == (0, "1 file (7 B) would go.")
    assert ran.lines[2].startswith("would go")
    assert left(files) == ["1", "2", "3", ""]


def test_off_a_terminal_it_wants_a_yes(files: dict[str, Path], type_in: Type) -> None:
    ran = type_in("prune")
    assert ran.status == 6
    assert "Remove 1 file (7 B) from " in ran.err
    assert "--yes" in ran.err
    assert left(files) == ["1", "2", "3", ""]


def test_older_than_looks_at_the_files_age_and_at_no_other_setting(
    files: dict[str, Path], type_in: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (
        ("BACKFILL_AUTOCLEAN", "0"),
        ("RETENTION_KEEP_COUNT", "9"),
        ("RETENTION_DRY_RUN", "1"),
    ):
        monkeypatch.setenv(name, value)
    assert type_in("prune", "--older-than", "200d", "--yes").status == 0
    assert left(files) == ["1", "2", "3", ""]
    assert type_in("prune", "--older-than", "30d", "--yes").status == 0
    assert left(files) == ["3", ""], "the only copy stays however old it is"


def test_the_settings_dry_run_is_heeded_and_said(
    files: dict[str, Path], type_in: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETENTION_DRY_RUN", "1")
    ran = type_in("prune", "--yes")
    assert ran.status == 0
    assert "RETENTION_DRY_RUN is on" in ran.err
    assert left(files) == ["1", "2", "3", ""]


def test_json_has_every_file(files: dict[str, Path], type_in: Type) -> None:
    ran = type_in("prune", "--yes", "--json")
    assert (ran.status, ran.err) == (0, "")
    document = ran.document
    fates = {file["vod_id"]: file["fate"] for file in document["files"]}
    assert fates == {"1": "removed", "2": "stays", "3": "stays", "4": "gone"}
    assert document["others"] == [str(files[""])]
    assert (document["dry_run"], document["removed_bytes"]) == (False, len(CONTENT))
    assert set(document["files"][0]) == {"vod_id", "path", "size_bytes", "fate", "why"}


def test_while_another_prunes_it_exits_with_8(
    archive: Archive, directory: DataDirectory, files: dict[str, Path], type_in: Type
) -> None:
    with prune.lease(archive.database, directory, "a daemon"):
        ran = type_in("prune", "--yes")
        assert type_in("prune", "--dry-run").status == 0
    assert ran.status == 8
    assert left(files) == ["1", "2", "3", ""]
    assert type_in("prune", "--yes").status == 0


def test_what_cannot_be_removed_is_partly_done(
    files: dict[str, Path], type_in: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlink = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path in files.values():
            raise PermissionError(1, "Operation not permitted", str(path))
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    ran = type_in("prune", "--older-than", "30d", "--yes", "--json")
    assert ran.status == 3
    assert "Operation not permitted" in json.loads(ran.err)["message"]
    assert left(files) == ["1", "2", "3", ""]


def test_a_directory_that_knows_no_vod_has_nothing_to_remove(
    archive: Archive, directory: DataDirectory, type_in: Type
) -> None:
    ran = type_in("prune")
    assert (ran.status, ran.out) == (0, f"There is nothing to remove from {directory.root}.\n")


@pytest.mark.parametrize(("answer", "status"), [("y", 0), ("n", 6)])
def test_on_a_terminal_it_shows_what_would_go_and_asks(
    archive: Archive, files: dict[str, Path], tmp_path: Path, answer: str, status: int
) -> None:
    ours, theirs = pty.openpty()
    command = subprocess.Popen(
        [sys.executable, "-m", "vodtender", "prune"],
        env={**os.environ, "DB_DSN": archive.dsn, "DATA_DIR": str(tmp_path / "data")},
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
        cwd=tmp_path,
    )
    os.close(theirs)
    said = b""
    while b"[y/N]" not in said:
        said += os.read(ours, 1000)
    os.write(ours, f"{answer}\n".encode())
    out, _ = command.communicate(timeout=60)
    os.close(ours)
    assert b"Remove 1 file (7 B)" in said
    assert b"would go" in out
    assert command.returncode == status
    assert files["1"].exists() is (answer == "n")
