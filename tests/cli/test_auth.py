"""`vodtender auth …`, as a person types it, with Google and Twitch in the sandbox."""

from __future__ import annotations

import base64
import json
import os
import pty
import re
import subprocess
import sys
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.archive import Archive
from tests.cli.commands import Ran, Type
from tests.pipeline.waiting import WAITS_FOR_LOCK, wait_for_backends
from tests.sandbox.accounts import SCOPE_UPLOAD, SCOPE_YOUTUBE
from tests.sandbox.world import World
from vodtender.clients import http

_ROOT = Path(__file__).parents[2]
KEY = base64.b64encode(bytes(range(32))).decode()
OTHER_KEY = base64.b64encode(bytes(32)).decode()
DIRECT = {"NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}


class Desk:
    """An operator's terminal: settings in the environment, a database, and the world outside."""

    def __init__(
        self,
        world: World,
        archive: Archive,
        type_in: Type,
        monkeypatch: pytest.MonkeyPatch,
        directory: Path,
    ) -> None:
        self.world = world
        self.archive = archive
        self.directory = directory
        self._type = type_in
        self._monkeypatch = monkeypatch
        self.set(**world.settings(), ENCRYPTION_KEY=KEY)

    def set(self, **environ: str | None) -> None:
        for name, value in environ.items():
            if value is None:
                self._monkeypatch.delenv(name, raising=False)
            else:
                self._monkeypatch.setenv(name, value)

    def type(self, *arguments: str) -> Ran:
        ran = self._type("auth", *arguments)
        self.assert_no_secret(ran.out + ran.err)
        assert "Traceback" not in ran.err
        return ran

    def file(self, content: str | dict[str, Any], name: str = "file.json") -> str:
        path = self.directory / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return str(path)

    def import_youtube(self, *more: str) -> Ran:
        return self.type("import", "youtube", self.file(self.world.google.credentials()), *more)

    def browse(self) -> list[str]:
        """From here on this machine has a browser, and a person who consents in it: in this
        very process. The pages that it opens."""
        opened: list[str] = []

        def visit(url: str) -> bool:
            opened.append(url)
            return http.session().get(url, headers={"Connection": "close"}).ok

        self.set(**DIRECT, BROWSER="the sandbox's")
        self._monkeypatch.setattr(webbrowser, "open", visit)
        return opened

    @contextmanager
    def in_a_shell(self, *arguments: str, **environ: str) -> Iterator[subprocess.Popen[str]]:
        """The command as a process of its own, off a terminal."""
        with subprocess.Popen(
            [sys.executable, "-m", "vodtender", "auth", *arguments],
            env={**os.environ, "PYTHONPATH": str(_ROOT), **environ},
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    # --- what must hold -----------------------------------------------------------------

    def rows(self) -> list[dict[str, Any]]:
        with self.archive.connection() as connection:
            return connection.execute(
                "SELECT * FROM oauth_tokens ORDER BY provider, account"
            ).fetchall()

    @property
    def row(self) -> dict[str, Any]:
        (row,) = self.rows()
        return row

    def audit(self) -> list[dict[str, Any]]:
        with self.archive.connection() as connection:
            return connection.execute("SELECT * FROM audit ORDER BY id").fetchall()

    def assert_no_secret(self, *texts: str) -> None:
        helix, google = self.world.helix, self.world.google
        secrets = {google.client_secret, helix.client_secret, KEY, OTHER_KEY}
        secrets |= {account.refresh_token for account in google.accounts.values()}
        secrets |= {*google.tokens, *helix.tokens, *helix.refresh_tokens, *google.clients.values()}
        for text in (*texts, str(self.audit())):
            assert not [secret for secret in secrets if secret in text]


@pytest.fixture
def desk(
    in_world: World,
    archive: Archive,
    type_in: Type,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Desk:
    in_world.add_channel("alice")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    return Desk(in_world, archive, type_in, monkeypatch, tmp_path)


def shown_address(process: subprocess.Popen[str]) -> str:
    """The page that the command shows on stderr."""
    assert process.stderr is not None
    for line in process.stderr:
        if line.strip().startswith("https://"):
            return line.strip()
    raise AssertionError("no address was shown")


def ended(process: subprocess.Popen[str]) -> Ran:
    out, err = process.communicate(timeout=30)
    return Ran(process.returncode, out, err)


# --- login in a browser -------------------------------------------------------------------


def test_a_login_in_the_browser_ends_at_a_page_of_ours(desk: Desk) -> None:
    desk.set(**DIRECT)
    with desk.in_a_shell("login", "youtube", "--json") as process:
        page = http.session().get(shown_address(process), headers={"Connection": "close"})
        ran = ended(process)
    assert ran.status == 0, ran.err
    assert page.url.startswith("http://127.0.0.1:")
    assert "close this page" in page.text
    (change,) = ran.document["changes"]
    assert change["target"] == "youtube account default"
    assert change["after"]["owner"] == "Default on YouTube"
    assert change["after"]["owner_id"] == desk.world.account.channel_id
    desk.assert_no_secret(ran.out, ran.err)
    assert desk.row["refresh_token"].startswith("v1:")
    assert [line["action"] for line in desk.audit()] == ["auth login"]


def test_the_browser_of_this_machine_is_opened(desk: Desk, tmp_path: Path) -> None:
    browser = tmp_path / "browser"
    browser.write_text(
        f"#!{sys.executable}\nimport sys, urllib.request\nurllib.request.urlopen(sys.argv[1])\n"
    )
    browser.chmod(0o700)
    desk.set(**DIRECT)
    with desk.in_a_shell("login", "youtube", "--reason", "new", BROWSER=str(browser)) as process:
        ran = ended(process)
    assert ran.status == 0, ran.err
    assert desk.row["owner_name"] == "Default on YouTube"
    assert desk.audit()[-1]["reason"] == "new"


def test_a_login_on_another_machines_browser_is_finished_by_pasting_its_address(
    desk: Desk,
) -> None:
    there, here = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "vodtender", "auth", "login", "youtube"],
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
        stdin=here,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            url = shown_address(process)
            consented = http.session().get(url, allow_redirects=False)
            os.write(there, b"https://www.example.com/?code=4/other&state=x\n")
            os.write(there, consented.headers["Location"].encode() + b"\n")
            ran = ended(process)
        finally:
            process.kill()
            os.close(there)
            os.close(here)
    assert ran.status == 0, ran.err
    assert "not the address" in ran.err
    assert desk.row["owner_name"] == "Default on YouTube"


def test_a_refused_consent_stores_nothing(desk: Desk) -> None:
    desk.browse()
    desk.world.google.refuse_consent = True
    ran = desk.type("login", "youtube")
    assert ran.status == 4
    assert "not permitted (access_denied)" in ran.err
    assert desk.rows() == []


def test_twitch_in_the_browser_where_the_redirect_is_set(desk: Desk) -> None:
    desk.browse()
    desk.set(TWITCH_REDIRECT_URI="http://127.0.0.1:0/auth/twitch/callback")
    ran = desk.type("login", "twitch")
    assert ran.status == 0, ran.err
    assert (desk.row["owner_name"], desk.row["scopes"]) == ("alice", "chat:read chat:edit")


# --- login by code ------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [("youtube", "--device"), ("twitch",)])
def test_a_login_by_code(desk: Desk, arguments: tuple[str, ...]) -> None:
    service = arguments[0]
    world = desk.world
    approve: dict[str, Callable[[str], None]] = {
        "youtube": world.google.approve_device,
        "twitch": world.helix.approve_device,
    }
    with desk.in_a_shell("login", *arguments) as process:
        assert process.stderr is not None
        lines = [process.stderr.readline() for _ in range(2)]
        assert "https://www." in lines[0]
        approve[service](lines[1].split()[-1])
        ran = ended(process)
    assert ran.status == 0, ran.err
    assert desk.row["provider"] == service
    assert desk.row["owner_name"] in ("Default on YouTube", "alice")


# --- what a login must be -----------------------------------------------------------------


def test_scopes_that_ask_for_too_little_are_named_before_anybody_is_asked(desk: Desk) -> None:
    desk.set(YT_SCOPES=SCOPE_UPLOAD)
    ran = desk.type("login", "youtube", "--device")
    assert ran.status == 2
    assert f"YT_SCOPES does not contain {SCOPE_YOUTUBE}" in ran.err
    assert not desk.world.record.matching(host="oauth2.googleapis.com")


def test_a_box_that_was_not_ticked_is_named_and_nothing_is_stored(desk: Desk) -> None:
    desk.browse()
    desk.world.google.withheld = frozenset({SCOPE_YOUTUBE})
    desk.set(YT_SCOPES=f"{SCOPE_YOUTUBE} {SCOPE_UPLOAD}")
    ran = desk.type("login", "youtube", "--account", "second")
    assert ran.status == 4
    assert f"lacks the permission {SCOPE_YOUTUBE}; nothing was stored" in ran.err
    assert "vodtender auth login youtube --account second" in ran.err
    assert desk.rows() == []


def test_without_a_client_a_login_says_what_to_set(desk: Desk) -> None:
    desk.set(YT_CLIENT_ID=None, YT_CLIENT_SECRET=None)
    ran = desk.type("login", "youtube")
    assert ran.status == 4
    assert "YT_CLIENT_ID and YT_CLIENT_SECRET are not set" in ran.err
    assert "--client FILE" in ran.err


def test_a_dry_run_says_what_would_be_asked_and_asks_nobody(desk: Desk) -> None:
    ran = desk.type("login", "youtube", "--dry-run")
    assert ran.status == 0
    assert SCOPE_YOUTUBE in ran.out
    assert "Nothing was changed" in ran.out
    assert desk.world.record.requests == []


def test_each_account_can_have_an_application_and_so_a_quota_of_its_own(desk: Desk) -> None:
    opened = desk.browse()
    desk.set(YT_CHANNEL_ACCOUNTS="alice=second")
    desk.world.google.clients["9876-second"] = "GOCSPX-second-secret"
    inside = {"client_id": "9876-second", "client_secret": "GOCSPX-second-secret"}
    client = desk.file({"installed": inside})
    for more in (("--client", client), ()):  # the second time it is known
        ran = desk.type("login", "youtube", "--account", "second", *more)
        assert ran.status == 0, ran.err
        assert "client_id=9876-second" in opened.pop()
    assert (desk.row["account"], desk.row["client_id"]) == ("second", "9876-second")
    assert desk.row["client_secret"].startswith("v1:")
    found = desk.type("status", "--json").document
    (account,) = found["accounts"]
    assert (account["project"], account["channels"]) == ("9876", ["alice"])
    assert found["ok"] is True


@pytest.mark.parametrize("name", ["", "a b", "-x", "x" * 65, "a/b"])
def test_a_name_that_is_none_is_refused(desk: Desk, name: str) -> None:
    ran = desk.type("login", "youtube", f"--account={name}")
    assert ran.status == 2
    assert "a name of letters, digits" in ran.err


# --- import -------------------------------------------------------------------------------


def test_an_import_is_proved_by_one_renewal_and_says_who_it_is(desk: Desk) -> None:
    ran = desk.import_youtube("--json")
    assert ran.status == 0
    (change,) = ran.document["changes"]
    assert change["after"]["owner"] == "Default on YouTube"
    assert desk.world.record.count(host="oauth2.googleapis.com", path="/token") == 1
    # The client in the file is the one of the settings, and so is not kept a second time.
    assert desk.row["client_id"] is None
    (line,) = desk.audit()
    assert (line["action"], line["target"]) == ("auth import", "youtube account default")


def test_an_import_brings_its_own_client(desk: Desk) -> None:
    desk.set(YT_CLIENT_ID=None, YT_CLIENT_SECRET=None)
    assert desk.import_youtube().status == 0
    assert desk.row["client_id"] == desk.world.google.client_id
    assert desk.type("refresh").status == 0


def test_an_import_from_standard_input(desk: Desk) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "vodtender", "auth", "import", "youtube", "-"],
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        text = json.dumps(desk.world.google.credentials())
        _, err = process.communicate(text, timeout=30)
    assert process.returncode == 0, err
    assert desk.row["owner_name"] == "Default on YouTube"


def test_an_imported_login_that_may_only_upload_is_refused_by_name(desk: Desk) -> None:
    account = desk.world.google.add_account("narrow", scopes=(SCOPE_UPLOAD,))
    ran = desk.type("import", "youtube", desk.file(desk.world.google.credentials(account)))
    assert ran.status == 4
    assert f"lacks the permission {SCOPE_YOUTUBE}" in ran.err
    assert desk.rows() == []


def test_a_google_account_without_a_channel_is_refused(desk: Desk) -> None:
    desk.world.account.has_channel = False
    ran = desk.import_youtube()
    assert ran.status == 4
    assert "no YouTube channel" in ran.err
    assert desk.rows() == []


def test_an_import_that_google_no_longer_accepts(desk: Desk) -> None:
    credentials = desk.world.google.credentials()
    desk.world.google.revoke(desk.world.account)
    ran = desk.type("import", "youtube", desk.file(credentials), "--json")
    assert ran.status == 4
    told = json.loads(ran.err)
    assert told["error"] == "auth_expired"
    assert "withdrawn" in told["message"]
    assert desk.rows() == []


def test_twitchs_login_is_imported_with_its_rotated_token(desk: Desk) -> None:
    alice = desk.world.catalog.channels["alice"]
    token = desk.world.helix.issue_refresh_token(alice, ("chat:read", "chat:edit"))
    assert desk.type("import", "twitch", desk.file({"refresh_token": token})).status == 0
    assert token not in desk.world.helix.refresh_tokens
    assert desk.row["owner_name"] == "alice"
    assert desk.type("refresh", "twitch").status == 0


def test_twitchs_login_lacks_what_the_settings_want(desk: Desk) -> None:
    alice = desk.world.catalog.channels["alice"]
    token = desk.world.helix.issue_refresh_token(alice, ("chat:read",))
    ran = desk.type("import", "twitch", desk.file({"refresh_token": token}))
    assert ran.status == 4
    assert "lacks the permission chat:edit" in ran.err
    assert "TWITCH_SCOPES" in ran.err


def test_another_persons_login_replaces_one_only_when_that_is_meant(desk: Desk) -> None:
    assert desk.import_youtube().status == 0
    other = desk.file(desk.world.google.credentials(desk.world.google.add_account("bob")))
    ran = desk.type("import", "youtube", other)
    assert ran.status == 6
    was, becomes = (rf"{name} on YouTube \(UC[\w-]+\)" for name in ("Default", "Bob"))
    assert re.search(f"is {was} so far, and would become {becomes}", ran.err)
    assert desk.row["owner_name"] == "Default on YouTube"
    assert desk.type("import", "youtube", other, "--yes").status == 0
    assert desk.row["owner_name"] == "Bob on YouTube"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("import", "youtube", "1//a-refresh-token-in-the-wrong-place"), "FILE cannot be read"),
        (("import", "youtube", "."), "FILE cannot be read"),
        (("import", "youtube", "binary"), "no text"),
        (("import", "youtube", "empty"), "not JSON"),
        (("import", "nothing", "empty"), "nothing"),
        (("import", "cookies", "empty", "--account", "x"), "belong to no account"),
        (("import", "youtube", "empty", "--vod", "1"), "only cookies"),
        (("login", "youtube", "--client", "empty"), "not JSON"),
        (("login", "google"), "google"),
    ],
)
def test_bad_input_is_told_and_never_repeated(
    desk: Desk, arguments: tuple[str, ...], why: str
) -> None:
    (desk.directory / "binary").write_bytes(b"\xff\xfe\x00")
    (desk.directory / "empty").write_text("")
    ran = desk.type(*arguments)
    assert ran.status == 2
    assert why in ran.err
    assert "a-refresh-token" not in ran.err


