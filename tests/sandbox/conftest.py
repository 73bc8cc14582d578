"""What the sandbox's own tests share: a plain HTTP client that lives in the world."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from tests.sandbox.world import World


@pytest.fixture
def client(world: World) -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        session.proxies = {"http": world.proxy_url, "https": world.proxy_url}
        session.verify = str(world.certificate_path)
        yield session
