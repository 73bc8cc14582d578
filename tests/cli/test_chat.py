"""`vodtender chat` as it is typed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.archive import Archive
from tests.chat import Recorded, at, message
from tests.cli.commands import Type
from tests.clients.ytdlp.fetches import wait_until
from tests.sandbox.world import World
from vodtender.model.chat import Gap, Mark
from vodtender.store import leases

_ROOT = Path(__file__).parents[2]


@pytest.fixture
def recorded(archive: Archive) -> Recorded:
    """A chat of two messages, one taken back, and a gap."""
    found = Recorded(archive, "2300000001", stream_id=None, mode="manual")
    found.store([message(1, "hällo"), message(2, "rude")], gaps=[Gap(at(10), at(13), "network")])
    found.store(marks=[Mark("k", at(9), "m2", None, None)])
    return found


def test_status_says_what_is_recorded_and_what_to_type(
    type_in: Type, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded.report()
    monkeypatch.setenv("TWITCH_CHANNELS", "alice,bob")
    monkeypatch.setenv("CHAT_AUTO_START", "1")
    shown = type_in("chat", "status")
    assert shown.status == 0
    assert "alice: recording 2300000001, connected since 2026-03-01 12:00 UTC" in shown.out
    assert "2 messages, 12 in the last minute, stored after 0.2 s" in shown.out
    assert "gaps: 1, 3 s in all; reconnections: 2" in shown.out
    assert "bob: waiting for a stream" in shown.out
    assert "Login: anonymous, which is enough to read" in shown.out
    assert "Next: vodtender run  # no daemon is running" in shown.out


def test_status_as_json_has_no_secret(
    type_in: Type, recorded: Recorded, monkeypatch: pytest.MonkeyPatch, in_world: World
) -> None:
    recorded.report()
    token = in_world.helix.issue(in_world.add_channel("alice"), ("chat:read",))
    monkeypatch.setenv("TWITCH_OAUTH_TOKEN", token)
    monkeypatch.setenv("TWITCH_CHANNELS", "alice")
    shown = type_in("chat", "status", "--json")
    assert token not in shown.out + shown.err
    document = shown.document
    assert document["mode"] == "off"
    assert document["channels"][0]["connected_since"] == "2026-03-01T12:00:05Z"
    assert document["credentials"] == {
        "source": "TWITCH_OAUTH_TOKEN",
        "username": "alice",
        "anonymous": False,
        "scopes": ["chat:read"],
        "problem": None,
        "warning": "the chat login of TWITCH_OAUTH_TOKEN lacks the scope chat:edit; to read,"
        " chat:read is enough",
    }
    assert document["waiting_for_vod"] == []


@pytest.mark.parametrize(
    ("form", "part"),
    [
        ("json", '"message": "hällo"'),
        ("csv", ",hällo,"),
        ("srt", "00:00:01,000 --> 00:00:07,000\nbob: hällo\n"),
        ("ass", "Dialogue: 0,0:00:01.00,0:00:07.00,Chat,"),
    ],
)
def test_every_format_goes_to_stdout_or_whole_into_a_file(
    type_in: Type, recorded: Recorded, tmp_path: Path, form: str, part: str
) -> None:
    shown = type_in("chat", "export", "2300000001", "--format", form)
    assert (shown.status, shown.err) == (0, "")
    assert part in shown.out
    written = type_in("chat", "export", "2300000001", "--format", form, "--output", "chat.out")
    assert (written.status, written.out) == (0, "")
    with (tmp_path / "chat.out").open(encoding="utf-8", newline="") as file:
        assert file.read() == shown.out
    assert [path.name for path in tmp_path.glob("*.part")] == []


def test_what_was_taken_back_can_be_left_out(type_in: Type, recorded: Recorded) -> None:
    whole = type_in("chat", "export", "https://www.twitch.tv/videos/2300000001").document
    clean = type_in("chat", "export", "2300000001", "--without-deleted").document
    assert [m["message"] for m in whole["messages"]] == ["hällo", "rude"]
    assert [m["message"] for m in clean["messages"]] == ["hällo"]


def test_what_cannot_be_exported_says_why(type_in: Type, recorded: Recorded) -> None:
    for arguments, status, word in (
        (("404",), 7, "No chat of VOD 404 was recorded"),
        (("2300000001", "--format", "xml"), 2, "json, csv, srt, ass"),
        (("2300000001", "--output", "no/such/directory"), 1, "cannot be written"),
        (("nonsense",), 2, "names no Twitch VOD"),
    ):
        shown = type_in("chat", "export", *arguments)
        assert shown.status == status, shown.err
        assert word in shown.err


def test_gaps_are_listed(type_in: Type, recorded: Recorded) -> None:
    table = type_in("chat", "gaps")
    assert table.lines[1].split() == [
        *("2300000001", "alice", "2026-03-01", "12:00:10", "2026-03-01", "12:00:13"),
        *("3", "s", "network"),
    ]
    (one,) = type_in("chat", "gaps", "2300000001", "--json").document["gaps"]
    assert (one["from_at"], one["why"]) == ("2026-03-01T12:00:10Z", "network")
    assert type_in("chat", "gaps", "404").status == 7


def test_record_refuses_what_somebody_else_records(type_in: Type, archive: Archive) -> None:
    with archive.connection() as connection:
        leases.take(connection, "chat alice", "worker-1", 60)
    shown = type_in("chat", "record", "--vod", "2300000001", "--channel", "alice")
    assert shown.status == 8
    assert "The chat of alice is being recorded already" in shown.err
    assert type_in("chat", "record", "--vod", "2300000001").status == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_record_goes_on_until_it_is_told_to_stop(
    world: World, archive: Archive, tmp_path: Path, number: signal.Signals
) -> None:
    world.add_channel("alice")
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
    command = [sys.executable, "-m", "vodtender", "chat", "record", "--vod", "v2300000001"]
    environ = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(_ROOT),
        "DB_DSN": archive.dsn,
        **world.env(),
        **world.settings(youtube=False),
    }
    with subprocess.Popen(
        [*command, "--start", start.isoformat()],
        env=environ,
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        world.chat.wait_joined("alice", timeout_seconds=30)
        said = [world.chat.say("alice", f"number {n}") for n in range(100)]
        wait_until(lambda: _count(archive) > 0, 20)
        process.send_signal(number)
        assert process.stderr is not None
        told = process.stderr.read()
        assert process.wait(20) == 0, told
    assert "100 messages; vodtender chat export 2300000001" in told
    with archive.connection() as connection:
        rows = connection.execute("SELECT * FROM chat_messages").fetchall()
        ended = connection.execute("SELECT ended_at FROM chat_recordings").fetchall()
    assert {row["message_id"] for row in rows} == {one.id for one in said}
    assert all(3600 <= row["relative_seconds"] < 3700 for row in rows)
    assert all(row["ended_at"] is not None for row in ended)


def _count(archive: Archive) -> int:
    with archive.connection() as connection:
        return len(connection.execute("SELECT FROM chat_messages").fetchall())


def test_the_screen_of_status_has_a_line_on_chat(
    type_in: Type, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded.report()
    monkeypatch.setenv("TWITCH_CHANNELS", "alice")
    shown = type_in("status")
    assert "Chat      alice: 2 messages, 12 a minute, 1 gap" in shown.out
    assert json.loads(type_in("status", "--json").out)["chat"]["recording"][0]["messages"] == 2
