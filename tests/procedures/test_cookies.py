"""Cookies: tried on a VOD, installed whole or not at all, and looked after."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.archive import Archive
from tests.sandbox.vods import Vod
from tests.sandbox.world import World
from vodtender.config.settings import Settings
from vodtender.errors import AuthExpired, SettingsError, Transient, UsageError, VodtenderError
from vodtender.procedures.cookies import Installed, cookies_state, import_cookies
from vodtender.store import audit

NOW = datetime(2026, 11, 24, tzinfo=UTC)
ENDS = datetime(2100, 1, 1, tzinfo=UTC)
"""When the sandbox's cookies do."""


class Desk:
    """An operator with an archive, a place for cookies, and a browser's export."""

    def __init__(self, world: World, archive: Archive, directory: Path) -> None:
        self.world = world
        self.archive = archive
        self.path = directory / "run" / "twitch.txt"
        self.channels = ("alice",)

    def settings(self, **more: Any) -> Settings:
        fields = {"ytdlp_cookies_path": self.path, "twitch_channels": self.channels}
        return Settings(**{**fields, **more})

    def install(self, text: str | None = None, **more: Any) -> Installed:
        arguments: dict[str, Any] = {
            "exported_at": NOW,
            "vod_id": None,
            "now": NOW,
            "actor": "me@here",
            "reason": None,
            "dry_run": False,
        }
        settings = more.pop("settings", self.settings())
        text = self.world.twitch.cookies() if text is None else text
        return import_cookies(self.archive.database, settings, text, **{**arguments, **more})

    def install_untried(self, **more: Any) -> Installed:
        """With nothing to try them on."""
        return self.install(settings=self.settings(twitch_channels=()), **more)

    def add(self, kind: str = "fine", **columns: Any) -> Vod:
        """A VOD that Twitch has and the archive knows."""
        vod = self.world.add_vod("alice", kind)
        self.archive.add(vod.id, columns.pop("stage", "queued"), channel="alice", **columns)
        return vod

    def assert_untouched(self) -> None:
        assert not self.path.exists()
        with self.archive.connection() as connection:
            assert audit.find(connection) == []


@pytest.fixture
def desk(in_world: World, archive: Archive, tmp_path: Path) -> Desk:
    return Desk(in_world, archive, tmp_path)


def test_they_are_tried_installed_recorded_and_what_waited_goes_on(desk: Desk) -> None:
    vod = desk.add(waiting_for="login", problem="cookies", problem_code="login", next_try_at=NOW)
    done = desk.install()
    assert done.tried.startswith(f"VOD {vod.id}")
    assert (done.warnings, done.released) == ((), 1)
    assert "auth-token" in desk.path.read_text()
    assert desk.archive.get(vod.id).processing_error is None
    with desk.archive.connection() as connection:
        (line,) = audit.find(connection)
    assert (line.action, line.target) == ("auth import cookies", str(desk.path))
    assert "sandboxviewer" not in str(line)


def test_a_vod_for_subscribers_is_what_they_are_tried_on_first(desk: Desk) -> None:
    closed = desk.add(
        "subscriber-only", stage="failed", problem="closed", problem_code="subscriber_only"
    )
    desk.add()
    done = desk.install()
    assert done.tried == f"VOD {closed.id}"
    assert "Twitch takes the login" in done.warnings[0]
    closed.subscribers.add("77")
    again = desk.install(
        desk.world.twitch.cookies("77") + "\n#\n.twitch.tv\tTRUE\t/\tTRUE\t0\tx\ty"
    )
    assert again.tried.startswith(f"VOD {closed.id}, ")
    assert again.warnings == ()


def test_a_login_that_twitch_refuses_is_not_installed(desk: Desk) -> None:
    desk.add()
    text = desk.world.twitch.cookies()
    desk.world.twitch.viewers.clear()
    with pytest.raises(AuthExpired) as caught:
        desk.install(text)
    assert caught.value.code == "cookies_refused"
    desk.assert_untouched()


