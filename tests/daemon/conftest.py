"""Fixtures of the daemon's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.daemon.keeper import Keeper
from tests.sandbox.world import World


@pytest.fixture
def keeper(in_world: World, database_dsn: str, tmp_path: Path) -> Keeper:
    """A daemon for the world's channels: Helix finds the VODs, uploads are off."""
    return Keeper(in_world, database_dsn, tmp_path)


@pytest.fixture(params=["helix", "yt-dlp"])
def either_keeper(
    request: pytest.FixtureRequest, in_world: World, database_dsn: str, tmp_path: Path
) -> Keeper:
    """The same, with Helix's credentials and without them."""
    without = {"TWITCH_CLIENT_ID": "", "TWITCH_CLIENT_SECRET": ""}
    more = {} if request.param == "helix" else without
    return Keeper(in_world, database_dsn, tmp_path, **more)
