"""Getting a permission: patience, and its limits. (How a person does it: tests/cli/test_auth.py)"""

from __future__ import annotations

import pytest

from tests.pipeline.logins import Clock, settings
from tests.procedures.person import Person
from tests.sandbox.world import World
from vodtender.config.settings import Settings
from vodtender.errors import AuthExpired, Refused, SettingsError
from vodtender.model.tokens import Tokens
from vodtender.pipeline.oauth_services import SERVICES
from vodtender.procedures import permission

YOUTUBE = SERVICES["youtube"]


@pytest.fixture
def ours(in_world: World) -> Settings:
    return settings(in_world)


def by_code(ours: Settings, person: Person) -> Tokens:
    client = YOUTUBE.needed_client(ours)
    return permission.by_code(ours, YOUTUBE, client, person, person.clock)


def test_a_service_that_is_asked_too_often_is_asked_less_often(
    in_world: World, ours: Settings
) -> None:
    in_world.faults.json(403, {"error": "slow_down"}, path="/token", times=2)
    person = Person(Clock(), after=3, does=in_world.google.approve_device)
    assert by_code(ours, person).refresh_token
    assert person.waits == [1.0, 6.0, 11.0]


def test_trouble_on_the_way_does_not_end_the_wait(in_world: World, ours: Settings) -> None:
    in_world.faults.status(503, path="/token")
    in_world.faults.rate_limited(path="/token", skip=1)
    person = Person(Clock(), after=4, does=in_world.google.approve_device)
    assert by_code(ours, person).refresh_token


@pytest.mark.parametrize("trouble", [None, 503])
def test_a_code_that_nobody_enters_ends_the_wait(
    in_world: World, ours: Settings, trouble: int | None
) -> None:
    if trouble:
        in_world.faults.status(trouble, path="/token", times=None, skip=2)
    person = Person(Clock(), seconds_per_wait=600)
    with pytest.raises(Exception, match="waiting for the code at Google"):
        by_code(ours, person)
    assert len(person.waits) == 3


def test_a_denied_code_ends_it_at_once(in_world: World, ours: Settings) -> None:
    person = Person(Clock(), after=1, does=in_world.google.deny_device)
    with pytest.raises(AuthExpired) as caught:
        by_code(ours, person)
    assert caught.value.code == "access_denied"
    assert len(person.waits) == 1


def test_a_browser_that_never_comes_back_is_not_waited_for_for_ever(ours: Settings) -> None:
    person = Person(Clock())
    person.opened = lambda _url: person.clock.forward(minutes=11)
    with pytest.raises(AuthExpired) as caught:
        permission.by_browser(ours, YOUTUBE, YOUTUBE.needed_client(ours), person, person.clock)
    assert caught.value.code == "login_timeout"
    assert "--device" in caught.value.hint


def test_a_redirect_to_elsewhere_is_refused(in_world: World) -> None:
    ours = settings(in_world, yt_redirect_uri="https://vod-api.example.com/auth/youtube/callback")
    person = Person(Clock())
    with pytest.raises(Refused, match="does not lead to this machine"):
        permission.by_browser(ours, YOUTUBE, YOUTUBE.needed_client(ours), person, person.clock)


def test_a_playlist_needs_more_than_seeing(in_world: World) -> None:
    base = "https://www.googleapis.com/auth/youtube"
    ours = settings(in_world, yt_scopes=(f"{base}.upload", f"{base}.readonly"))
    permission.check_scopes(ours, YOUTUBE)
    with pytest.raises(SettingsError, match="YT_SCOPES does not contain"):
        permission.check_scopes(
            settings(in_world, yt_scopes=ours.yt_scopes, yt_playlist_id="PL1"), YOUTUBE
        )
