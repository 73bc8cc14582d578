"""Backups on a schedule."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.archive import Archive
from tests.backups import standing
from tests.rows import add_worker
from tests.s3 import S3, Fault
from vodtender.config.settings import Settings
from vodtender.daemon.backup_chore import BackupChore, hours
from vodtender.pipeline.accounts import Accounts
from vodtender.pipeline.backup_shelf import LocalShelf
from vodtender.pipeline.directory import open_directory
from vodtender.pipeline.room import DownloadRoom
from vodtender.pipeline.workplace import Workplace
from vodtender.procedures import backup_standing
from vodtender.store import leases


class Place:
    """A daemon's, with a BACKUP_DIR."""

    def __init__(self, place: Workplace) -> None:
        self.place = place
        self.settings = place.settings
        self.database = place.database
        hour = (datetime.now(UTC).hour + 12) % 24  # none comes while a test runs
        self._chore = BackupChore(place, f"0 {hour} * * *")

    def look(self) -> None:
        self._chore.back_up_when_due()

    def hour_comes(self) -> None:
        """The daemon has been there for a day, in which nobody has tried."""
        self._chore._since = datetime.now(UTC) - timedelta(days=1)

    def age(self, by: timedelta) -> None:
        """All that has been tried was that much earlier."""
        with self.database.transaction() as connection:
            connection.execute(
                "UPDATE backup_runs SET began_at = began_at - %(by)s, ended_at = ended_at - %(by)s",
                {"by": by},
            )

    def made(self) -> list[str]:
        return [entry.name for entry in LocalShelf(self.settings.backup_directory).entries()]


def workplace(
    archive: Archive, tmp_path: Path, settings: Callable[..., Settings] = Settings, **more: Any
) -> Workplace:
    add_worker(archive.database, "w")
    known = settings(db_dsn=archive.dsn, backup_dir=tmp_path / "backups", **more)
    directory = open_directory(tmp_path / "data")
    return Workplace(
        settings=known,
        database=archive.database,
        directory=directory,
        worker_id="w",
        accounts=Accounts(known, archive.database),
        room=DownloadRoom(directory, 0),
    )


@pytest.fixture
def place(archive: Archive, tmp_path: Path) -> Place:
    return Place(workplace(archive, tmp_path))


def test_of_all_daemons_one_makes_it_and_only_once(place: Place) -> None:
    with place.database.transaction() as connection:
        claim = leases.take(connection, "backup", "another", 60)
    assert claim is not None
    place.hour_comes()
    place.look()
    assert place.made() == []
    with place.database.transaction() as connection:
        leases.release(connection, "backup", "another", claim)
    place.look()
    assert len(place.made()) == 1
    place.look()
    assert len(place.made()) == 1


def test_before_its_hour_none_is_made(place: Place) -> None:
    place.look()
    assert place.made() == []


def test_an_hour_that_passed_while_no_daemon_was_there_is_made_up_for(place: Place) -> None:
    place.hour_comes()
    place.look()
    place.age(timedelta(days=3))
    another = Place(place.place)
    another.look()
    assert len(place.made()) == 2


def test_a_failure_is_recorded_and_the_daemon_goes_on_and_tries_again(place: Place) -> None:
    folder = place.settings.backup_directory
    folder.write_text("a file in the way")
    place.hour_comes()
    place.look()
    assert "BACKUP_DIR" in str(standing(place.database).last_problem)
    folder.unlink()
    place.look()
    assert not folder.exists()  # it rests before it tries again
    place.age(timedelta(minutes=5))
    place.look()
    assert len(place.made()) == 1
    assert standing(place.database).last_problem is None


def test_a_copy_that_failed_is_made_later_of_the_same_dump(
    archive: Archive, tmp_path: Path, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    place = Place(workplace(archive, tmp_path, s3.settings, backup_s3_url=s3.at("db/")))
    s3.faults(Fault(operation="UploadPart", code="SlowDown", status=503))
    place.hour_comes()
    place.look()
    (name,) = place.made()
    for _ in range(2):
        found = backup_standing.document(
            standing(place.database), place.settings, datetime.now(UTC)
        )
        assert (found["last_name"], found["local_only"]) == (name, True)
        assert "SlowDown" in found["problem"]
        place.age(timedelta(minutes=10))
        place.look()
    assert s3.keys("db/vod_") == []
    s3.faults()
    place.age(timedelta(hours=1))
    place.look()
    assert place.made() == [name]
    assert s3.keys("db/vod_") == [f"db/{name}"]
    found = backup_standing.document(standing(place.database), place.settings, datetime.now(UTC))
    assert (found["local_only"], found["problem"]) == (False, None)


def test_when_the_next_hour_comes_a_new_one_is_made_whatever_failed(
    archive: Archive, tmp_path: Path, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    place = Place(workplace(archive, tmp_path, s3.settings, backup_s3_url=s3.at("db/")))
    s3.faults(Fault(operation="UploadPart", code="SlowDown", status=503))
    place.hour_comes()
    place.look()
    s3.faults()
    place.age(timedelta(days=1))
    place.look()
    assert len(place.made()) == 2
    assert s3.keys("db/vod_") == [f"db/{place.made()[0]}"]


def test_a_daemon_that_stops_makes_none(place: Place) -> None:
    place.place.stopping.set()
    place.hour_comes()
    place.look()
    assert place.made() == []


@pytest.mark.parametrize(
    ("expression", "after", "due"),
    [
        ("0 2 * * *", "2026-11-23 01:59", "2026-11-23 02:00"),
        ("0 2 * * *", "2026-11-23 02:01", "2026-11-24 02:00"),
        ("*/15 * * * *", "2026-11-23 02:01", "2026-11-23 02:15"),
        # 2026-11-23 is a Monday; in cron Sunday is 0 and 7.
        ("30 4 * * 0", "2026-11-23 00:00", "2026-11-29 04:30"),
        ("30 4 * * 7", "2026-11-23 00:00", "2026-11-29 04:30"),
        ("30 4 * * 1", "2026-11-23 00:00", "2026-11-23 04:30"),
        ("30 4 * * 5-7", "2026-11-23 00:00", "2026-11-27 04:30"),
        ("30 4 * * 1-5", "2026-11-28 00:00", "2026-11-30 04:30"),
        ("30 4 * * */3", "2026-11-23 00:00", "2026-11-25 04:30"),
        # A day of the month and one of the week: either.
        ("0 3 15 * 3", "2026-11-23 00:00", "2026-11-25 03:00"),
        ("0 3 24 * 3", "2026-11-23 00:00", "2026-11-24 03:00"),
        ("0 3 1 1,7 *", "2026-11-23 00:00", "2027-01-01 03:00"),
    ],
)
def test_a_cron_expression_is_due_when_cron_says(expression: str, after: str, due: str) -> None:
    at = datetime.fromisoformat(after).replace(tzinfo=UTC)
    assert hours(expression)(at) == datetime.fromisoformat(due).replace(tzinfo=UTC)
