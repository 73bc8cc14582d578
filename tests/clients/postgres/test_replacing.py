"""Two clusters change places: whoever dies on the way, one of them is there whole."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from vodtender.clients.postgres import locks, replacing
from vodtender.clients.postgres.place import Place
from vodtender.clients.postgres.server import has_database

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def cluster(path: Path, word: str) -> Path:
    path.mkdir()
    (path / "PG_VERSION").write_text(word)
    return path


def word(place: Place) -> str:
    return (place.data / "PG_VERSION").read_text()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    cluster(tmp_path / "data", "old")
    return Place(tmp_path)


def test_the_old_one_stays_under_a_name_that_was_free(place: Place) -> None:
    cluster(place.directory / "data.before-20261123_120000", "older")
    aside = replacing.replace(place, cluster(place.directory / "data.at-x", "new"), NOW)
    assert word(place) == "new"
    assert aside == place.directory / "data.before-20261123_120001"
    assert (aside / "PG_VERSION").read_text() == "old"
    assert (place.directory / "data.before-20261123_120000" / "PG_VERSION").read_text() == "older"


def test_where_there_was_none_there_is_the_new_one(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    place = Place(tmp_path)
    assert replacing.replace(place, cluster(tmp_path / "data.at-x", "new"), NOW) is None
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_killed_before_the_old_one_is_away_it_stays(place: Place) -> None:
    cluster(place.directory / "data.swap-20261123_120000", "new")
    replacing.complete(place)
    assert (word(place), place.swapping()) == ("old", [])


def test_killed_when_the_old_one_is_away_the_new_one_takes_its_place(place: Place) -> None:
    place.data.rename(place.directory / "data.before-20261123_120000")
    cluster(place.directory / "data.swap-20261123_120000", "new")
    assert has_database(place.directory)
    replacing.complete(place)
    assert (word(place), place.swapping()) == ("new", [])


def test_what_a_dead_recovery_left_goes_and_a_live_ones_stays(place: Place) -> None:
    attempt = cluster(place.directory / "data.at-x", "half")
    lock = locks.open_lock(place.recovery_lock)
    assert locks.try_lock(lock, locks.EXCLUSIVE)
    replacing.complete(place)
    assert attempt.exists()
    assert locks.try_lock(lock, locks.SHARED)
    import os

    os.close(lock)
    replacing.complete(place)
    assert not attempt.exists()
    assert word(place) == "old"
