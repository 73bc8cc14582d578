"""Disks that really fill: under a backup, under the database that is restored, under a download."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from tests.backups import shelve, standing
from tests.restoring import Place
from tests.s3 import S3
from vodtender.clients.postgres.server import acquire
from vodtender.errors import DatabaseUnavailable, VodtenderError
from vodtender.pipeline.backup_shelf import LocalShelf
from vodtender.store.database import Database
from vodtender.store.migrate import migrate

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")

MIB = 1024**2


@contextmanager
def disk(place: Path, size: str) -> Iterator[Path]:
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(place: Place, megabytes: int) -> None:
    """With text that nothing makes smaller."""
    place.do(
        'INSERT INTO chat_messages ("timestamp", message_id, vod_id, channel, username, message)'
        " SELECT now(), n::text, '1', 'c', 'u', (SELECT string_agg(md5(random()::text), '')"
        " FROM generate_series(1, 32 + n * 0)) FROM generate_series(1, %s) AS n",
        megabytes * 1024,
    )


def test_a_backup_that_does_not_fit_leaves_no_trace_and_what_there_was(place: Place) -> None:
    fill(place, 8)
    with disk(place.directory / "small", "3m") as folder:
        old = {shelve(folder, timedelta(days=days)).name for days in (3003, 3002, 3001, 3000)}
        with pytest.raises(VodtenderError) as caught:
            place.back_up(backup_dir=folder)
        assert (caught.value.code, caught.value.exit) == ("backup_disk_full", 1)
        assert {entry.name for entry in LocalShelf(folder).entries()} == old
        assert not list(folder.rglob(".tmp-*"))
        (good,) = (place.good / "backups").glob("*.zst")
        done = place.restore(str(good), replace=True, settings=place.settings(backup_dir=folder))
        assert (done.rescued, done.aside) == (None, place.databases()[1])
        told, stays = place.notes
        assert told.startswith("the present database is not dumped: There is no room")
        assert stays == "it is kept as it is, under another name"
    database = Database(lambda: place.dsn)
    assert "no room" in str(standing(database).last_problem)
    assert standing(database).local_name is None
    database.close()


def test_a_backup_that_does_not_fit_into_the_directory_for_downloads_changes_nothing(
    place: Place, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("aws_access_key_id", "aws_secret_access_key", "aws_region", "aws_endpoint_url")
    where = {
        "backup_s3_url": s3.at("db/"),
        **{name: getattr(s3.settings(), name) for name in names},
    }
    place.back_up(**where)
    settings = place.settings(backup_dir=place.directory / "none", **where)
    with disk(place.directory / "small", "8k") as small:
        monkeypatch.setattr(tempfile, "tempdir", str(small))
        with pytest.raises(VodtenderError) as caught:
            place.restore(replace=True, settings=settings)
        assert list(small.iterdir()) == []
    assert caught.value.code == "no_room"
    assert "TMPDIR" in caught.value.hint
    assert place.vods() == [1, 2, 3]


def test_a_restore_under_which_the_databases_disk_fills_leaves_the_old_one_whole(
    tmp_path: Path,
) -> None:
    with (
        disk(tmp_path / "small", "160m") as small,
        acquire(small / "postgres", durable=False) as server,
    ):
        migrate(server.dsn)
        place = Place(server.dsn, server.admin_dsn, tmp_path, tmp_path)
        place.add(1, 2, 3)
        fill(place, 10)
        place.back_up()
        place.add(4)
        with psycopg.connect(server.admin_dsn, autocommit=True) as connection:
            connection.execute("CHECKPOINT")
        filler = small / "filler"
        room = os.statvfs(small)
        with filler.open("wb") as file:
            file.write(b"x" * (room.f_bavail * room.f_frsize - 6 * MIB))
        with pytest.raises(DatabaseUnavailable) as caught:
            place.restore(replace=True)
        assert caught.value.code in ("database_disk_full", "database_unavailable")
        filler.unlink()
        server.ensure_running()
        assert place.vods() == [1, 2, 3, 4]
        assert rows(place) == 10 * 1024
        place.restore(replace=True)
        assert (place.vods(), rows(place)) == ([1, 2, 3], 10 * 1024)
        assert not [name for name in place.databases() if "scratch" in name]


def rows(place: Place) -> int:
    with place.connect() as connection:
        row = connection.execute("SELECT count(*) FROM chat_messages").fetchone()
    assert row is not None
    return int(row[0])
