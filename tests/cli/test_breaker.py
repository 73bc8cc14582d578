"""`vodtender breaker`, `pause` and `resume`, as they are typed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.archive import Archive
from tests.cli.commands import Type
from vodtender.model.breaker import BreakerPolicy
from vodtender.model.settlement import Signal
from vodtender.store import breaker as store

CHANGING = [
    ("breaker", "reset"),
    ("breaker", "trip"),
    ("breaker", "trip", "--for", "1h"),
    ("pause",),
    ("resume",),
]


@pytest.fixture
def halted(archive: Archive) -> Archive:
    """The breaker of channel c1 is open, and everything is paused."""
    archive.add("1")
    archive.add("2")
    with archive.connection() as connection:
        store.learn(
            connection,
            "c1",
            Signal.FAILURE,
            direction="download",
            vod_id=archive.get("1").id,
            policy=BreakerPolicy(1, timedelta(hours=1)),
        )
        connection.execute("INSERT INTO kv (key, value) VALUES ('paused', 'a reason')")
    return archive


def kv(archive: Archive) -> dict[str, str]:
    with archive.connection() as connection:
        found = connection.execute("SELECT channel, key, value FROM kv").fetchall()
    return {f"{row['channel']} {row['key']}".strip(): row["value"] for row in found}


def test_status_has_a_line_per_channel_and_says_what_to_type(
    halted: Archive, type_in: Type
) -> None:
    ran = type_in("breaker", "status")
    assert ran.status == 0
    assert [line.split()[:3] for line in ran.lines[1:]] == [
        ["c1", "open", "1"],
        ["c2", "closed", "0"],
    ]
    assert "vodtender breaker reset" in ran.err


def test_status_as_json(halted: Archive, type_in: Type) -> None:
    ran = type_in("breaker", "status", "--json")
    document = ran.document
    assert (ran.status, ran.err, document["circuit_state"]) == (0, "", "open")
    until = document["channels"][0]["circuit_breaker"].pop("open_until")
    left = datetime.fromisoformat(until) - datetime.now(UTC)
    assert timedelta(minutes=58) < left < timedelta(hours=1)
    assert document["channels"] == [
        {
            "channel": "c1",
            "circuit_breaker": {
                "state": "open",
                "failures": 1,
                "direction": "download",
                "failed_vods": ["1"],
                "cause": None,
            },
        },
        {
            "channel": "c2",
            "circuit_breaker": {
                "state": "closed",
                "failures": 0,
                "open_until": None,
                "direction": None,
                "failed_vods": [],
                "cause": None,
            },
        },
    ]


def test_status_of_an_empty_archive(archive: Archive, type_in: Type) -> None:
    assert type_in("breaker", "status").out == "No channel is known yet.\n"
    assert type_in("breaker", "status", "--json").document == {
        "circuit_state": "closed",
        "channels": [],
    }


def test_channels_of_the_settings_are_there_before_their_first_vod(
    archive: Archive, type_in: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWITCH_CHANNEL", "somebody")
    ran = type_in("breaker", "trip", "--channel", "somebody", "--reason", "they asked us to wait")
    assert ran.status == 0
    assert ran.out.startswith("somebody: state closed -> open, open_until none -> 20")
    assert "they asked us to wait" in type_in("breaker", "status").out


def test_reset_shows_before_and_after(halted: Archive, type_in: Type) -> None:
    ran = type_in("breaker", "reset")
    assert ran.lines[0].startswith("c1: state open -> closed, failures 1 -> 0, open_until 20")
    assert ran.lines[1] == "c2: closed already"
    assert kv(halted) == {"paused": "a reason"}


def test_only_the_named_channel_is_changed(halted: Archive, type_in: Type) -> None:
    assert type_in("breaker", "trip", "--channel", "c2").status == 0
    assert type_in("breaker", "reset", "--channel", "c1").status == 0
    assert {k: v for k, v in kv(halted).items() if k.endswith("state")} == {
        "c2 circuit_state": "open"
    }


@pytest.mark.parametrize("verb", ["status", "reset", "trip"])
def test_an_unknown_channel_exits_with_7(halted: Archive, type_in: Type, verb: str) -> None:
    ran = type_in("breaker", verb, "--channel", "nobody")
    assert (ran.status, ran.out) == (7, "")
    assert "No channel 'nobody' is known" in ran.err


@pytest.mark.parametrize("rest", ["soon", "-5m", "", "1x"])
def test_a_rest_that_is_none_exits_with_2(halted: Archive, type_in: Type, rest: str) -> None:
    ran = type_in("breaker", "trip", "--for", rest)
    assert ran.status == 2
    assert "'--for'" in ran.err
    assert "90s, 5m" in ran.err


@pytest.mark.parametrize("command", CHANGING, ids=" ".join)
def test_a_dry_run_says_what_would_be_and_changes_nothing(
    halted: Archive, type_in: Type, command: tuple[str, ...]
) -> None:
    before = kv(halted)
    ran = type_in(*command, "--dry-run", "--reason", "another one")
    assert (ran.status, ran.err) == (0, "")
    assert "would change: " in ran.out
    assert ran.lines[-1] == "Nothing was changed (--dry-run)."
    assert kv(halted) == before
    assert halted.audit() == []


@pytest.mark.parametrize("command", [c for c in CHANGING if "--for" not in c], ids=" ".join)
def test_the_second_time_there_is_nothing_to_do_and_nothing_is_noted(
    halted: Archive, type_in: Type, command: tuple[str, ...]
) -> None:
    first = type_in(*command, "--json", "--reason", "another one")
    assert first.status == 0
    assert any(change["changed"] for change in first.document["changes"])
    noted = halted.audit()
    assert {(line.action, line.reason) for line in noted} == {(" ".join(command), "another one")}
    before = kv(halted)
    second = type_in(*command, "--json", "--reason", "another one")
    assert second.status == 0
    assert not any(change["changed"] for change in second.document["changes"])
    assert halted.audit() == noted
    assert kv(halted) == before


def test_pause_and_resume_show_before_and_after(archive: Archive, type_in: Type) -> None:
    typed = [
        (("pause",), "processing: paused no -> yes\n"),
        (("pause", "--reason", "new disk"), "processing: reason none -> new disk\n"),
        (("pause",), "processing: paused already\n"),
        (("resume",), "processing: paused yes -> no, reason new disk -> none\n"),
        (("resume",), "processing: not paused\n"),
    ]
    assert [type_in(*words).out for words, _ in typed] == [said for _, said in typed]


def test_a_reason_cannot_move_the_cursor_of_whoever_reads_it(
    archive: Archive, type_in: Type
) -> None:
    type_in("pause", "--reason", "x\x1b[2J\ny")
    for command in (("pause", "--reason", "z"), ("audit",)):
        said = type_in(*command).out
        assert "x\\x1b[2J\\ny" in said
        assert "\x1b" not in said
