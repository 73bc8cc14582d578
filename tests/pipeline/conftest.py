"""Fixtures of the pipeline's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.pipeline.fetcher import Fetcher
from tests.pipeline.publisher import Publisher
from tests.sandbox.world import World

NewPublisher = Callable[..., Publisher]


@pytest.fixture
def new_publisher(in_world: World, database_dsn: str, tmp_path: Path) -> Iterator[NewPublisher]:
    """`new_publisher(NAME="value")`: a worker with these settings; nobody has logged in."""
    made: list[Publisher] = []

    def create(**settings: str) -> Publisher:
        made.append(Publisher(in_world, database_dsn, tmp_path, **settings))
        return made[-1]

    yield create
    for publisher in made:
        publisher.close()


@pytest.fixture
def publisher(new_publisher: NewPublisher) -> Publisher:
    """A worker that is logged in to YouTube."""
    publisher = new_publisher()
    publisher.log_in()
    return publisher


@pytest.fixture
def fetcher(in_world: World, database_dsn: str, tmp_path: Path) -> Iterator[Fetcher]:
    """A worker for the channel alice; Helix finds the VODs, uploads are off."""
    in_world.add_channel("alice")
    fetcher = Fetcher(in_world, database_dsn, tmp_path)
    yield fetcher
    fetcher.close()


@pytest.fixture
def poor_fetcher(in_world: World, database_dsn: str, tmp_path: Path) -> Iterator[Fetcher]:
    """The same without Helix's credentials."""
    in_world.add_channel("alice")
    without = {"TWITCH_CLIENT_ID": "", "TWITCH_CLIENT_SECRET": ""}
    fetcher = Fetcher(in_world, database_dsn, tmp_path, **without)
    yield fetcher
    fetcher.close()


@pytest.fixture(params=["fetcher", "poor_fetcher"], ids=["helix", "yt-dlp"])
def either_fetcher(request: pytest.FixtureRequest) -> Fetcher:
    """With Helix's credentials and without them."""
    found: Fetcher = request.getfixturevalue(request.param)
    return found
