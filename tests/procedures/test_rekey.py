"""Changing the key under which secrets are stored: all of them, once, whatever goes on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.pipeline import logins
from tests.pipeline.logins import KEY, Desk
from tests.pipeline.waiting import (
    WAITS_FOR_LOCK,
    Asking,
    kill,
    wait_for_backends,
)
from tests.sandbox.world import World
from vodtender.config.settings import Settings
from vodtender.errors import CredentialsMissing
from vodtender.model.tokens import ClientCredentials
from vodtender.pipeline.token_box import TokenBox
from vodtender.procedures.rekey import Rekeyed, rekey
from vodtender.store import audit, workers

NEW = bytes(32)
URI = "https://www.googleapis.com/upload/youtube/v3/videos?upload_id=AEnB2UpQ"


@pytest.fixture
def desk(in_world: World, database_dsn: str) -> Iterator[Desk]:
    with logins.desk(in_world, database_dsn) as opened:
        yield opened


def changed(desk: Desk, **more: Any) -> Settings:
    return replace(desk.settings, **{"encryption_key": NEW, "old_encryption_key": KEY, **more})


def change_key(desk: Desk, *, dry_run: bool = False, **more: Any) -> Rekeyed:
    ours = changed(desk, **more)
    return rekey(desk.database, ours, actor="me@here", reason=None, dry_run=dry_run)


def open_session(desk: Desk, vod_id: str = "123", key: bytes | None = KEY) -> None:
    """An upload that is under way."""
    sealed = TokenBox(replace(desk.settings, encryption_key=key)).seal_session(URI, vod_id, 1)
    with desk.database.transaction() as connection:
        connection.execute("INSERT INTO vods (twitch_vod_id) VALUES (%s)", (vod_id,))
        connection.execute(
            "INSERT INTO uploads (vod_id, part, parts, account, project, marker, session_uri,"
            " size_bytes, opened_at) SELECT id, 1, 1, 'default', '1', 'm', %s, 5, now()"
            " FROM vods WHERE twitch_vod_id = %s",
            (sealed, vod_id),
        )


def session(desk: Desk, vod_id: str = "123", **keys: Any) -> str:
    with desk.database.transaction() as connection:
        row = connection.execute(
            "SELECT session_uri FROM uploads JOIN vods ON vods.id = vod_id"
            " WHERE twitch_vod_id = %s",
            (vod_id,),
        ).fetchone()
    assert row is not None
    return TokenBox(replace(desk.settings, **keys)).open_session(row["session_uri"], vod_id, 1)


def only_new(desk: Desk, name: str = "default") -> str | None:
    """An account's refresh token, read with the new key alone."""
    box = TokenBox(changed(desk, old_encryption_key=None))
    return box.open(desk.row(name)).tokens.refresh_token


def test_logins_clients_and_upload_sessions_change_together(desk: Desk) -> None:
    desk.log_in()
    desk.log_in("second", client=ClientCredentials("9-x", "GOCSPX-own-secret"))
    open_session(desk)
    done = change_key(desk)
    assert [change.target for change in done.changes] == [
        "youtube account default",
        "youtube account second",
        "upload session of VOD 123, part 1",
    ]
    assert only_new(desk) == desk.world.account.refresh_token
    new = TokenBox(changed(desk, old_encryption_key=None)).open(desk.row("second"))
    assert new.client == ClientCredentials("9-x", "GOCSPX-own-secret")
    assert session(desk, encryption_key=NEW) == URI
    with pytest.raises(CredentialsMissing):
        desk.opened()
    with desk.database.transaction() as connection:
        (line,) = audit.find(connection, action="auth rekey")
    assert line.before["youtube account second"] == "OLD_ENCRYPTION_KEY"
    assert not any(change.changed for change in change_key(desk).changes)