def test_a_closed_standard_input_is_told(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    ran = desk.type("import", "youtube", "-")
    assert (ran.status, "Standard input is closed" in ran.err) == (2, True)


def test_an_unset_key_is_warned_of(desk: Desk) -> None:
    assert "warning" not in desk.import_youtube().err
    desk.set(ENCRYPTION_KEY=None)
    assert "ENCRYPTION_KEY is not set" in desk.import_youtube().err
    assert desk.row["refresh_token"].startswith("plain:")
    assert "ENCRYPTION_KEY is not set" in desk.type("status").err
    desk.set(ENCRYPTION_KEY=KEY)
    assert "vodtender auth rekey" in desk.type("status").err


def test_what_waited_for_a_login_goes_on(desk: Desk) -> None:
    soon = datetime.now(UTC) + timedelta(minutes=10)
    waits = {"problem": "login", "problem_code": "login", "waiting_for": "login"}
    desk.archive.add("1", "downloaded", **waits, next_try_at=soon)
    desk.archive.add("2", "downloaded", waiting_for="quota", next_try_at=soon)
    ran = desk.import_youtube()
    assert "1 VOD that waited for a login: going on" in ran.err
    released = desk.archive.get("1")
    assert (released.next_try_at, released.processing_error) == (None, None)
    assert desk.archive.get("2").next_try_at is not None


# --- status -------------------------------------------------------------------------------


def test_status_with_nobody_logged_in_and_no_uploads_wanted_is_fine(desk: Desk) -> None:
    desk.set(YT_ENABLED="0")
    ran = desk.type("status")
    assert ran.status == 0
    assert "Nobody is logged in" in ran.out


def test_status_names_accounts_that_uploads_want_and_nobody_has_logged_in(desk: Desk) -> None:
    desk.set(YT_ENABLED="1", YT_CHANNEL_ACCOUNTS="alice=second")
    ran = desk.type("status", "--json")
    assert ran.status == 4
    (account,) = ran.document["accounts"]
    assert account["problem"] == "nobody has logged in"
    assert account["hint"] == "vodtender auth login youtube --account second"


def test_status_shows_who_what_and_until_when(desk: Desk) -> None:
    desk.import_youtube()
    ran = desk.type("status")
    assert ran.status == 0
    assert "Default on YouTube" in ran.out
    assert SCOPE_YOUTUBE in ran.out
    assert "encryption: on" in ran.out
    document = desk.type("status", "--json").document
    (account,) = document["accounts"]
    assert account["owner_id"] == desk.world.account.channel_id
    assert account["scopes"] == [SCOPE_YOUTUBE]
    assert account["missing_scopes"] == []
    assert account["expires_at"].endswith("Z")
    assert account["encrypted"] is True
    assert document["cookies"] is None


def test_status_with_a_dead_token_needs_a_person(desk: Desk) -> None:
    desk.import_youtube()
    desk.world.google.revoke(desk.world.account)
    assert desk.type("refresh").status == 4
    ran = desk.type("status")
    assert ran.status == 4
    assert "withdrawn" in ran.err
    assert "hint: vodtender auth login youtube" in ran.err


@pytest.mark.parametrize(
    ("key", "old", "code"), [(None, None, "not set"), (OTHER_KEY, None, "another ENCRYPTION_KEY")]
)
def test_status_with_a_key_that_does_not_fit(
    desk: Desk, key: str | None, old: str | None, code: str
) -> None:
    desk.import_youtube()
    desk.set(ENCRYPTION_KEY=key, OLD_ENCRYPTION_KEY=old)
    ran = desk.type("status")
    assert ran.status == 4
    assert code in ran.err


# --- refresh ------------------------------------------------------------------------------


def test_refresh_renews_what_google_had_refused_and_what_waited_goes_on(desk: Desk) -> None:
    desk.import_youtube()
    before = desk.row
    with desk.archive.connection() as connection:
        connection.execute("UPDATE oauth_tokens SET problem = 'withdrawn'")
    soon = datetime.now(UTC) + timedelta(minutes=10)
    desk.archive.add("1", "downloaded", problem="login", waiting_for="login", next_try_at=soon)
    ran = desk.type("refresh", "youtube", "--json", "--reason", "mended")
    assert ran.status == 0
    (change,) = ran.document["changes"]
    assert (change["before"]["problem"], change["after"]["problem"]) == ("withdrawn", None)
    assert desk.row["access_token"] != before["access_token"]
    assert desk.archive.get("1").next_try_at is None
    assert (desk.audit()[-1]["action"], desk.audit()[-1]["reason"]) == ("auth refresh", "mended")


def test_refresh_of_several_is_partly_done(desk: Desk) -> None:
    desk.import_youtube()
    bob = desk.world.google.add_account("bob")
    desk.type("import", "youtube", desk.file(desk.world.google.credentials(bob)), "--account=bob")
    desk.world.google.revoke(bob)
    ran = desk.type("refresh", "youtube")
    assert ran.status == 3
    assert "youtube account default" in ran.out
    assert "youtube account bob" in ran.err
    assert desk.type("refresh", "--account", "bob").status == 4
    assert desk.type("refresh", "--account", "default").status == 0


def test_two_processes_that_renew_at_once_ask_google_once(desk: Desk) -> None:
    desk.world.google.rotate_refresh_tokens = True
    desk.import_youtube()
    asked = desk.world.record.count(host="oauth2.googleapis.com", path="/token")
    gate = desk.world.faults.hold_answer(host="oauth2.googleapis.com", path="/token")
    with desk.in_a_shell("refresh") as first:
        gate.wait_reached(20)
        with desk.in_a_shell("refresh") as second:
            wait_for_backends(desk.archive.dsn, WAITS_FOR_LOCK)
            gate.release()
            assert [ended(first).status, ended(second).status] == [0, 0]
    assert desk.world.record.count(host="oauth2.googleapis.com", path="/token") == asked + 1
    assert [line["action"] for line in desk.audit()] == ["auth import", "auth refresh"]
    assert desk.type("refresh").status == 0


def test_refresh_with_nobody_there(desk: Desk) -> None:
    ran = desk.type("refresh", "twitch")
    assert ran.status == 7
    assert "hint: vodtender auth login twitch" in ran.err


def test_refresh_rehearsed_asks_nobody(desk: Desk) -> None:
    desk.import_youtube()
    before = desk.row
    assert desk.type("refresh", "--dry-run").status == 0
    assert desk.row == before
    assert desk.world.record.count(host="oauth2.googleapis.com", path="/token") == 1


# --- logout -------------------------------------------------------------------------------


def test_logout_asks_gives_back_and_forgets(desk: Desk) -> None:
    desk.import_youtube()
    assert desk.type("logout", "youtube").status == 6
    assert desk.type("logout", "youtube", "--dry-run").status == 0
    assert desk.row["account"] == "default"
    assert not desk.world.account.revoked
    assert desk.type("logout", "youtube", "--yes", "--reason", "moved").status == 0
    assert desk.rows() == []
    assert desk.world.account.revoked
    again = desk.type("logout", "youtube", "--yes")
    assert (again.status, again.out) == (0, "youtube account default: nobody is logged in\n")
    assert [line["action"] for line in desk.audit()] == ["auth import", "auth logout"]


def test_logout_while_google_is_away_forgets_and_says_what_is_left_to_do(desk: Desk) -> None:
    desk.import_youtube()
    desk.world.faults.status(503, host="oauth2.googleapis.com", path="/revoke")
    ran = desk.type("logout", "youtube", "--yes")
    assert ran.status == 3
    assert "https://myaccount.google.com/connections" in ran.err
    assert desk.rows() == []


def test_logout_leaves_alone_what_another_account_lives_on(desk: Desk) -> None:
    desk.import_youtube()
    desk.import_youtube("--account", "main")
    ran = desk.type("logout", "youtube", "--yes")
    assert ran.status == 0
    assert "account main of the same owner" in ran.out
    assert not desk.world.account.revoked
    assert desk.type("refresh").status == 0


def test_logout_of_twitch(desk: Desk) -> None:
    alice = desk.world.catalog.channels["alice"]
    token = desk.world.helix.issue_refresh_token(alice, ("chat:read", "chat:edit"))
    desk.type("import", "twitch", desk.file({"refresh_token": token}))
    assert desk.world.helix.tokens
    assert desk.type("logout", "twitch", "--yes").status == 0
    assert not desk.world.helix.tokens
    assert desk.rows() == []


# --- rekey --------------------------------------------------------------------------------


def test_rekey_changes_the_key_of_all_at_once(desk: Desk) -> None:
    desk.import_youtube()
    desk.set(ENCRYPTION_KEY=OTHER_KEY, OLD_ENCRYPTION_KEY=KEY)
    assert desk.type("status").status == 0  # both are read meanwhile
    before = desk.row
    assert desk.type("rekey", "--dry-run").status == 0
    assert desk.row == before
    ran = desk.type("rekey", "--json")
    assert ran.status == 0
    (change,) = ran.document["changes"]
    assert change["before"] == {"key": "OLD_ENCRYPTION_KEY"}
    assert change["after"] == {"key": "ENCRYPTION_KEY"}
    desk.set(OLD_ENCRYPTION_KEY=None)
    assert desk.type("status").status == 0
    assert desk.type("refresh").status == 0
    again = desk.type("rekey")
    assert (again.status, again.out) == (0, "youtube account default: nothing to do\n")
    assert [line["action"] for line in desk.audit()].count("auth rekey") == 1


def test_rekey_back_to_plain_asks(desk: Desk) -> None:
    desk.import_youtube()
    desk.set(ENCRYPTION_KEY=None, OLD_ENCRYPTION_KEY=KEY)
    ran = desk.type("rekey")
    assert ran.status == 6
    assert "Store all logins readable" in ran.err
    assert desk.row["access_token"].startswith("v1:")
    assert desk.type("rekey", "--yes").status == 0
    assert desk.row["access_token"].startswith("plain:")
    desk.set(OLD_ENCRYPTION_KEY=None)
    assert desk.type("rekey").status == 0  # nothing left to ask about


def test_rekey_with_nothing_stored(desk: Desk) -> None:
    ran = desk.type("rekey")
    assert ran.status == 0
    assert "nothing is stored" in ran.err


def test_rekey_without_the_key_changes_nothing_and_says_which_is_missing(desk: Desk) -> None:
    desk.import_youtube()
    before = desk.row
    desk.set(ENCRYPTION_KEY=OTHER_KEY)
    ran = desk.type("rekey")
    assert ran.status == 4
    assert "youtube/default/access_token" in ran.err
    assert "OLD_ENCRYPTION_KEY" in ran.err
    assert desk.row == before


# --- cookies ------------------------------------------------------------------------------


def test_cookies_without_a_place_for_them(desk: Desk) -> None:
    ran = desk.type("import", "cookies", desk.file(desk.world.twitch.cookies(), "cookies.txt"))
    assert ran.status == 2
    assert "YTDLP_COOKIES_PATH is not set" in ran.err


def test_cookies_are_tried_and_installed(desk: Desk) -> None:
    target = desk.directory / "run" / "twitch.txt"
    desk.set(YTDLP_COOKIES_PATH=str(target))
    vod = desk.world.add_vod("alice", title="Sunday")
    desk.archive.add(vod.id, channel="alice")
    source = desk.file(desk.world.twitch.cookies(), "cookies.txt")
    rehearsed = desk.type("import", "cookies", source, "--dry-run")
    assert rehearsed.status == 0
    assert not target.exists()
    ran = desk.type("import", "cookies", source)
    assert ran.status == 0
    assert f"tried on VOD {vod.id}, Sunday" in ran.err
    assert target.stat().st_mode & 0o777 == 0o600
    assert "sandboxviewer" not in ran.out + ran.err + str(desk.audit())
    assert f"cookies: {target}" in desk.type("status").out
    again = desk.type("import", "cookies", source)
    assert (again.status, again.out) == (0, f"{target}: these cookies are installed already\n")


# --- the database is away -----------------------------------------------------------------


def test_without_a_database_nobody_is_asked(desk: Desk) -> None:
    desk.set(DB_DSN="postgresql://vod@127.0.0.1:1/vod")
    ran = desk.type("login", "youtube", "--device")
    assert ran.status == 5
    assert not desk.world.record.requests
