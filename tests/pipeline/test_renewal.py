"""Access tokens: renewed in time, once for all, and never lost."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from tests.pipeline import logins
from tests.pipeline.logins import NOW, Desk
from tests.pipeline.waiting import (
    BETWEEN_STATEMENTS,
    WAITS_FOR_LOCK,
    Asking,
    kill,
    wait_for_backends,
)
from tests.sandbox.world import World
from vodtender.errors import AuthExpired, CredentialsMissing, DatabaseUnavailable, Transient
from vodtender.model.tokens import Tokens
from vodtender.pipeline.token_box import TokenBox
from vodtender.store import tokens as store

TOKENS_HOST, TOKENS_PATH = "oauth2.googleapis.com", "/token"


@pytest.fixture
def desk(in_world: World, database_dsn: str) -> Iterator[Desk]:
    with logins.desk(in_world, database_dsn) as opened:
        yield opened


def access(daemon: Any, **more: Any) -> str:
    tokens: Tokens = daemon.tokens("youtube", "default", **more)
    return tokens.access_token


# --- when -------------------------------------------------------------------------------


def test_a_token_that_lasts_is_handed_out_as_it_is(desk: Desk) -> None:
    desk.log_in(access_token="ya29.good", lasts=timedelta(hours=1))
    assert access(desk.daemon()) == "ya29.good"
    assert desk.questions == 0


def test_a_token_is_renewed_before_it_ends(desk: Desk) -> None:
    desk.log_in(access_token="ya29.old", lasts=timedelta(hours=1))
    daemon = desk.daemon()
    assert daemon.renew_due() == 0
    desk.clock.forward(minutes=51)
    assert daemon.renew_due() == 1
    assert daemon.renew_due() == 0
    assert desk.questions == 1
    assert access(daemon) in desk.world.google.tokens
    row = desk.row()
    assert row.expires_at == desk.clock.now + timedelta(seconds=3599)
    assert row.owner_name == desk.world.account.channel_title


def test_a_refused_token_is_replaced_however_long_it_would_last(desk: Desk) -> None:
    desk.log_in(access_token="ya29.dead", lasts=timedelta(hours=1))
    daemon = desk.daemon()
    fresh = access(daemon, refused="ya29.dead")
    assert fresh in desk.world.google.tokens
    # Whoever was refused with the old one gets this one, without another question.
    assert access(daemon, refused="ya29.dead") == fresh
    assert desk.questions == 1


def test_twitchs_tokens_are_renewed_by_the_same_clock(desk: Desk) -> None:
    alice = desk.world.add_channel("alice")
    refresh_token = desk.world.helix.issue_refresh_token(alice, ("chat:read",))
    row = TokenBox(desk.settings).seal(
        "twitch",
        "default",
        Tokens("old", refresh_token, NOW, ("chat:read",)),
        None,
        owner_id=alice.id,
        owner_name="alice",
    )
    with desk.database.transaction() as connection:
        store.put(connection, row)
    assert desk.daemon().renew_due() == 1
    opened = desk.opened(provider="twitch")
    assert opened.tokens.access_token in desk.world.helix.tokens
    assert opened.tokens.refresh_token != refresh_token
    assert opened.tokens.refresh_token in desk.world.helix.refresh_tokens


# --- once -------------------------------------------------------------------------------


def test_two_daemons_ask_once(desk: Desk) -> None:
    desk.world.google.rotate_refresh_tokens = True
    desk.log_in()
    gate = desk.world.faults.hold_answer(host=TOKENS_HOST, path=TOKENS_PATH)
    with logins.desk(desk.world, desk.dsn) as other:
        first = Asking(lambda: access(desk.daemon()))
        gate.wait_reached()
        second = Asking(lambda: access(other.daemon()))
        wait_for_backends(desk.dsn, WAITS_FOR_LOCK)
        gate.release()
        assert first.answer() == second.answer()
    assert desk.questions == 1


def test_a_rotated_refresh_token_is_stored_before_the_new_token_is_used(desk: Desk) -> None:
    desk.world.google.rotate_refresh_tokens = True
    desk.log_in()
    for _ in range(3):
        access(desk.daemon())
        opened = desk.opened()
        assert opened.tokens.refresh_token == desk.world.account.refresh_token
        desk.clock.forward(hours=1)


# --- the database goes away ---------------------------------------------------------------


@pytest.mark.parametrize("how", ["tokens", "renew_due"])
def test_what_the_database_did_not_take_is_kept_until_it_does(desk: Desk, how: str) -> None:
    desk.world.google.rotate_refresh_tokens = True
    desk.log_in()
    daemon = desk.daemon()
    gate = desk.world.faults.hold_answer(host=TOKENS_HOST, path=TOKENS_PATH)
    asking = Asking(lambda: access(daemon))
    gate.wait_reached()
    kill(desk.dsn, wait_for_backends(desk.dsn, BETWEEN_STATEMENTS))
    gate.release()
    assert isinstance(asking.answer(), DatabaseUnavailable)

    if how == "renew_due":
        assert daemon.renew_due() == 1
    token = access(daemon)
    assert token in desk.world.google.tokens
    assert desk.questions == 1
    kept = desk.opened().tokens
    assert kept == Tokens(
        token, desk.world.account.refresh_token, NOW + timedelta(seconds=3599), kept.scopes
    )
    assert access(desk.daemon()) == token


def test_another_daemon_that_finds_the_void_token_does_no_lasting_harm(
    desk: Desk,
) -> None:
    desk.world.google.rotate_refresh_tokens = True
    desk.log_in()
    daemon = desk.daemon()
    gate = desk.world.faults.hold_answer(host=TOKENS_HOST, path=TOKENS_PATH)
    asking = Asking(lambda: access(daemon))
    gate.wait_reached()
    kill(desk.dsn, wait_for_backends(desk.dsn, BETWEEN_STATEMENTS))
    gate.release()
    assert isinstance(asking.answer(), DatabaseUnavailable)

    with pytest.raises(AuthExpired):
        access(desk.daemon())
    assert desk.row().problem is not None
    token = access(daemon)
    assert desk.row().problem is None
    assert access(desk.daemon()) == token


def test_a_login_that_came_between_counts_more_than_what_was_kept(desk: Desk) -> None:
    desk.log_in()
    daemon = desk.daemon()
    gate = desk.world.faults.hold_answer(host=TOKENS_HOST, path=TOKENS_PATH)
    asking = Asking(lambda: access(daemon))
    gate.wait_reached()
    kill(desk.dsn, wait_for_backends(desk.dsn, BETWEEN_STATEMENTS))
    gate.release()
    assert isinstance(asking.answer(), DatabaseUnavailable)
    desk.log_in(access_token="ya29.new", lasts=timedelta(hours=1))
    assert access(daemon) == "ya29.new"


# --- refusals -----------------------------------------------------------------------------


def test_a_withdrawn_permission_is_noted_and_not_asked_for_again(desk: Desk) -> None:
    desk.log_in("second")
    desk.world.google.revoke(desk.world.account)
    daemon = desk.daemon()
    for _ in range(3):
        with pytest.raises(AuthExpired) as caught:
            daemon.tokens("youtube", "second")
        assert caught.value.hint == "vodtender auth login youtube --account second"
        assert daemon.renew_due() == 0
    assert desk.questions == 1
    assert "withdrawn" in (desk.row("second").problem or "")


def test_trouble_at_google_is_no_problem_of_the_login(desk: Desk) -> None:
    desk.log_in()
    daemon = desk.daemon()
    desk.world.faults.status(503, host=TOKENS_HOST, path=TOKENS_PATH)
    with pytest.raises(Transient):
        access(daemon)
    assert desk.row().problem is None
    assert access(daemon) in desk.world.google.tokens


def test_a_wrong_client_secret_is_no_problem_of_the_login(desk: Desk) -> None:
    desk.log_in()
    with pytest.raises(AuthExpired) as caught:
        access(desk.daemon(yt_client_secret="wrong"))
    assert caught.value.code == "client_refused"
    assert desk.row().problem is None
    assert access(desk.daemon()) in desk.world.google.tokens


def test_nobody_logged_in_is_told_with_what_to_type(desk: Desk) -> None:
    with pytest.raises(CredentialsMissing, match="nobody has logged in to YouTube") as caught:
        access(desk.daemon())
    assert caught.value.hint == "vodtender auth login youtube"


def test_without_a_client_nothing_is_asked(desk: Desk) -> None:
    desk.log_in()
    with pytest.raises(AuthExpired, match="YT_CLIENT_ID and YT_CLIENT_SECRET are not set"):
        access(desk.daemon(yt_client_id=None, yt_client_secret=None))
    assert desk.questions == 0


def test_a_problem_is_logged_once_and_shows_no_secret(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.log_in()
    desk.world.faults.status(503, times=2, host=TOKENS_HOST, path=TOKENS_PATH)
    daemon = desk.daemon()
    with caplog.at_level(logging.DEBUG):
        for _ in range(3):
            daemon.renew_due()
    said = [record.message for record in caplog.records if record.name == "vodtender.accounts"]
    assert said == ["the token could not be renewed", "token renewed"]
    assert "1//" not in caplog.text
    assert "ya29" not in caplog.text


# --- on request -----------------------------------------------------------------------------


def test_asked_to_renew_it_asks_whatever_was_noted(desk: Desk) -> None:
    row = desk.log_in(lasts=timedelta(hours=1))
    with desk.database.transaction() as connection:
        store.set_problem(connection, "youtube", "default", "withdrawn")
    seen: list[tuple[str, str | None]] = []
    desk.daemon().renew_now(
        "youtube",
        "default",
        lambda _connection, before, after: seen.append((before.access_token, after.problem)),
    )
    assert seen == [(row.access_token, None)]
    assert desk.row().problem is None
    assert desk.questions == 1


def test_what_is_to_be_written_with_it_is_written_after_an_outage_too(desk: Desk) -> None:
    desk.log_in()
    seen: list[str] = []
    daemon = desk.daemon()

    def ask() -> None:
        daemon.renew_now(
            "youtube", "default", lambda _connection, _before, after: seen.append(after.account)
        )

    gate = desk.world.faults.hold_answer(host=TOKENS_HOST, path=TOKENS_PATH)
    asking = Asking(ask)
    gate.wait_reached()
    kill(desk.dsn, wait_for_backends(desk.dsn, BETWEEN_STATEMENTS))
    gate.release()
    assert isinstance(asking.answer(), DatabaseUnavailable)
    assert seen == []
    ask()
    assert seen == ["default"]
    assert desk.questions == 1
