"""`vodtender backup` as it is typed, killed, and typed again."""

from __future__ import annotations

import hashlib
import os
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from tests.backups import shelve
from tests.cli.commands import Type
from tests.s3 import S3, Fault
from tests.terminal import Terminal
from vodtender.pipeline.backup_shelf import LocalShelf

DAY = timedelta(days=1)


def test_a_backup_is_made_listed_verified_and_kept(type_in: Type, tmp_path: Path) -> None:
    done = type_in("backup")
    assert done.status == 0, done.err
    (path,) = (tmp_path / "backups").glob("vod_*.dump.zst")
    assert str(path) in done.out
    assert "BACKUP_S3_URL is not set" in done.out
    listed = type_in("backup", "list", "--json").document
    assert listed["s3_url"] is None
    (one,) = listed["backups"]
    assert (one["name"], one["kept"]) == (path.name, False)
    assert (one["local"], one["s3"]) == ("good", "absent")
    assert one["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert path.name in type_in("backup", "list").out
    assert type_in("backup", "verify").status == 0
    kept = type_in("backup", "keep", path.name, "--json").document
    assert [change["after"] for change in kept["changes"]] == [{"kept": True}]
    assert type_in("backup", "list", "--json").document["backups"][0]["kept"]
    status = type_in("status", "--json").document["backup"]
    assert (status["last_name"], status["overdue"], status["problem"]) == (path.name, False, None)
    assert "last good one" in type_in("status").out


def test_what_is_damaged_or_absent_has_its_exit_status(type_in: Type, tmp_path: Path) -> None:
    assert type_in("backup", "verify").status == 7
    older = shelve(tmp_path / "backups", DAY, vods=5000)
    made = type_in("backup").err
    assert f"{older.name}, which is older, has 5000" in made
    for one in (tmp_path / "backups").rglob(f"{older.name}*"):
        one.unlink()
    (path,) = (tmp_path / "backups").glob("vod_*.dump.zst")
    path.write_bytes(path.read_bytes()[:-1])
    assert type_in("backup", "list", "--json").document["backups"][0]["local"] == "damaged"
    done = type_in("backup", "verify", path.name)
    assert done.status == 1
    assert "vodtender backup" in done.err
    status = type_in("status").out
    assert f"{path.name} is damaged: it has" in status
    assert "last good one" not in status
    assert type_in("backup", "verify", "vod_20200101_000000.dump.zst").status == 7


def test_pruning_asks_and_a_rehearsal_changes_nothing(type_in: Type, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    old = shelve(folder, 400 * DAY)
    for days in (1, 2, 3):
        shelve(folder, days * DAY)
    rehearsed = type_in("backup", "prune", "--dry-run", "--json").document
    assert {one["name"] for one in rehearsed["backups"] if one["fate"] == "goes"} == {old.name}
    assert type_in("backup", "prune").status == 6
    assert len(LocalShelf(folder).entries()) == 4
    assert type_in("backup", "prune", "--yes").status == 0
    assert old.name not in {entry.name for entry in LocalShelf(folder).entries()}
    again = type_in("backup", "prune", "--yes")
    assert (again.status, again.lines[-1]) == (0, "nothing to do")


@pytest.mark.parametrize(
    ("code", "status"),
    [("InvalidAccessKeyId", 4), ("RequestTimeTooSkewed", 4), ("NoSuchBucket", 7)],
)
def test_a_copy_that_fails_is_no_success(
    type_in: Type, s3: S3, monkeypatch: pytest.MonkeyPatch, code: str, status: int
) -> None:
    for name, value in {**s3.environ, "BACKUP_S3_URL": f"s3://{s3.bucket}/db"}.items():
        monkeypatch.setenv(name, value)
    s3.faults(Fault(operation="Create", code=code, status=403))
    done = type_in("backup")
    assert done.status == status
    assert "is good; it has no copy in S3" in done.err
    assert s3.environ["AWS_SECRET_ACCESS_KEY"] not in done.err
    assert "failed" in type_in("status").out
    s3.faults()
    done = type_in("backup", "--json")
    assert done.status == 0
    assert done.document["s3_url"].startswith(f"s3://{s3.bucket}/db/vod_")
    states = [
        (one["local"], one["s3"]) for one in type_in("backup", "list", "--json").document["backups"]
    ]
    assert states == [("good", "good"), ("good", "absent")]
    assert type_in("backup", "verify", "--s3").status == 0


def test_rules_for_the_bucket_do_not_remove_backups(
    type_in: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert type_in("export", "s3-lifecycle").status == 2
    monkeypatch.setenv("BACKUP_S3_URL", "s3://vod-tender-backups/database/")
    (rule,) = type_in("export", "s3-lifecycle").document["Rules"]
    assert rule["Filter"] == {"Prefix": "database/"}
    assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}
    assert "Expiration" not in rule
    monkeypatch.setenv("ARCHIVE_S3_URL", "s3://vod-tender-archive/vods/")
    assert type_in("export", "s3-lifecycle").status == 2
    done = type_in("export", "s3-lifecycle", "--bucket", "vod-tender-archive")
    assert done.document["Rules"][0]["Filter"] == {"Prefix": "vods/"}


def environ(dsn: str, folder: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "DB_DSN": dsn, "BACKUP_DIR": str(folder)}


COMMAND = (sys.executable, "-m", "vodtender", "backup")
ROOT = Path(__file__).parents[2]


def test_on_a_terminal_there_is_a_bar(database_dsn: str, tmp_path: Path) -> None:
    environment = {**environ(database_dsn, tmp_path / "b"), "PYTHONPATH": str(ROOT)}
    terminal = Terminal(COMMAND, environ=environment, directory=tmp_path)
    assert terminal.wait() == 0
    assert "dumping" in terminal.text
    assert "reading back" in terminal.text
