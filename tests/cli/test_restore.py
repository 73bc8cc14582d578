"""`vodtender restore`, as it is typed, and its drill."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from tests.backups import shelve
from tests.cli.commands import Ran, Type
from tests.restoring import Place
from tests.s3 import S3
from vodtender.cli.main import run
from vodtender.clients import zstd


@pytest.fixture
def type_in(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Type:
    """Runs a command on the place's database in this very process, off a terminal."""
    monkeypatch.chdir(place.directory)
    for name, value in place.environ.items():
        monkeypatch.setenv(name, value)

    def typed(*arguments: str) -> Ran:
        capsys.readouterr()
        status = run(list(arguments))
        said = capsys.readouterr()
        return Ran(int(status), said.out, said.err)

    return typed


def test_off_a_terminal_it_takes_yes_or_the_databases_name(place: Place, type_in: Type) -> None:
    made = place.good_backup()
    refused = type_in("restore", "latest")
    assert refused.status == 6
    assert "--replace" in refused.err
    refused = type_in("restore", "latest", "--replace")
    assert refused.status == 6
    assert f"--confirm {place.name}" in refused.err
    assert type_in("restore", "latest", "--replace", "--confirm", "other").status == 6
    place.add(4)
    ran = place.type_in("restore", "latest", "--replace", "--confirm", place.name)
    assert ran.status == 0, ran.err
    assert place.vods() == [1, 2, 3]
    assert f"The database {place.name} is {place.backups / made.name}: 3 VODs" in ran.out
    assert "VODs found since, and found again at Twitch if it still has them: 4" in ran.out
    assert "vodtender db shell -c 'DROP DATABASE " in ran.out
    assert ran.lines[-1].endswith(f"vodtender reprocess --since '{made.made_at:%Y-%m-%d %H:%M:%S}'")
    again = type_in("restore", made.name, "--replace", "--yes", "--json")
    assert again.document["rows"]["vods"] == 3


@pytest.mark.parametrize(("typed", "status"), [("NAME", 0), ("y", 6), ("", 6)])
def test_on_a_terminal_the_name_must_be_typed_whatever_yes_says(
    place: Place, typed: str, status: int
) -> None:
    place.good_backup()
    place.add(4)
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "vodtender", "restore", "latest", "--replace", "--yes"],
        env={**place.environ, "TERM": "dumb"},
        cwd=place.directory,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        said = b""
        with suppress(OSError):  # how a terminal ends
            while chunk := os.read(ours, 4096):
                said += chunk
                if b"to go on" in said and typed is not None:
                    os.write(ours, typed.replace("NAME", place.name).encode() + b"\n")
                    said = b""
    os.close(ours)
    assert process.returncode == status
    assert place.vods() == ([1, 2, 3] if status == 0 else [1, 2, 3, 4])


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        ((), 2, "vodtender restore latest"),
        (("latest", "--test", "--replace"), 2, "--test"),
        (("--at", "2025-10-20 12:00:00"), 6, "pgBackRest"),
        (("vod_20200101_000000.dump.zst",), 7, "vodtender backup list"),
        (("s3:/no",), 7, "vodtender backup list"),
        (("s3://",), 2, "s3://bucket"),
    ],
)
def test_what_cannot_be_says_so_and_exits_as_documented(
    type_in: Type, arguments: tuple[str, ...], status: int, says: str
) -> None:
    ran = type_in("restore", *arguments)
    assert (ran.status, ran.out) == (status, "")
    assert says in ran.err


def test_where_the_embedded_database_is_lost_the_way_back_is_told_and_a_rehearsal_makes_none(
    good_backups: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "backups"
    shutil.copytree(good_backups / "backups", folder)
    (good,) = folder.glob("vod_*.dump.zst")
    for name in ("DB_DSN", "DB_ADMIN_DSN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("BACKUP_DIR", str(folder))
    monkeypatch.chdir(tmp_path)
    assert run(["vods"]) == 5
    assert "hint: it was lost? It is backed up: vodtender restore latest" in capsys.readouterr().err
    assert run(["restore", good.name.removesuffix(".dump.zst"), "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "it shows 20" in said
    assert ": 3 VODs, " in said
    richer = shelve(folder, timedelta(days=400), vods=5000)
    assert run(["restore", "latest", "--dry-run"]) == 0
    assert f"{richer.name}, which is older, has 5000" in capsys.readouterr().err
    # What it was made by is in the dump, too.
    alone = tmp_path / "alone.dump.zst"
    dump = b"".join(zstd.blocks(good))
    alone.write_bytes(dump.replace(b"\x0018.", b"\x0099.", 1))
    assert run(["restore", str(alone), "--dry-run"]) == 6
    assert "a server of version 99 or newer" in capsys.readouterr().err
    assert not (tmp_path / "data" / "postgres").exists()


def test_a_drill_restores_checks_drops_and_is_recorded(place: Place) -> None:
    made = place.good_backup()
    ran = place.type_in("restore", "--test")
    assert ran.status == 0, ran.err
    assert "can be restored: 3 VODs" in ran.out
    assert "ok: every row can be read" in ran.out
    assert place.databases() == [place.name]
    assert _drills(place) == [(made.name, None)]


def test_a_drill_takes_the_copy_in_s3_where_there_is_to_be_one(
    type_in: Type, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"s3://{s3.bucket}/database/"
    environ = {**s3.environ, "BACKUP_S3_URL": url}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert type_in("backup").status == 0
    ran = type_in("restore", "--test", "--json")
    assert ran.status == 0, ran.err
    assert ran.document["backup"].startswith(url)
    s3.store.delete(s3.at(ran.document["backup"].removeprefix(f"s3://{s3.bucket}/")))
    assert type_in("restore", "--test").status == 7


@pytest.mark.parametrize("how", ["damaged", "too slow", "no VODs", "none"])
def test_a_drill_that_fails_says_why_exits_with_an_error_and_is_recorded(
    place: Place, type_in: Type, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    if how == "too slow":
        monkeypatch.setenv("RESTORE_RTO", "1ms")
    if how == "no VODs":
        place.do("DELETE FROM vods")
        place.back_up()
    elif how != "none":
        path = place.backups / place.good_backup().name
        if how == "damaged":
            data = bytearray(path.read_bytes())
            data[len(data) // 2] ^= 1
            path.write_bytes(data)
    ran = type_in("restore", "--test")
    assert ran.status == (7 if how == "none" else 1)
    says = {"damaged": "digest", "too slow": "RESTORE_RTO allows", "none": "no good backup"}
    assert says.get(how, how) in ran.err
    assert place.databases() == [place.name]
    if how == "damaged":
        (one,) = type_in("backup", "list", "--json").document["backups"]
        assert one["local"] == "damaged"
    ((_, problem),) = _drills(place)
    assert problem is not None
    assert says.get(how, how) in problem


def _drills(place: Place) -> list[tuple[str | None, str | None]]:
    with place.connect() as connection:
        return connection.execute("SELECT name, problem FROM restore_drills").fetchall()
