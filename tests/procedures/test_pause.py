"""Pausing and going on, on a real database."""

from __future__ import annotations

from typing import Any

import pytest

from tests.archive import Archive
from tests.rows import rows
from vodtender.procedures import pause
from vodtender.store import pause as store
from vodtender.store.database import Database

WHO: dict[str, Any] = {"actor": "op@host", "dry_run": False}


@pytest.fixture
def database(archive: Archive) -> Database:
    return archive.database


def stored(database: Database) -> store.Pause | None:
    with database.transaction() as connection:
        return store.get(connection)


def test_a_pause_has_a_reason_and_a_beginning(database: Database) -> None:
    change = pause.begin(database, reason="disk is being changed", **WHO)
    assert change.before == {"paused": False, "reason": None}
    assert change.after == {"paused": True, "reason": "disk is being changed"}
    found = stored(database)
    assert found is not None
    assert found.reason == "disk is being changed"


def test_a_pause_needs_no_reason(database: Database) -> None:
    assert pause.begin(database, reason=None, **WHO).after == {"paused": True, "reason": None}


def test_a_second_pause_changes_only_the_reason(database: Database) -> None:
    pause.begin(database, reason="one", **WHO)
    first = stored(database)
    change = pause.begin(database, reason="two", **WHO)
    second = stored(database)
    assert (change.before["reason"], change.after["reason"]) == ("one", "two")
    assert first is not None
    assert second is not None
    assert (second.reason, second.since) == ("two", first.since)


def test_a_second_pause_without_a_reason_keeps_the_first_one(database: Database) -> None:
    pause.begin(database, reason="one", **WHO)
    change = pause.begin(database, reason=None, **WHO)
    assert not change.changed
    assert change.note == "paused already"
    assert rows(database, "SELECT action, reason FROM audit") == [("pause", "one")]


def test_resume_ends_it_and_a_second_one_has_nothing_to_do(database: Database) -> None:
    pause.begin(database, reason="one", **WHO)
    change = pause.end(database, reason="mended", **WHO)
    assert (change.before["paused"], change.after["paused"]) == (True, False)
    assert stored(database) is None
    again = pause.end(database, reason=None, **WHO)
    assert not again.changed
    assert again.note == "not paused"
    assert rows(database, "SELECT actor, action, target, reason FROM audit ORDER BY id") == [
        ("op@host", "pause", "processing", "one"),
        ("op@host", "resume", "processing", "mended"),
    ]


def test_dry_runs_change_nothing(database: Database) -> None:
    dry: dict[str, Any] = {"actor": "op", "reason": "x", "dry_run": True}
    assert pause.begin(database, **dry).after["paused"] is True
    assert stored(database) is None
    pause.begin(database, reason=None, **WHO)
    assert pause.end(database, **dry).after["paused"] is False
    assert stored(database) is not None
    assert rows(database, "SELECT count(*) FROM audit") == [(1,)]


def test_a_secret_in_a_reason_is_masked(database: Database) -> None:
    pause.begin(database, reason="see postgresql://vod:hunter22@db/vod", **WHO)
    found = stored(database)
    assert found is not None
    kept = [found.reason, str(rows(database, "SELECT reason, after FROM audit"))]
    assert all("hunter22" not in text and "db/vod" in text for text in kept)