@pytest.mark.parametrize("broken", ["login", "session"])
def test_one_that_cannot_be_opened_leaves_all_as_they_were(desk: Desk, broken: str) -> None:
    before = desk.log_in()
    open_session(desk)
    if broken == "login":
        desk.put(replace(before, account="zz"))  # moved by hand from another row
    else:
        open_session(desk, "124", key=bytes([7]) * 32)
    with pytest.raises(CredentialsMissing) as caught:
        change_key(desk)
    assert ("youtube/zz" if broken == "login" else "upload/124/1") in caught.value.message
    assert desk.row().access_token == before.access_token
    assert session(desk) == URI


def test_a_rehearsal_changes_nothing_and_finds_what_would_fail(desk: Desk) -> None:
    before = desk.log_in()
    assert change_key(desk, dry_run=True).changes[0].changed
    assert desk.row().access_token == before.access_token
    with pytest.raises(CredentialsMissing):
        change_key(desk, dry_run=True, old_encryption_key=None)


def test_encryption_is_turned_on_and_off(desk: Desk) -> None:
    desk.log_in()
    open_session(desk)
    change_key(desk, encryption_key=None)
    assert desk.row().access_token.startswith("plain:")
    assert session(desk, encryption_key=None) == URI
    change_key(desk, old_encryption_key=None)
    assert only_new(desk) == desk.world.account.refresh_token
    assert session(desk, encryption_key=NEW) == URI


def test_a_renewal_that_is_under_way_is_waited_for_and_its_new_token_kept(desk: Desk) -> None:
    desk.world.google.rotate_refresh_tokens = True
    desk.log_in()
    gate = desk.world.faults.hold_answer(host="oauth2.googleapis.com", path="/token")
    renewing = Asking(lambda: desk.daemon().tokens("youtube", "default"))
    gate.wait_reached()
    changing = Asking(lambda: change_key(desk))
    wait_for_backends(desk.dsn, WAITS_FOR_LOCK)
    gate.release()
    assert renewing.answer().access_token in desk.world.google.tokens
    assert changing.answer().changes[0].changed
    assert only_new(desk) == desk.world.account.refresh_token


def test_a_daemon_with_the_old_key_alone_is_told_and_harms_nothing(desk: Desk) -> None:
    desk.log_in()
    change_key(desk)
    with pytest.raises(CredentialsMissing) as caught:
        desk.daemon().tokens("youtube", "default")
    assert caught.value.code == "key_wrong"
    assert desk.daemon().renew_due() == 0
    assert desk.row().problem is None
    assert desk.questions == 0
    assert only_new(desk) == desk.world.account.refresh_token


def test_what_such_a_daemon_still_stores_is_taken_along_the_next_time(desk: Desk) -> None:
    desk.log_in()
    change_key(desk)
    open_session(desk)
    assert session(desk, encryption_key=NEW, old_encryption_key=KEY) == URI
    done = change_key(desk)
    assert [change.changed for change in done.changes] == [False, True]
    assert session(desk, encryption_key=NEW) == URI


def test_daemons_that_may_not_know_the_new_key_are_named(desk: Desk) -> None:
    with desk.database.transaction() as connection:
        for name in ("running", "gone"):
            workers.register(
                connection,
                worker_id=name,
                host="here",
                pid=1,
                version="1",
                directory_id="d",
                directory="/d",
                channels=[],
            )
        connection.execute(
            "UPDATE workers SET heartbeat_at = now() - interval '1 hour' WHERE worker_id = 'gone'"
        )
    assert change_key(desk).workers == ("running",)


def test_killed_in_the_middle_it_has_done_nothing(desk: Desk) -> None:
    before = desk.log_in()
    open_session(desk)
    with desk.database.transaction() as connection:
        connection.execute("SELECT FROM uploads FOR UPDATE")
        changing = Asking(lambda: change_key(desk))
        kill(desk.dsn, wait_for_backends(desk.dsn, WAITS_FOR_LOCK))
        assert isinstance(changing.answer(), Exception)
    assert desk.row().access_token == before.access_token
    assert session(desk) == URI
