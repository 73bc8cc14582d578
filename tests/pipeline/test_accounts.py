"""YouTube accounts: a dead login pauses its own uploads only; each has its own quota."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.pipeline.conftest import NewPublisher
from tests.pipeline.publisher import Publisher
from vodtender.model.quota import ask_again_at, pacific_day
from vodtender.model.vod import Stage, Waiting
from vodtender.pipeline import download
from vodtender.pipeline.accounts import Accounts
from vodtender.pipeline.work import work_on_next
from vodtender.store import tokens


@pytest.fixture
def two(new_publisher: NewPublisher) -> Publisher:
    """A worker for two channels, each with an account and a project of its own."""
    publisher = new_publisher(
        TWITCH_CHANNELS="alice,bob", YT_CHANNEL_ACCOUNTS="bob=second", UPLOAD_DAILY_LIMIT="5"
    )
    google = publisher.world.google
    google.clients["987654-second"] = "GOCSPX-second-secret"
    second = google.add_account("second", client_id="987654-second")
    publisher.log_in()
    publisher.log_in(second, "second")
    return publisher


def test_each_channel_goes_to_its_account_and_spends_its_projects_quota(two: Publisher) -> None:
    two.add("1001", channel="alice", title="For alice")
    two.add("1002", channel="bob", title="For bob")
    two.publish("1001")
    two.publish("1002")
    owners = {video.title: video.account.name for video in two.world.youtube.videos}
    assert owners == {"For alice": "default", "For bob": "second"}
    spent = two.sql("SELECT vod_id, project, account FROM upload_attempts ORDER BY vod_id")
    assert [row["vod_id"] for row in spent] == ["1001", "1002"]
    assert spent[1]["project"] == "987654"
    assert spent[0]["project"] != "987654"


def test_a_dead_login_holds_that_account_and_nothing_else(two: Publisher) -> None:
    two.add("1001", channel="alice")
    two.add("1002", channel="bob")
    vod = two.world.add_vod("alice", segment_count=2)
    two.sql("INSERT INTO vods (twitch_vod_id, channel, title) VALUES (%s, 'alice', 'x')", vod.id)
    google = two.world.google
    google.revoke(two.world.account)

    while two.upload():
        pass
    held = two.vod("1001")
    assert (held.stage, held.waiting_for) == (Stage.DOWNLOADED, Waiting.LOGIN)
    assert held.processed
    assert "vodtender auth login youtube" in (held.processing_error or "")
    assert two.publish("1002").stage is Stage.PUBLISHED
    assert work_on_next(two.place, download.LANE)
    assert two.vod(vod.id).stage is Stage.DOWNLOADED
    with two.database.transaction() as connection:
        problems = {row.account: row.problem for row in tokens.find(connection)}
    assert problems["default"] is not None
    assert problems["second"] is None

    two.world.account.revoked = False
    two.log_in()
    assert two.vod("1001").next_try_at is None
    assert two.publish("1001").stage is Stage.PUBLISHED


def test_uploads_are_wanted_once_somebody_has_logged_in(new_publisher: NewPublisher) -> None:
    publisher = new_publisher()
    accounts = publisher.place.accounts
    with publisher.database.transaction() as connection:
        assert not accounts.uploads_wanted(connection)
    publisher.log_in()
    with publisher.database.transaction() as connection:
        assert accounts.uploads_wanted(connection)


@pytest.mark.parametrize("wish", ["1", "0"])
def test_what_is_set_counts_more(new_publisher: NewPublisher, wish: str) -> None:
    publisher = new_publisher(YT_ENABLED=wish)
    for _ in range(2):
        with publisher.database.transaction() as connection:
            assert publisher.place.accounts.uploads_wanted(connection) is (wish == "1")
        publisher.log_in()


@pytest.mark.parametrize("days_off", [-3, 3])
def test_youtubes_day_is_told_by_the_databases_clock(publisher: Publisher, days_off: int) -> None:
    """Else one machine's wrong clock would hold everybody's uploads for days, or ask at once."""
    publisher.add("1001")
    place = publisher.place
    off = timedelta(days=days_off)
    accounts = Accounts(place.settings, place.database, lambda: datetime.now(UTC) + off)
    publisher.place = replace(place, accounts=accounts)
    publisher.world.faults.google("quotaExceeded", path="/upload/*", method="POST")
    publisher.upload()
    [hold] = publisher.sql("SELECT held_until FROM upload_holds")
    until = ask_again_at(datetime.now(UTC))
    assert abs(hold["held_until"] - until) < timedelta(minutes=2)
    next_try_at = publisher.vod("1001").next_try_at
    assert next_try_at is not None
    assert abs(next_try_at - until) < timedelta(minutes=2)
    spent = publisher.sql("SELECT quota_day FROM quota_usage")
    assert [row["quota_day"] for row in spent] == [pacific_day(datetime.now(UTC))]
