"""Fixtures of the pipeline's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from tests.pipeline.fetcher import Fetcher
from tests.pipeline.publisher import Publisher
from tests.sandbox.world import World
from vodtender.clients.postgres_server import EmbeddedServer

NewPublisher = Callable[..., Publisher]
AwayDatabase = Callable[[], AbstractContextManager[None]]


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


@pytest.fixture
def database_away(database_dsn: str, postgres_server: EmbeddedServer) -> AwayDatabase:
    """`with database_away():` all connections are cut, and none can be made."""
    name = str(conninfo_to_dict(database_dsn)["dbname"])
    allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")

    @contextmanager
    def away() -> Iterator[None]:
        with psycopg.connect(postgres_server.admin_dsn, autocommit=True) as connection:
            connection.execute(allow.format(sql.Identifier(name), sql.Literal(False)))
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
            )
            try:
                yield
            finally:
                connection.execute(allow.format(sql.Identifier(name), sql.Literal(True)))

    return away
