"""Under whose name the chat is read, and what Twitch has to say of that."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from tests.archive import Archive
from tests.sandbox.world import World
from vodtender.config.load import load
from vodtender.pipeline.chat_login import ChatLogins

Logins = Callable[..., ChatLogins]
BOTH = ("chat:read", "chat:edit")


@pytest.fixture
def logins(in_world: World, archive: Archive) -> Logins:
    in_world.add_channel("alice")

    def made(token: str | None = None, **more: str) -> ChatLogins:
        given = {"TWITCH_OAUTH_TOKEN": f"oauth:{token}"} if token else {}
        settings = load({**in_world.settings(youtube=False), **given, **more})
        return ChatLogins(settings, archive.database, lambda: datetime.now(UTC))

    return made


def test_without_a_token_the_chat_is_read_without_a_name(logins: Logins) -> None:
    found = logins().look()
    assert (found.login, found.source, found.problem) == (None, None, None)


def test_a_token_reads_as_its_owner(in_world: World, logins: Logins) -> None:
    token = in_world.helix.issue(in_world.catalog.channels["alice"], BOTH)
    found = logins(token).look()
    assert found.login is not None
    assert (found.login.username, found.login.token) == ("alice", token)
    assert (found.problem, found.warning) == (None, None)


def test_without_chat_read_it_is_not_used(in_world: World, logins: Logins) -> None:
    token = in_world.helix.issue(in_world.catalog.channels["alice"], ("chat:edit",))
    found = logins(token).look()
    assert found.login is None
    assert "chat:read" in (found.problem or "")
    assert found.hint == "unset TWITCH_OAUTH_TOKEN, then vodtender auth login twitch"


def test_without_chat_edit_it_is_used_and_warned_of(in_world: World, logins: Logins) -> None:
    token = in_world.helix.issue(in_world.catalog.channels["alice"], ("chat:read",))
    found = logins(token).look()
    assert found.login is not None
    assert "chat:edit" in (found.warning or "")


def test_a_dead_token_and_an_applications_are_no_login(in_world: World, logins: Logins) -> None:
    for token in ("nonsense", in_world.helix.issue()):
        found = logins(token).look()
        assert found.login is None
        assert found.problem is not None
        assert token not in found.problem


def test_a_name_that_is_not_the_tokens_is_worth_a_word(in_world: World, logins: Logins) -> None:
    token = in_world.helix.issue(in_world.catalog.channels["alice"], BOTH)
    found = logins(token, TWITCH_BOT_USERNAME="bob").look()
    assert found.login is not None
    assert found.login.username == "alice"
    assert "TWITCH_BOT_USERNAME" in (found.warning or "")


def test_while_twitch_cannot_be_asked_the_chat_is_read_without_a_name(
    in_world: World, logins: Logins
) -> None:
    token = in_world.helix.issue(in_world.catalog.channels["alice"], BOTH)
    asked = logins(token)
    in_world.faults.status(503, host="id.twitch.tv", times=None)
    assert asked.login() is None
    in_world.faults.clear()
    assert asked.login() is not None
