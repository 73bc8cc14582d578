"""`vodtender archive` as it is typed, killed, and typed again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.cli.commands import Type
from tests.cold import MIB, Cold
from tests.s3 import S3, Fault
from vodtender.model.s3_location import S3Location
from vodtender.model.vod import Stage
from vodtender.pipeline.archive_directory import MARKER

ROOT = Path(__file__).parents[2]


@pytest.fixture
def typed(in_directory: Cold, type_in: Type, monkeypatch: pytest.MonkeyPatch) -> Type:
    """Types commands where the archive is a directory."""
    settings = in_directory.settings
    monkeypatch.setenv("DATA_DIR", str(settings.data_dir))
    monkeypatch.setenv("ARCHIVE_DIR", str(settings.archive_dir))
    monkeypatch.setenv("DISK_RESERVE", "0")
    return type_in


@pytest.fixture
def typed_s3(in_s3: Cold, s3: S3, type_in: Type, monkeypatch: pytest.MonkeyPatch) -> Iterator[Type]:
    """Types commands where the archive is in S3, and thaws at the second look."""
    monkeypatch.setenv("DATA_DIR", str(in_s3.settings.data_dir))
    monkeypatch.setenv("DISK_RESERVE", "0")
    for name, value in {**s3.environ, "ARCHIVE_S3_URL": f"s3://{s3.bucket}/vods"}.items():
        monkeypatch.setenv(name, value)
    s3.thaw_after(2)
    yield type_in
    s3.thaw_after(0)


def test_moved_listed_verified_and_fetched_back(in_directory: Cold, typed: Type) -> None:
    path = in_directory.add("1")
    in_directory.add("2", Stage.DOWNLOADED)
    rehearsed = typed("archive", "--dry-run")
    assert rehearsed.status == 0
    assert "would go  1 " in rehearsed.out
    assert "--include-waiting" in rehearsed.out
    assert path.exists()
    refused = typed("archive")
    assert refused.status == 6
    assert "Move 1 file (1.0 kB) to " in refused.err
    ran = typed("archive", "--yes", "--json", "--reason", "room").document
    assert (ran["dry_run"], ran["moved_bytes"], ran["storage_class"]) == (False, 1000, None)
    (moved,) = [file for file in ran["files"] if file["fate"] == "moved"]
    assert moved["place"] == str((in_directory.settings.archive_dir or path) / path.name)
    assert not path.exists()
    again = typed("archive")
    assert again.status == 0
    assert again.lines[-1].startswith("There is nothing to move to ")
    (listed,) = typed("archive", "list", "--json").document["archived"]
    assert (listed["vod_id"], listed["state"], listed["problem"]) == ("1", "archived", None)
    assert moved["place"] in typed("archive", "list").out
    assert typed("archive", "verify").out == "1 of 1 archived files are as they were.\n"
    shown = typed("vods", "show", "1")
    assert f"archive    {moved['place']} (since " in shown.out
    document = typed("vods", "show", "1", "--json").document
    assert (document["archived"]["place"], document["archived"]["same_file"]) == (
        moved["place"],
        True,
    )
    status = typed("status", "--json").document["archive"]
    assert (status["enabled"], status["files"], status["size_bytes"], status["lost"]) == (
        True,
        1,
        1000,
        0,
    )
    assert "1 file, 1.0 kB, the last " in typed("status").out
    assert "would fetch" in typed("archive", "fetch", "1", "--dry-run").out
    assert not path.exists()
    fetched = typed("archive", "fetch", "1")
    assert (fetched.status, fetched.out) == (0, f"{path}: 1.0 kB, as it was archived\n")
    assert typed("archive", "fetch", "1").out == f"nothing to do: {path}\n"
    (listed,) = typed("archive", "list", "--json").document["archived"]
    assert listed["state"] == "here_too"


def test_what_is_lost_has_an_exit_status_and_a_name(in_directory: Cold, typed: Type) -> None:
    in_directory.add("1")
    typed("archive", "--yes")
    copy = in_directory.copy("1")
    assert copy is not None
    Path(copy.place).unlink()
    ran = typed("archive", "verify", "--json")
    assert ran.status == 1
    assert ran.document["lost"] == 1
    assert "it is not there any more" in ran.err
    assert "lost" in typed("archive", "list").out
    assert ": lost: it is not there any more" in typed("vods", "show", "1").out
    assert "vodtender archive list  # 1 archived file is lost or damaged" in typed("status").out
    assert typed("archive", "fetch", "1").status == 1
    assert typed("archive", "fetch", "2").status == 7
    assert typed("archive", "verify", "2").status == 7


def test_without_an_archive_or_its_disk_it_says_what_to_do(
    in_directory: Cold, typed: Type, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = in_directory.add("1")
    (shelf / MARKER).unlink()
    ran = typed("archive", "--yes")
    assert ran.status == 6
    assert "is its own disk not mounted?" in ran.err
    assert f"touch {shelf / MARKER}" in ran.err
    monkeypatch.delenv("ARCHIVE_DIR")
    ran = typed("archive", "--yes")
    assert ran.status == 2
    assert "ARCHIVE_S3_URL" in ran.err
    monkeypatch.setenv("ARCHIVE_DIR", str(in_directory.settings.data_dir / "archive"))
    assert typed("archive", "--yes").status == 2
    assert path.exists()


def test_what_a_class_costs_is_told_before_and_what_it_takes_to_have_a_file_back(
    in_s3: Cold, s3: S3, typed_s3: Type
) -> None:
    in_s3.add("1")
    told = typed_s3("archive", "--dry-run", "--json").document
    assert told["storage_class"] == "GLACIER"
    assert any("90 days" in line for line in told["costs"])
    refused = typed_s3("archive")
    assert refused.status == 6
    assert "40 KB more for each object" in refused.err
    assert s3.keys() == []
    assert typed_s3("archive", "--yes").status == 0
    asked = typed_s3("archive", "fetch", "1", "--tier", "bulk", "--json")
    assert asked.status == 3
    assert asked.document["path"] is None
    assert asked.document["tier"] == "bulk"
    assert "was asked for (bulk)" in asked.err
    assert typed_s3("archive", "fetch", "1", "--tier", "dear").status == 2
    assert any(typed_s3("archive", "fetch", "1").status == 0 for _ in range(4))
    assert in_s3.path("1").read_bytes() == in_s3.contents["1"]


@pytest.mark.parametrize(
    ("code", "status"),
    [("InvalidAccessKeyId", 4), ("NoSuchBucket", 7), ("InvalidStorageClass", 1)],
)
def test_what_fails_is_no_success(
    in_s3: Cold, s3: S3, typed_s3: Type, code: str, status: int
) -> None:
    path = in_s3.add("1")
    s3.faults(Fault(operation="Create", code=code, status=400))
    ran = typed_s3("archive", "--yes")
    assert ran.status == status
    assert s3.environ["AWS_SECRET_ACCESS_KEY"] not in ran.err
    assert path.exists()


def test_what_was_done_in_part_ends_with_3_and_names_the_rest(
    in_directory: Cold, typed: Type
) -> None:
    in_directory.add("1").write_bytes(b"x" * 1000)
    in_directory.add("2")
    ran = typed("archive", "--yes")
    assert ran.status == 3
    assert "VOD 1: " in ran.err
    assert "\nmoved      2 " in ran.out


COMMAND = (sys.executable, "-m", "vodtender", "archive", "--yes")


def environ(cold: Cold, s3: S3) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "DB_DSN": cold.database.dsn,
        "DATA_DIR": str(cold.settings.data_dir),
        "ARCHIVE_S3_URL": f"s3://{s3.bucket}/vods",
        **s3.environ,
    }


def assert_every_file_is_somewhere(cold: Cold, s3: S3) -> None:
    """On the disk, whole, or where the database says."""
    for vod_id, content in cold.contents.items():
        path = cold.path(vod_id)
        if path.exists():
            assert path.read_bytes() == content
            continue
        copy = cold.copy(vod_id)
        assert copy is not None, f"{vod_id} is nowhere"
        at = S3Location.parse(copy.place)
        s3.store.ask_for(at, tier="Standard", days=1)
        assert s3.store.get(at) == content


def test_killed_at_any_moment_no_file_is_lost_and_the_next_run_goes_on(
    in_s3: Cold, s3: S3, tmp_path: Path
) -> None:
    chance = Random(7)
    for number in range(1, 4):
        in_s3.add(str(number), Stage.DOWNLOADED, size=9 * MIB)
    command = [*COMMAND, "--include-waiting"]
    for _ in range(3):  # scripts/soak has more of it
        process = subprocess.Popen(
            command,
            env=environ(in_s3, s3),
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            process.wait(chance.uniform(0.8, 2.2))
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        assert_every_file_is_somewhere(in_s3, s3)
    done = subprocess.run(
        command,
        env=environ(in_s3, s3),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert not any(in_s3.path(vod_id).exists() for vod_id in in_s3.contents)
    assert_every_file_is_somewhere(in_s3, s3)
    assert in_s3.query("SELECT count(*) FROM vods WHERE worker_id IS NOT NULL") == [(0,)]
    assert not s3.store.client.list_multipart_uploads(Bucket=s3.bucket).get("Uploads", [])
