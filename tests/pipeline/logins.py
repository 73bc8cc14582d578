"""Logins in the database, as `auth login` leaves them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.sandbox.accounts import Account
from tests.sandbox.world import World
from vodtender.config.settings import Settings
from vodtender.model.tokens import ClientCredentials, Tokens
from vodtender.pipeline.renewal import Renewal
from vodtender.pipeline.token_box import OpenTokens, TokenBox
from vodtender.store import tokens as store
from vodtender.store.database import Database
from vodtender.store.tokens import StoredTokens

KEY = bytes(range(32))
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


@dataclass
class Clock:
    """Stands still until it is moved."""

    now: datetime = field(default=NOW)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **by: float) -> None:
        self.now += timedelta(**by)


def settings(world: World, **more: Any) -> Settings:
    """Those of `world.settings()`, and others by their attribute's name."""
    fields: dict[str, Any] = {
        "twitch_channels": tuple(world.catalog.channels),
        "twitch_client_id": world.helix.client_id,
        "twitch_client_secret": world.helix.client_secret,
        "yt_client_id": world.google.client_id,
        "yt_client_secret": world.google.client_secret,
        "encryption_key": KEY,
    }
    return Settings(**{**fields, **more})


@contextmanager
def database(dsn: str) -> Iterator[Database]:
    """A database as the daemon has it, with a connection for each of some threads."""
    opened = Database(lambda: dsn, pool_size=4)
    try:
        yield opened
    finally:
        opened.close()


@dataclass
class Desk:
    """The outside world, a database, and what an operator does with logins there."""

    world: World
    database: Database
    dsn: str
    settings: Settings
    clock: Clock = field(default_factory=Clock)

    def daemon(self, **changed: Any) -> Renewal:
        """What renews tokens in one more process, perhaps with other settings."""
        ours = replace(self.settings, **changed)
        return Renewal(ours, self.database, TokenBox(ours), self.clock)

    def log_in(
        self,
        name: str = "default",
        *,
        access_token: str = "ya29.expired",
        lasts: timedelta = timedelta(0),
        account: Account | None = None,
        client: ClientCredentials | None = None,
    ) -> StoredTokens:
        """The row of somebody who is logged in to YouTube, with a token that lasts so long."""
        who = account or self.world.account
        return self.put(
            TokenBox(self.settings).seal(
                "youtube",
                name,
                Tokens(access_token, who.refresh_token, self.clock.now + lasts, who.scopes),
                client,
                owner_id=who.channel_id,
                owner_name=who.channel_title,
            )
        )

    def put(self, row: StoredTokens) -> StoredTokens:
        with self.database.transaction() as connection:
            store.put(connection, row)
        return row

    def row(self, name: str = "default", provider: str = "youtube") -> StoredTokens:
        with self.database.transaction() as connection:
            row = store.get(connection, provider, name)
        assert row is not None
        return row

    def opened(self, name: str = "default", provider: str = "youtube") -> OpenTokens:
        return TokenBox(self.settings).open(self.row(name, provider))

    @property
    def questions(self) -> int:
        """How often Google was asked for tokens."""
        return len(self.world.record.matching(host="oauth2.googleapis.com", path="/token"))


@contextmanager
def desk(world: World, dsn: str, **more: Any) -> Iterator[Desk]:
    """`more` are settings by their attribute's name."""
    with database(dsn) as opened:
        yield Desk(world, opened, dsn, settings(world, **more))
