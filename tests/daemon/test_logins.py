"""What the daemon says of logins and cookies before it is too late."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pipeline.publisher import log_in, place_for
from tests.sandbox.world import World
from vodtender.config.load import load
from vodtender.daemon.chores import Chores
from vodtender.daemon.lanes import Bell, Gate
from vodtender.store.database import Database


@pytest.fixture
def chores(world: World, database_dsn: str, tmp_path: Path) -> Iterator[Chores]:
    environ = {"DATA_DIR": str(tmp_path), "YTDLP_COOKIES_PATH": str(tmp_path / "cookies.txt")}
    database = Database(lambda: database_dsn)
    log_in(database, world)
    place = place_for(load(environ), database, "worker-1")
    yield Chores(place, Gate(place), Bell())
    database.close()


def test_what_is_wrong_with_them_is_logged_once(
    chores: Chores, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            chores.look_after_logins()
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert "cookies.txt" in said[0]
    assert "ENCRYPTION_KEY is not set" in said[1]
