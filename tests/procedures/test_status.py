"""The status document: what programs read, and from which the screen is drawn."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.archive import DIRECTORY, Archive
from vodtender.config import redaction
from vodtender.config.settings import Settings
from vodtender.errors import DatabaseUnavailable
from vodtender.model.breaker import Breaker, State
from vodtender.model.quota import next_reset, pacific_day
from vodtender.procedures import status
from vodtender.store import breaker, channels, claims, pause, tokens, uploads, workers
from vodtender.store.claims import Progress
from vodtender.store.tokens import StoredTokens

_SETTINGS = Settings(twitch_channel="alice", db_dsn="postgresql://vod@localhost/vod")
_AWAY = DatabaseUnavailable("The database cannot be reached.", hint="start it")


def document(archive: Archive, **settings: Any) -> dict[str, Any]:
    return status.document(archive.database, replace(_SETTINGS, **settings))


def _log_in(archive: Archive, account: str = "default", **more: Any) -> None:
    row = StoredTokens(
        provider="youtube",
        account=account,
        access_token="plain:a",
        refresh_token=None,
        client_secret=None,
        client_id=more.pop("client_id", "123-abc.apps.example"),
        expires_at=None,
        scopes="",
        owner_id=None,
        owner_name=more.pop("owner_name", None),
        problem=more.pop("problem", None),
    )
    with archive.connection() as connection:
        tokens.put(connection, row)


def _spend(archive: Archive, project: str, units: int, attempts: int = 1) -> None:
    now = datetime.now(UTC)
    with archive.connection() as connection:
        uploads.add_units(connection, project, pacific_day(now), units)
        for _ in range(attempts):
            uploads.record_attempt(
                connection,
                now=now,
                quota_day=pacific_day(now),
                project=project,
                account="default",
                twitch_vod_id="1",
                part=1,
                backfill=False,
            )


def _worker(archive: Archive, name: str = "w1", **more: Any) -> None:
    with archive.connection() as connection:
        workers.register(
            connection,
            worker_id=name,
            host="host",
            pid=7,
            version="1",
            directory_id=DIRECTORY,
            directory="/data",
            channels=[],
        )
        for column, value in more.items():
            connection.execute(
                f"UPDATE workers SET {column} = %s WHERE worker_id = %s", (value, name)
            )


def _open_breaker(archive: Archive, channel: str, state: State, failures: int = 5) -> None:
    until = datetime(2099, 1, 1, tzinfo=UTC)
    with archive.connection() as connection:
        found = Breaker(channel, state, failures, until)
        breaker.put(connection, found)


def _commands(found: dict[str, Any]) -> list[str]:
    return [step["command"] for step in found["next"]]


# --- its form ---------------------------------------------------------------------------


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, entry in value.items():
            yield from _leaves(entry, f"{path}.{name}")
    elif isinstance(value, list):
        for entry in value:
            yield from _leaves(entry, f"{path}[]")
    else:
        yield path, value


def _names(value: Any) -> Any:
    """The keys at every level; lists may be empty in one document and not in the other."""
    if isinstance(value, dict):
        return {name: _names(entry) for name, entry in value.items() if name != "states"}
    return "list" if isinstance(value, list) else "value"


def _busy(archive: Archive) -> None:
    """Something of everything."""
    soon = datetime.now(UTC) + timedelta(hours=3)
    archive.add("1", channel="alice", vanishes_at=soon)
    archive.add("2", channel="alice", stage="queued")
    claim = archive.claim("1")
    with archive.connection() as connection:
        claims.renew(connection, claim, 60, Progress("download", "segments", 10, 100, 5.0))
        pause.begin(connection, "maintenance")
        channels.watch(connection, ["alice"])
    archive.add("3", "failed", problem="gone", problem_code="vod_missing")
    _open_breaker(archive, "alice", "open")
    _log_in(archive, owner_name="Alice")
    archive.hold_account()
    _spend(archive, "123", 1600)
    _worker(archive, disk_free_bytes=5, disk_total_bytes=10)


def test_the_document_is_the_same_whether_or_not_there_is_a_database(archive: Archive) -> None:
    away = status.unavailable(_AWAY, _SETTINGS)
    assert _names(document(archive)) == _names(away)
    _busy(archive)
    assert _names(document(archive)) == _names(away)


def test_it_has_what_the_contract_names(archive: Archive) -> None:
    wanted = {
        *("queue_depth", "upload_queue_depth", "paused", "pause_reason", "circuit_state"),
        *("circuit_breaker", "channels", "downloads", "uploads", "errors", "quota", "workers"),
        *("disk", "database", "backup", "chat"),
    }
    found = document(archive)
    assert wanted <= set(found)
    assert set(found["circuit_breaker"]) == {"state", "failures", "open_until"}
    assert {"used", "limit", "resets_at"} <= set(found["quota"])


def test_times_are_utc_ids_are_strings_and_lists_are_never_null(archive: Archive) -> None:
    _busy(archive)
    found = document(archive)
    json.dumps(found)
    for path, value in _leaves(found):
        if path.endswith(("_at", "_until", "_since", ".at")) and value is not None:
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", value), path
        if path.endswith("_id"):
            assert isinstance(value, str), path
    for name in ("channels", "downloads", "uploads", "errors", "accounts", "workers", "next"):
        assert isinstance(found[name], list), name
        assert isinstance(status.unavailable(_AWAY, _SETTINGS)[name], list), name


def test_without_a_database_it_says_so_and_invents_nothing() -> None:
    found = status.unavailable(_AWAY, _SETTINGS)
    assert found["database"]["ok"] is False
    assert found["database"]["error"] == _AWAY.message
    assert (found["queue_depth"], found["states"], found["paused"]) == (0, {}, False)
    assert found["next"] == [{"why": _AWAY.message, "command": "start it"}]


def test_no_secret_is_in_it(archive: Archive) -> None:
    redaction.hide("hunter2-hunter2")
    archive.add("1", "failed", problem="the server said hunter2-hunter2")
    _log_in(archive, problem="it was hunter2-hunter2")
    with archive.connection() as connection:
        pause.begin(connection, "new password hunter2-hunter2")
        channels.watch(connection, ["alice"])
        channels.note_problem(connection, "alice", "hunter2-hunter2 is refused")
        until = datetime(2099, 1, 1, tzinfo=UTC)
        uploads.hold_account(connection, "default", until, "hunter2-hunter2", "quota")
    assert "hunter2" not in json.dumps(document(archive))


# --- the queue --------------------------------------------------------------------------


def test_the_queue_is_what_can_be_processed_neither_live_nor_failed_for_good(
    archive: Archive,
) -> None:
    for number, stage in enumerate(
        ("live", "queued", "queued", "failed", "skipped", "published", "verifying"), 1
    ):
        archive.add(str(number), stage)
    archive.set("3", problem="again", problem_code="http")
    archive.add("8")
    archive.claim("8")
    found = document(archive)
    assert found["queue_depth"] == 3
    assert found["states"] == {
        **dict.fromkeys(("live", "queued", "retrying", "failed", "skipped"), 1),
        **dict.fromkeys(("published", "verifying", "downloading"), 1),
    }


def test_the_upload_queue_is_what_is_on_disk_and_not_yet_on_youtube(archive: Archive) -> None:
    for number, stage in enumerate(
        ("downloaded", "downloaded", "uploading", "finalizing", "verifying", "published"), 1
    ):
        archive.add(str(number), stage)
    archive.set("2", problem="quota", problem_code="quota")
    archive.add("7", "downloaded", skip_upload=True)
    found = document(archive)
    assert found["upload_queue_depth"] == 4
    assert (found["states"]["held"], found["states"]["kept"]) == (1, 1)


def test_channels_are_counted_each_for_itself(archive: Archive) -> None:
    archive.add("1", channel="alice")
    archive.add("2", channel="bob")
    archive.add("3", "failed", channel="bob")
    by_name = {one["channel"]: one for one in document(archive)["channels"]}
    assert by_name["alice"]["states"] == {"queued": 1}
    assert by_name["bob"]["states"] == {"queued": 1, "failed": 1}
    assert (by_name["alice"]["watched"], by_name["bob"]["watched"]) == (True, False)


def test_the_channels_of_a_living_daemon_are_watched_whatever_is_set_here(archive: Archive) -> None:
    _worker(archive, channels=["bob"])
    with archive.connection() as connection:
        for name in ("bob", "carol"):
            channels.watch(connection, [name])
            channels.note_problem(connection, name, "Twitch cannot be reached")
    found = document(archive, twitch_channel=None)
    assert [one["channel"] for one in found["channels"] if one["watched"]] == ["bob"]
    assert [step["why"] for step in found["next"]] == ["listing bob: Twitch cannot be reached"]
    with archive.connection() as connection:
        connection.execute("UPDATE workers SET heartbeat_at = now() - interval '1 hour'")
    assert _commands(document(archive, twitch_channel=None)) == [
        "TWITCH_CHANNEL=name vodtender run"
    ]


def test_what_moves_is_told_with_its_speed_and_the_time_that_is_left(archive: Archive) -> None:
    archive.add("1", title="coming")
    archive.add("2", "downloaded", title="going")
    for number, direction in (("1", "download"), ("2", "upload")):
        claim = archive.claim(number)
        with archive.connection() as connection:
            claims.renew(connection, claim, 60, Progress(direction, "sending", 250, 1000, 50.0))
    found = document(archive)
    (down,), (up,) = found["downloads"], found["uploads"]
    assert (down["vod_id"], down["title"]) == ("1", "coming")
    assert (up["vod_id"], up["worker_id"]) == ("2", "worker-1")
    for one in (down, up):
        assert (one["done_bytes"], one["total_bytes"]) == (250, 1000)
        assert (one["bytes_per_second"], one["left_seconds"]) == (50.0, 15.0)


def test_nobody_knows_the_time_that_is_left_without_a_size_or_a_speed(archive: Archive) -> None:
    archive.add("1")
    claim = archive.claim("1")
    for total, speed in ((None, 5.0), (1000, None), (1000, 0.0)):
        with archive.connection() as connection:
            claims.renew(connection, claim, 60, Progress("download", "segments", 1, total, speed))
        (one,) = document(archive)["downloads"]
        assert one["left_seconds"] is None


def test_what_a_worker_has_lost_moves_no_more(archive: Archive) -> None:
    archive.add("1")
    claim = archive.claim("1")
    with archive.connection() as connection:
        claims.renew(connection, claim, 60, Progress("download", "segments", 1, 2, 3.0))
        claims.release_all(connection, "worker-1")
    assert document(archive)["downloads"] == []


def test_the_latest_errors_come_first_and_skipped_vods_are_none(archive: Archive) -> None:
    for number in range(1, 13):
        archive.add(str(number), "failed", problem=f"broken {number}", problem_code="http")
    archive.add("99", "skipped", problem="skipped by an operator")
    found = document(archive)["errors"]
    assert [one["vod_id"] for one in found] == [str(number) for number in range(12, 2, -1)]
    assert (found[0]["error"], found[0]["code"], found[0]["state"]) == (
        "broken 12",
        "http",
        "failed",
    )


def test_it_says_what_vanishes_within_a_day_and_is_not_on_disk(archive: Archive) -> None:
    now = datetime.now(UTC)
    archive.add("1", vanishes_at=now + timedelta(hours=20))
    archive.add("2", vanishes_at=now + timedelta(hours=2))
    archive.add("3", vanishes_at=now + timedelta(hours=30))
    archive.add("4", vanishes_at=now - timedelta(hours=1))
    archive.add("5", "downloaded", vanishes_at=now + timedelta(hours=1))
    archive.add("6", "failed", vanishes_at=now + timedelta(hours=1))
    found = document(archive)["vanishing"]
    assert found["count"] == 2
    assert [one["vod_id"] for one in found["vods"]] == ["2", "1"]


# --- what holds it up -------------------------------------------------------------------


def test_a_pause_is_told_with_its_reason(archive: Archive) -> None:
    with archive.connection() as connection:
        pause.begin(connection, "disk is swapped")
    found = document(archive)
    assert (found["paused"], found["pause_reason"]) == (True, "disk is swapped")
    assert "vodtender resume" in _commands(found)


def test_the_worst_breaker_speaks_for_all(archive: Archive) -> None:
    _open_breaker(archive, "alice", "half-open", failures=9)
    _open_breaker(archive, "bob", "open", failures=5)
    found = document(archive)
    assert found["circuit_state"] == "open"
    assert found["circuit_breaker"] == {
        "state": "open",
        "failures": 5,
        "open_until": "2099-01-01T00:00:00Z",
    }
    states = {one["channel"]: one["circuit_breaker"]["state"] for one in found["channels"]}
    assert states == {"alice": "half-open", "bob": "open"}
    assert "vodtender breaker reset --channel bob" in _commands(found)


def test_without_a_breaker_it_is_closed(archive: Archive) -> None:
    found = document(archive)
    assert found["circuit_state"] == "closed"
    assert found["circuit_breaker"] == {"state": "closed", "failures": 0, "open_until": None}


def test_the_quota_is_that_of_the_project_with_the_least_left(archive: Archive) -> None:
    _log_in(archive, "default", client_id="123-a.apps.example")
    _log_in(archive, "second", client_id="123-b.apps.example")
    _log_in(archive, "third", client_id="456-a.apps.example")
    _spend(archive, "123", 1600)
    _spend(archive, "456", 4800, attempts=3)
    found = document(archive, yt_quota_units_per_day=9000, upload_daily_limit=4)["quota"]
    assert (found["used"], found["limit"]) == (4800, 9000)
    assert (found["uploads"], found["uploads_limit"]) == (3, 4)
    assert found["resets_at"] == f"{next_reset(datetime.now(UTC)):%Y-%m-%dT%H:%M:%SZ}"
    by_project = {one["project"]: one for one in found["projects"]}
    assert by_project["123"]["accounts"] == ["default", "second"]
    assert by_project["123"]["used"] == 1600


def test_accounts_tell_who_they_are_and_what_is_wrong(archive: Archive) -> None:
    _log_in(archive, "default", owner_name="Alice")
    _log_in(archive, "second", problem="access was withdrawn")
    archive.hold_account("default")
    first, second = document(archive)["accounts"]
    assert (first["owner"], first["problem"]) == ("Alice", None)
    assert (first["held_until"], first["hold_reason"]) == ("2099-01-01T00:00:00Z", "the quota")
    assert (second["problem"], second["held_until"]) == ("access was withdrawn", None)
    assert "vodtender auth login youtube --account second" in _commands(document(archive))


def test_youtube_credentials_without_a_login_are_told(archive: Archive) -> None:
    _worker(archive)
    archive.add("1", "downloaded", channel="alice")
    application = {"yt_client_id": "123-abc.apps.example", "yt_client_secret": "secret"}
    assert _commands(document(archive, **application)) == ["vodtender auth login youtube"]
    assert _commands(document(archive, **application, yt_enabled=False)) == []


def test_what_an_account_waits_for_is_to_be_mended_unless_it_is_the_quota(
    archive: Archive,
) -> None:
    _worker(archive)
    _log_in(archive, "default")
    archive.hold_account("default")
    assert document(archive)["next"] == []
    archive.hold_account("default", "the API is not enabled", "login")
    (step,) = document(archive)["next"]
    assert step["why"] == "youtube account default: the API is not enabled"
    assert step["command"] == "vodtender vods --state held"


def test_an_account_that_is_wanted_and_not_there_is_a_problem(archive: Archive) -> None:
    assert document(archive)["accounts"] == []
    found = document(
        archive, yt_enabled=True, twitch_channels=("bob",), yt_channel_accounts=(("bob", "bobs"),)
    )
    assert [(one["account"], one["problem"]) for one in found["accounts"]] == [
        ("default", "nobody has logged in"),
        ("bobs", "nobody has logged in"),
    ]
    assert "vodtender auth login youtube" in _commands(found)


def test_a_worker_that_is_not_heard_of_is_not_alive(archive: Archive) -> None:
    _worker(archive, "w1")
    _worker(archive, "w2", heartbeat_at=datetime.now(UTC) - timedelta(minutes=3))
    found = document(archive)["workers"]
    assert {one["worker_id"]: one["alive"] for one in found} == {"w1": True, "w2": False}


def test_the_disk_is_that_of_this_machine_if_data_dir_is_there(
    archive: Archive, tmp_path: Path
) -> None:
    _worker(archive, disk_free_bytes=5, disk_total_bytes=10)
    found = document(archive, data_dir=tmp_path)["disk"]
    assert found["path"] == str(tmp_path)
    assert found["total_bytes"] > found["free_bytes"] > 10
    elsewhere = document(archive, data_dir=tmp_path / "none")["disk"]
    assert (elsewhere["path"], elsewhere["free_bytes"]) == ("/data", 5)
    assert not (tmp_path / "none").exists()


# --- what to type next ------------------------------------------------------------------


def test_nothing_is_to_be_typed_when_all_is_well(archive: Archive) -> None:
    _worker(archive)
    archive.add("1", channel="alice")
    archive.add("2", "published", channel="alice")
    assert document(archive)["next"] == []


@pytest.mark.parametrize(
    ("channel", "command"),
    [("alice", "vodtender run"), (None, "TWITCH_CHANNEL=name vodtender run")],
)
def test_without_a_daemon_it_says_how_to_start_one(
    archive: Archive, channel: str | None, command: str
) -> None:
    assert _commands(document(archive, twitch_channel=channel)) == [command]


def test_it_names_the_command_for_each_trouble(archive: Archive) -> None:
    now = datetime.now(UTC)
    _worker(archive, downloads_paused="the disk is full", draining=True)
    archive.add("1", vanishes_at=now + timedelta(hours=2))
    archive.add("2", "finalizing", problem="uncertain", problem_code="uncertain")
    archive.add("3", "failed", problem="gone")
    with archive.connection() as connection:
        channels.watch(connection, ["alice"])
        channels.note_problem(connection, "alice", "Twitch has no such channel")
    assert _commands(document(archive)) == [
        "vodtender run",
        "vodtender prune --dry-run",
        "vodtender config show",
        "vodtender priority 1 100",
        "vodtender resolve 2 --uploaded VIDEO | --not-uploaded",
        "vodtender vods --state failed",
    ]
