"""Google's logins against the sandbox."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from tests.sandbox.accounts import SCOPE_UPLOAD, SCOPE_YOUTUBE
from tests.sandbox.faults import Faults
from tests.sandbox.world import World
from vodtender.clients import http
from vodtender.clients.oauth_grants import Challenge
from vodtender.clients.oauth_redirect import RedirectReceiver
from vodtender.clients.youtube import oauth
from vodtender.errors import AuthExpired, RateLimited, Transient
from vodtender.model.tokens import ClientCredentials, Tokens

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def client(world: World) -> ClientCredentials:
    return ClientCredentials(world.google.client_id, world.google.client_secret)


def renew(world: World) -> Tokens:
    return oauth.refresh(client(world), world.account.refresh_token, NOW)


@pytest.fixture
def direct_loopback(in_world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1,localhost")
    return in_world


def test_a_login_in_the_browser(direct_loopback: World) -> None:
    world = direct_loopback
    challenge = Challenge.new()
    ours = client(world)
    with RedirectReceiver("http://127.0.0.1:0/", challenge.state) as receiver:
        uri = receiver.redirect_uri
        url = oauth.authorization_url(ours.client_id, uri, [SCOPE_YOUTUBE], challenge)
        assert http.session().get(url).status_code == 200
        code = receiver.poll(5) or ""
    with pytest.raises(AuthExpired):
        oauth.exchange_code(ours, "another", uri, challenge, NOW)
    tokens = oauth.exchange_code(ours, code, uri, challenge, NOW)
    assert tokens.refresh_token == world.account.refresh_token
    assert tokens.scopes == (SCOPE_YOUTUBE,)
    assert tokens.expires_at == NOW + timedelta(seconds=3599)


def test_a_code_is_worthless_without_its_verifier(direct_loopback: World) -> None:
    challenge, ours = Challenge.new(), client(direct_loopback)
    with RedirectReceiver("http://127.0.0.1:0/", challenge.state) as receiver:
        uri = receiver.redirect_uri
        http.session().get(oauth.authorization_url(ours.client_id, uri, ["s"], challenge))
        code = receiver.poll(5) or ""
    with pytest.raises(AuthExpired):
        oauth.exchange_code(ours, code, uri, Challenge.new(), NOW)


def test_a_login_by_code(in_world: World) -> None:
    ours = client(in_world)
    login = oauth.begin_device_login(ours, [SCOPE_YOUTUBE], NOW)
    assert login.verification_url.startswith("https://www.google.com/device")
    assert oauth.poll_device_login(ours, login, [], NOW) is None
    in_world.google.approve_device(login.user_code)
    tokens = oauth.poll_device_login(ours, login, [], NOW)
    assert tokens is not None
    assert tokens.refresh_token


def test_a_login_by_code_ends(in_world: World) -> None:
    ours = client(in_world)
    login = oauth.begin_device_login(ours, [SCOPE_YOUTUBE], NOW)
    with pytest.raises(AuthExpired):
        oauth.poll_device_login(ours, login, [], login.expires_at)
    in_world.google.deny_device(login.user_code)
    with pytest.raises(AuthExpired) as caught:
        oauth.poll_device_login(ours, login, [], NOW)
    assert caught.value.code == "access_denied"


def test_google_gives_few_permissions_by_code_and_only_to_one_type_of_client(
    in_world: World,
) -> None:
    with pytest.raises(AuthExpired) as caught:
        oauth.begin_device_login(client(in_world), [SCOPE_UPLOAD], NOW)
    assert caught.value.code == "scope_refused"
    in_world.google.device_clients = frozenset()
    with pytest.raises(AuthExpired) as caught:
        oauth.begin_device_login(client(in_world), [SCOPE_YOUTUBE], NOW)
    assert caught.value.code == "client_refused"
    assert "TVs and Limited Input devices" in caught.value.hint


def test_asking_too_often_is_told(in_world: World) -> None:
    ours = client(in_world)
    login = oauth.begin_device_login(ours, [SCOPE_YOUTUBE], NOW)
    in_world.faults.json(403, {"error": "slow_down"}, path="/token")
    with pytest.raises(AuthExpired) as caught:
        oauth.poll_device_login(ours, login, [], NOW)
    assert caught.value.code == "slow_down"


def test_a_refusal_of_another_kind_does_not_pass_for_a_withdrawn_permission(
    in_world: World,
) -> None:
    in_world.faults.json(400, {"error": "admin_policy_enforced"}, path="/token")
    with pytest.raises(AuthExpired, match="admin_policy_enforced") as caught:
        renew(in_world)
    assert caught.value.code == "refused"


def test_renewing_keeps_the_refresh_token_or_takes_the_new_one(in_world: World) -> None:
    before = in_world.account.refresh_token
    assert renew(in_world).refresh_token == before
    in_world.google.rotate_refresh_tokens = True
    assert renew(in_world).refresh_token == in_world.account.refresh_token != before


def test_a_withdrawn_permission_stops_the_service(in_world: World) -> None:
    in_world.google.revoke(in_world.account)
    with pytest.raises(AuthExpired) as caught:
        renew(in_world)
    assert caught.value.code == "auth_expired"
    assert "vodtender auth login youtube" in caught.value.hint


def test_a_wrong_client_secret_is_told_from_a_withdrawn_permission(in_world: World) -> None:
    wrong = ClientCredentials(in_world.google.client_id, "wrong")
    with pytest.raises(AuthExpired) as caught:
        oauth.refresh(wrong, in_world.account.refresh_token, NOW)
    assert caught.value.code == "client_refused"


@pytest.mark.parametrize(
    "break_it",
    [
        lambda faults: faults.status(503),
        lambda faults: faults.html(200),
        lambda faults: faults.empty_json(),
        lambda faults: faults.lose_answer(),
        lambda faults: faults.html(400),
        lambda faults: faults.status(400, '{"error": "internal_failure"}'),
        lambda faults: faults.status(404, '{"error": "not_found"}'),
    ],
)
def test_trouble_at_google_is_transient(
    in_world: World, break_it: Callable[[Faults], object]
) -> None:
    break_it(in_world.faults)
    with pytest.raises(Transient):
        renew(in_world)
    assert renew(in_world).access_token


def test_google_asking_for_a_pause_is_no_failure(in_world: World) -> None:
    in_world.faults.rate_limited(reset_after_seconds=9)
    with pytest.raises(RateLimited) as caught:
        renew(in_world)
    assert caught.value.until == NOW + timedelta(seconds=9)


def test_a_token_says_what_it_may_do_and_for_whom(in_world: World) -> None:
    identity = oauth.inspect(in_world.google.issue(in_world.account), NOW)
    assert identity.account_id == in_world.account.channel_id
    assert identity.account_name == in_world.account.channel_title
    assert identity.scopes == (SCOPE_YOUTUBE,)
    assert identity.expires_at == NOW + timedelta(seconds=3599)
    for seen in in_world.record.requests:
        assert "ya29" not in seen.path + seen.query


def test_a_token_that_may_only_upload_is_shown_as_such(in_world: World) -> None:
    token = in_world.google.issue(in_world.account, (SCOPE_UPLOAD,))
    identity = oauth.inspect(token, NOW)
    assert identity.scopes == (SCOPE_UPLOAD,)
    assert identity.account_id is None


def test_a_dead_token_cannot_be_looked_at(in_world: World) -> None:
    with pytest.raises(AuthExpired):
        oauth.inspect("ya29.nobody", NOW)


def test_giving_back_works_twice(in_world: World) -> None:
    for _ in range(2):
        oauth.revoke(client(in_world), Tokens("", in_world.account.refresh_token), NOW)
    assert in_world.account.revoked
