"""Backups on a schedule."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.archive import Archive
from tests.backups import standing
from tests.rows import add_worker
from vodtender.config.settings import Settings
from vodtender.daemon.backup_chore import back_up, trigger
from vodtender.pipeline.accounts import Accounts
from vodtender.pipeline.backup_shelf import LocalShelf
from vodtender.pipeline.directory import open_directory
from vodtender.pipeline.room import DownloadRoom
from vodtender.pipeline.workplace import Workplace
from vodtender.store import leases


@pytest.fixture
def place(archive: Archive, tmp_path: Path) -> Workplace:
    """A daemon's, with a BACKUP_DIR."""
    add_worker(archive.database, "w")
    settings = Settings(db_dsn=archive.dsn, backup_dir=tmp_path / "backups")
    directory = open_directory(tmp_path / "data")
    return Workplace(
        settings=settings,
        database=archive.database,
        directory=directory,
        worker_id="w",
        accounts=Accounts(settings, archive.database),
        room=DownloadRoom(directory, 0),
    )


def made(place: Workplace) -> list[str]:
    return [entry.name for entry in LocalShelf(place.settings.backup_directory).entries()]


def test_of_all_daemons_one_makes_it_and_only_once(place: Workplace) -> None:
    with place.database.transaction() as connection:
        claim = leases.take(connection, "backup", "another", 60)
    assert claim is not None
    back_up(place)
    assert made(place) == []
    with place.database.transaction() as connection:
        leases.release(connection, "backup", "another", claim)
    back_up(place)
    assert len(made(place)) == 1
    back_up(place)
    assert len(made(place)) == 1


def test_a_failure_is_recorded_and_the_daemon_goes_on(place: Workplace) -> None:
    place.settings.backup_directory.write_text("a file in the way")
    back_up(place)
    assert "BACKUP_DIR" in str(standing(place.database).last_problem)
    place.settings.backup_directory.unlink()
    back_up(place)
    assert len(made(place)) == 1
    assert standing(place.database).last_problem is None


def test_a_daemon_that_stops_makes_none(place: Workplace) -> None:
    place.stopping.set()
    back_up(place)
    assert made(place) == []


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
    found = trigger(expression).get_next_fire_time(None, at)
    assert found == datetime.fromisoformat(due).replace(tzinfo=UTC)
