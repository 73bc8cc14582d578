"""Twitch's logins against the sandbox."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.sandbox.world import World
from vodtender.clients import http
from vodtender.clients.oauth_grants import Challenge
from vodtender.clients.oauth_redirect import RedirectReceiver
from vodtender.clients.twitch import oauth
from vodtender.errors import AuthExpired, Transient
from vodtender.model.tokens import ClientCredentials, Tokens

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
SCOPES = ("chat:read", "chat:edit")


@pytest.fixture
def twitch(in_world: World) -> World:
    in_world.add_channel("alice")
    return in_world


def client(world: World) -> ClientCredentials:
    return ClientCredentials(world.helix.client_id, world.helix.client_secret)


def by_code(world: World) -> Tokens:
    ours = client(world)
    login = oauth.begin_device_login(ours, SCOPES, NOW)
    assert oauth.poll_device_login(ours, login, SCOPES, NOW) is None
    world.helix.approve_device(login.user_code)
    tokens = oauth.poll_device_login(ours, login, SCOPES, NOW)
    assert tokens is not None
    return tokens


def test_a_login_in_the_browser(twitch: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1,localhost")
    challenge, ours = Challenge.new(), client(twitch)
    with RedirectReceiver("http://127.0.0.1:0/", challenge.state) as receiver:
        uri = receiver.redirect_uri
        http.session().get(oauth.authorization_url(ours.client_id, uri, SCOPES, challenge))
        code = receiver.poll(5) or ""
    tokens = oauth.exchange_code(ours, code, uri, challenge, NOW)
    assert tokens.refresh_token
    assert tokens.scopes == SCOPES


def test_a_login_by_code(twitch: World) -> None:
    assert by_code(twitch).scopes == SCOPES


def test_a_rotated_refresh_token_is_handed_on(twitch: World) -> None:
    ours = client(twitch)
    first = by_code(twitch).refresh_token
    assert first is not None
    twitch.helix.rotate_refresh_tokens = True
    second = oauth.refresh(ours, first, NOW).refresh_token
    assert second != first
    with pytest.raises(AuthExpired) as caught:
        oauth.refresh(ours, first, NOW)
    assert caught.value.code == "auth_expired"
    assert "vodtender auth login twitch" in caught.value.hint


def test_a_wrong_secret_is_told(twitch: World) -> None:
    with pytest.raises(AuthExpired) as caught:
        oauth.refresh(ClientCredentials(twitch.helix.client_id, "wrong"), "any", NOW)
    assert caught.value.code == "client_refused"


def test_a_public_client_sends_no_secret(twitch: World) -> None:
    refresh_token = by_code(twitch).refresh_token or ""
    assert oauth.refresh(ClientCredentials(twitch.helix.client_id), refresh_token, NOW).access_token


@pytest.mark.parametrize("fault", ["status", "html", "lose_answer"])
def test_trouble_at_twitch_is_transient(twitch: World, fault: str) -> None:
    arguments = [503] if fault == "status" else []
    getattr(twitch.faults, fault)(*arguments)
    with pytest.raises(Transient):
        oauth.refresh(client(twitch), "any", NOW)


def test_a_token_says_whose_it_is(twitch: World) -> None:
    identity = oauth.inspect(by_code(twitch).access_token, NOW)
    assert identity.account_name == "alice"
    assert identity.scopes == SCOPES
    with pytest.raises(AuthExpired):
        oauth.inspect("nobodys", NOW)


def test_giving_back_works_twice(twitch: World) -> None:
    tokens = by_code(twitch)
    for _ in range(2):
        oauth.revoke(client(twitch), tokens, NOW)
    with pytest.raises(AuthExpired):
        oauth.inspect(tokens.access_token, NOW)