def test_while_twitch_is_away_nothing_is_changed(desk: Desk) -> None:
    desk.add()
    desk.world.faults.status(503, host="gql.twitch.tv", times=None)
    with pytest.raises(Transient):
        desk.install()
    desk.assert_untouched()


def test_a_vod_that_is_gone_says_nothing_about_them(desk: Desk) -> None:
    there = desk.add()
    gone = desk.add("deleted")
    assert desk.install().tried.startswith(f"VOD {there.id}")
    with pytest.raises(VodtenderError) as caught:
        desk.install(desk.world.twitch.cookies("78"), vod_id=gone.id)
    assert caught.value.code == "vod_missing"


def test_in_an_empty_archive_the_channel_is_asked_for_a_vod(desk: Desk) -> None:
    vod = desk.world.add_vod("alice")
    assert desk.install().tried.startswith(f"VOD {vod.id}")


def test_with_nothing_to_try_them_on_they_are_installed_and_it_is_said(desk: Desk) -> None:
    done = desk.install_untried()
    assert done.tried == ""
    assert "--vod ID" in done.warnings[0]
    assert desk.path.exists()


def test_a_rehearsal_tries_them_and_installs_nothing(desk: Desk) -> None:
    desk.add()
    done = desk.install(dry_run=True)
    assert done.tried
    assert done.change.changed
    desk.assert_untouched()


def test_the_same_cookies_again_are_nothing_to_do(desk: Desk) -> None:
    desk.add()
    desk.install()
    asked = desk.world.record.count()
    again = desk.install()
    assert not again.change.changed
    assert desk.world.record.count() == asked


@pytest.mark.parametrize("text", ["", "<html>", "# Netscape HTTP Cookie File\n"])
def test_what_logs_nobody_in_is_refused_before_anybody_is_asked(desk: Desk, text: str) -> None:
    with pytest.raises(UsageError):
        desk.install(text)
    assert desk.world.record.requests == []
    desk.assert_untouched()


def test_without_a_place_it_says_which_setting_is_missing(desk: Desk) -> None:
    with pytest.raises(SettingsError, match="YTDLP_COOKIES_PATH is not set") as caught:
        desk.install(settings=desk.settings(ytdlp_cookies_path=None))
    assert "twitch-cookies.txt" in caught.value.hint


def test_a_place_that_cannot_be_written_leaves_no_trace(desk: Desk) -> None:
    """As a mounted secret: /proc lets nobody, not even root, make files."""
    desk.add()
    with pytest.raises(SettingsError, match="Nothing was changed") as caught:
        desk.install(settings=desk.settings(ytdlp_cookies_path=Path("/proc/sys/twitch.txt")))
    assert caught.value.code == "cookies_not_writable"
    desk.assert_untouched()


def test_old_cookies_stay_old_when_they_are_installed(desk: Desk) -> None:
    done = desk.install_untried(exported_at=NOW - timedelta(days=40))
    assert "40 days old" in done.warnings[0]
    state = cookies_state(desk.settings(), NOW)
    assert state is not None
    assert "40 days old" in state.warnings[0]
    assert (state.problem, state.login_until) == (None, ENDS)
    assert state.age_seconds == timedelta(days=40).total_seconds()


def test_the_state_of_cookies(desk: Desk) -> None:
    assert cookies_state(desk.settings(ytdlp_cookies_path=None), NOW) is None
    missing = cookies_state(desk.settings(), NOW)
    assert missing is not None
    assert "No such file" in (missing.problem or "")
    desk.install_untried()
    ended = cookies_state(desk.settings(), ENDS + timedelta(days=1))
    assert ended is not None
    assert "ended at 2100-01-01" in (ended.problem or "")
    assert ended.hint
    desk.path.chmod(0o644)
    (warning,) = cookies_state(desk.settings(), NOW).warnings  # type: ignore[union-attr]
    assert f"chmod 600 {desk.path}" in warning
    os.truncate(desk.path, 0)
    emptied = cookies_state(desk.settings(), NOW)
    assert emptied is not None
    assert "auth-token" in (emptied.problem or "")
