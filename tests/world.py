"""pytest fixtures: the outside world (tests/sandbox), fresh for every test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sandbox.certificates import Certificates
from tests.sandbox.world import World


@pytest.fixture(scope="session")
def world_certificates() -> Certificates:
    """One certificate authority for all worlds of this test process; making one takes time."""
    return Certificates()


@pytest.fixture
def world(world_certificates: Certificates) -> Iterator[World]:
    """Twitch, Google and YouTube, started and empty. Fails a test in which the sandbox broke."""
    with World(certificates=world_certificates) as world:
        yield world
    assert not world.record.crashes, "\n".join(world.record.crashes)


@pytest.fixture
def in_world(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """The same world, with this very process living in it."""
    for name, value in world.env().items():
        monkeypatch.setenv(name, value)
    return world
