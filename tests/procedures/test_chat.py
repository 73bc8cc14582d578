"""How the recording of chat stands, in what order advice comes, and what an export holds."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.archive import Archive
from tests.chat import Recorded, at, message
from vodtender.config.load import load
from vodtender.config.settings import Settings
from vodtender.errors import NotFound
from vodtender.model.chat import Gap, Mark
from vodtender.procedures import chat, status

AUTO = {"TWITCH_CHANNELS": "alice", "CHAT_AUTO_START": "1"}


def _settings(**more: str) -> Settings:
    return load({**AUTO, **more})


def test_a_recorder_is_shown_with_what_it_last_said(archive: Archive) -> None:
    recorded = Recorded(archive)
    recorded.store([message(1), message(2)], gaps=[Gap(at(10), at(13), "network")])
    recorded.report()
    (one,) = chat.status(archive.database, _settings()).channels
    assert (one.state, one.vod_id, one.messages) == ("recording", "live-42", 2)
    assert (one.connected_since, one.last_message_at) == (at(5), at(2))
    assert (one.gaps, one.gap_seconds, one.lag_seconds) == (1, 3.0, 0.2)


def test_silence_and_absence_are_told_apart(archive: Archive) -> None:
    recorded = Recorded(archive)
    recorded.report(connected_since=None, problem="the login is refused")
    found = chat.status(archive.database, _settings())
    assert [one.state for one in found.channels] == ["connecting"]
    assert "vodtender auth login twitch" in {one.command for one in chat.what_next(found)}
    with archive.connection() as connection:
        connection.execute("UPDATE chat_recordings SET reported_at = now() - interval '1 hour'")
    found = chat.status(archive.database, _settings())
    assert [one.state for one in found.channels] == ["interrupted"]
    assert next(chat.what_next(found)).why.startswith("nobody records alice since")
    (step,) = [s for s in chat.what_next(found, daemon_runs=False) if s.command == "vodtender run"]
    assert "no daemon" in step.why


def test_between_streams_nothing_is_wrong(archive: Archive) -> None:
    settings = _settings(TWITCH_CHANNELS="alice,bob")
    Recorded(archive).end()
    found = chat.status(archive.database, settings)
    assert [(one.channel, one.state) for one in found.channels] == [
        ("alice", "waiting"),
        ("bob", "waiting"),
    ]
    assert list(chat.what_next(found)) == []


def test_off_is_said_with_what_to_type(archive: Archive) -> None:
    found = chat.status(archive.database, load({"TWITCH_CHANNELS": "alice"}))
    assert found.mode == "off"
    assert [step.command for step in chat.what_next(found)] == ["CHAT_AUTO_START=1 vodtender run"]


def test_the_status_document_has_chat_in_it(archive: Archive) -> None:
    recorded = Recorded(archive)
    recorded.report()
    found = status.document(archive.database, _settings())["chat"]
    assert (found["enabled"], found["mode"], found["waiting_for_vod"]) == (True, "auto", 0)
    assert [one["vod_id"] for one in found["recording"]] == ["live-42"]


def test_an_export_marks_or_leaves_out_what_was_taken_back(archive: Archive) -> None:
    recorded = Recorded(archive, "7", stream_id=None)
    recorded.store([message(1, "fine"), message(2, "rude")], gaps=[Gap(at(3), None, "network")])
    recorded.store(marks=[Mark("k", at(9), "m2", None, None)])
    whole = json.loads(_export(archive, "json"))
    assert (whole["vod_id"], whole["channel"]) == ("7", "alice")
    assert whole["began_at"] == "2026-03-01T12:00:00.000Z"
    assert whole["gaps"] == [{"from": "2026-03-01T12:00:03.000Z", "to": None, "why": "network"}]
    assert [m["deleted_at"] is None for m in whole["messages"]] == [True, False]
    clean = json.loads(_export(archive, "json", with_deleted=False))
    assert [m["message"] for m in clean["messages"]] == ["fine"]
    assert "[deleted] rude" in _export(archive, "srt")


def test_an_export_comes_in_order_and_in_pieces(archive: Archive) -> None:
    recorded = Recorded(archive, "7")
    recorded.store([message(number) for number in range(2999, -1, -1)])
    pieces: Iterator[str] = chat.export(archive.database, "7", "srt", with_deleted=True)
    longest, count = 0, 0
    for number, piece in enumerate(pieces, 1):
        assert piece.startswith(f"{number}\n")
        longest, count = max(longest, len(piece)), number
    assert (count, longest < 200) == (3000, True)


def test_no_chat_of_a_vod_is_an_error_and_an_empty_one_is_not(archive: Archive) -> None:
    with pytest.raises(NotFound, match="No chat of VOD 8"):
        _export(archive, "json", vod_id="8")
    with pytest.raises(NotFound):
        chat.gaps(archive.database, "8")
    Recorded(archive, "7")
    assert json.loads(_export(archive, "json"))["messages"] == []
    assert list(chat.gaps(archive.database, "7")) == []


def test_gaps_of_all_and_of_one(archive: Archive) -> None:
    Recorded(archive, "7").store(gaps=[Gap(at(5), at(6), "network")])
    Recorded(archive, "8").store(gaps=[Gap(at(1), at(2), "RECONNECT")])
    assert [gap.vod_id for gap in chat.gaps(archive.database, None)] == ["8", "7"]
    assert [gap.why for gap in chat.gaps(archive.database, "7")] == ["network"]


def _export(archive: Archive, form: str, *, vod_id: str = "7", with_deleted: bool = True) -> str:
    return "".join(chat.export(archive.database, vod_id, form, with_deleted=with_deleted))
