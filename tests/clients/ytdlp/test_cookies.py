"""Cookies files: what is taken, what is refused and how it is said, how one is installed."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.clients.ytdlp.fetches import request
from tests.clients.ytdlp.warm import fetched_warm
from tests.sandbox.world import World
from vodtender.clients.ytdlp import cookies
from vodtender.errors import SettingsError, UsageError

NOW = datetime(2026, 11, 24, tzinfo=UTC)
LATER = int((NOW + timedelta(days=90)).timestamp())
LOGIN = f".twitch.tv\tTRUE\t/\tTRUE\t{LATER}\tauth-token\tsecretvalue"


def test_a_login_is_found_with_its_end() -> None:
    found = cookies.parse(f"# Netscape HTTP Cookie File\n\n{LOGIN}\n")
    assert (found.count, found.has_login) == (1, True)
    assert found.expires_at == NOW + timedelta(days=90)
    cookies.check_login(found, NOW)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_http_only_lines_are_cookies_and_not_comments(end: str) -> None:
    found = cookies.parse(f"\ufeff# HTTP Cookie File{end}#HttpOnly_{LOGIN}{end}")
    assert found.has_login
    assert f"#HttpOnly_{LOGIN}\n" in found.text


def test_cookies_of_other_sites_are_left_out() -> None:
    other = LOGIN.replace(".twitch.tv", ".example.org").replace("secretvalue", "foreign")
    evil = LOGIN.replace(".twitch.tv", "nottwitch.tv").replace("secretvalue", "foreign")
    found = cookies.parse(f"{other}\n{LOGIN}\n{evil}\n")
    assert found.count == 1
    assert "foreign" not in found.text


@pytest.mark.parametrize("expires", ["", "0", "99999999999999999999"])
def test_a_login_without_a_known_end_is_good(expires: str) -> None:
    found = cookies.parse(LOGIN.replace(str(LATER), expires))
    assert found.has_login
    assert found.expires_at is None
    cookies.check_login(found, NOW)


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        (f"{LOGIN}\n.twitch.tv TRUE / TRUE 1 a b", 2, "tabs turned into spaces"),
        (f"# x\n\n{LOGIN}\textra", 3, "8 fields"),
        (LOGIN.replace("TRUE", "yes"), 1, "TRUE or FALSE"),
        (LOGIN.replace(str(LATER), "soon"), 1, "time in seconds"),
        (LOGIN.replace(str(LATER), "nan"), 1, "time in seconds"),
        (LOGIN.replace(str(LATER), "-1"), 1, "time in seconds"),
        ('[{"name": "auth-token"}]', 1, "JSON"),
        ("<html>\n", 1, "fields"),
    ],
)
def test_the_line_that_is_wrong_is_named_and_its_secret_is_not(
    text: str, line: int, why: str
) -> None:
    with pytest.raises(UsageError, match=f"Line {line} .*{why}") as caught:
        cookies.parse(text)
    assert caught.value.code == "cookies_format"
    assert "secretvalue" not in caught.value.message


@pytest.mark.parametrize("text", ["", "# Netscape HTTP Cookie File\n", LOGIN.replace("auth", "x")])
def test_cookies_that_log_nobody_in_are_told(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        cookies.check_login(cookies.parse(text), NOW)
    assert caught.value.code == "cookies_no_login"


def test_a_login_that_has_ended_is_told_with_the_time() -> None:
    with pytest.raises(UsageError, match=r"2027-02-22 00:00 UTC") as caught:
        cookies.check_login(cookies.parse(LOGIN), NOW + timedelta(days=91))
    assert caught.value.code == "cookies_expired"


def test_no_representation_shows_the_secret() -> None:
    assert "secretvalue" not in repr(cookies.parse(LOGIN))


def test_installed_means_all_of_it_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "new" / "cookies.txt"
    cookies.install(cookies.parse(LOGIN), path, NOW)
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    cookies.install(cookies.parse(LOGIN.replace("secretvalue", "other")), path, NOW)
    assert path.stat().st_mode & 0o777 == 0o600
    assert "other" in path.read_text()
    assert [entry.name for entry in path.parent.iterdir()] == ["cookies.txt"]
    assert cookies.read(path).has_login


def test_what_cannot_be_installed_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "cookies.txt").mkdir()
    with pytest.raises(SettingsError, match="Nothing was changed") as caught:
        cookies.install(cookies.parse(LOGIN), tmp_path / "cookies.txt", NOW)
    assert caught.value.code == "cookies_not_writable"
    assert [entry.name for entry in tmp_path.iterdir()] == ["cookies.txt"]


def test_age_and_end_are_warned_of() -> None:
    good = cookies.parse(LOGIN)
    assert cookies.warnings(good, NOW, NOW + timedelta(days=30)) == ()
    (old,) = cookies.warnings(good, NOW, NOW + timedelta(days=31))
    assert "31 days old" in old
    later = NOW + timedelta(days=85)
    (ends,) = cookies.warnings(good, later, later)
    assert "2027-02-22 00:00 UTC" in ends


def test_an_installed_file_is_as_old_as_its_cookies(tmp_path: Path) -> None:
    cookies.install(cookies.parse(LOGIN), tmp_path / "cookies.txt", NOW - timedelta(days=40))
    written = (tmp_path / "cookies.txt").stat().st_mtime
    assert written == (NOW - timedelta(days=40)).timestamp()


def test_a_link_goes_on_pointing_to_the_installed_file(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "real")
    cookies.install(cookies.parse(LOGIN), link, NOW)
    assert link.is_symlink()
    assert cookies.read(tmp_path / "real").has_login


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_root_installs_belongs_to_whom_it_belonged_before(tmp_path: Path) -> None:
    path = tmp_path / "new" / "cookies.txt"
    path.parent.mkdir()
    os.chown(path.parent, 4711, 4711)
    for _ in range(2):
        cookies.install(cookies.parse(LOGIN), path, NOW)
        assert (path.stat().st_uid, path.stat().st_mode & 0o777) == (4711, 0o600)
        os.chown(path.parent, 0, 0)


def test_new_cookies_count_for_the_next_fetch(in_world: World, tmp_path: Path) -> None:
    path = tmp_path / "cookies.txt"
    vod = in_world.add_vod("alice", "subscriber-only", subscribers={"88"})
    cookies.install(cookies.parse(in_world.twitch.cookies("88")), path, NOW)
    assert fetched_warm(request(vod, tmp_path, cookies_path=path)).segments == 4
