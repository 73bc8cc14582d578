"""Keeping a login: not lost while the database is away, and only what is enough."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest
from psycopg import sql

from tests.pipeline import logins
from tests.pipeline.logins import Clock, Desk
from tests.procedures.person import Person
from tests.sandbox.world import World
from vodtender.errors import CredentialsMissing, DatabaseUnavailable
from vodtender.model.tokens import ClientCredentials, Tokens
from vodtender.pipeline.oauth_services import SERVICES
from vodtender.procedures import login, permission
from vodtender.procedures.login import Login
from vodtender.store.database import CHANNEL, Database

YOUTUBE = SERVICES["youtube"]
NOWHERE = "postgresql://vod@127.0.0.1:1/vod"


@pytest.fixture
def desk(in_world: World, database_dsn: str) -> Iterator[Desk]:
    with logins.desk(in_world, database_dsn) as opened:
        yield opened


def given(desk: Desk) -> Tokens:
    world = desk.world
    return Tokens(world.google.issue(world.account), world.account.refresh_token, None)


def identified(desk: Desk, tokens: Tokens) -> Login:
    client = YOUTUBE.needed_client(desk.settings)
    return login.identified(desk.settings, YOUTUBE, "default", client, tokens, now=desk.clock.now)


def keep(desk: Desk, database: Database, person: Person) -> login.Kept:
    return login.keep(
        database,
        desk.settings,
        identified(desk, given(desk)),
        person,
        action="auth login",
        actor="me@here",
        reason=None,
    )


def test_what_was_given_is_stored_when_the_database_is_back(desk: Desk) -> None:
    place = [NOWHERE]
    person = Person(Clock(), after=3, does=lambda: place.append(desk.dsn))
    database = Database(lambda: place[-1])
    kept = keep(desk, database, person)
    database.close()
    assert kept.change.after["owner"] == desk.world.account.channel_title
    assert desk.opened().tokens.refresh_token == desk.world.account.refresh_token
    assert len(person.waits) == 3
    assert len(person.told) == 1
    assert "kept until the database is back" in person.told[0]


def test_the_daemons_hear_of_it(desk: Desk) -> None:
    with psycopg.connect(desk.dsn, autocommit=True) as listener:
        listener.execute(sql.SQL("LISTEN {}").format(sql.Identifier(CHANNEL)))
        keep(desk, desk.database, Person(Clock()))
        assert list(listener.notifies(timeout=10, stop_after=1))


def test_it_is_given_up_in_the_end(desk: Desk) -> None:
    person = Person(Clock())
    with pytest.raises(DatabaseUnavailable):
        keep(desk, Database(lambda: NOWHERE), person)
    assert 30 <= len(person.waits) <= 120


def test_a_login_without_a_refresh_token_is_not_kept(desk: Desk) -> None:
    with pytest.raises(CredentialsMissing) as caught:
        identified(desk, replace(given(desk), refresh_token=None))
    assert caught.value.code == "no_refresh_token"


def test_only_another_persons_login_is_replaced(desk: Desk) -> None:
    found = identified(desk, given(desk))
    row = desk.log_in()
    assert found.replaces(None) is None
    assert found.replaces(row) is None
    assert found.replaces(replace(row, owner_id=None)) is None
    other = replace(row, owner_id="UC2", owner_name="Bob")
    assert found.replaces(other) == "Bob (UC2)"  # two channels may have one name
    assert found.replaces(replace(other, owner_name=None)) == "UC2"


def test_an_account_keeps_its_own_application(desk: Desk) -> None:
    own = ClientCredentials("9876-own", "GOCSPX-own-secret")
    row = desk.log_in(client=own)
    assert permission.client_for(desk.settings, YOUTUBE, row) == own
    assert permission.client_for(desk.settings, YOUTUBE, None) == YOUTUBE.client(desk.settings)
    lost = replace(desk.settings, encryption_key=bytes(32))
    assert permission.client_for(lost, YOUTUBE, row) == YOUTUBE.client(desk.settings)
