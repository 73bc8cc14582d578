"""Chat as files: nothing that anybody says breaks the file that it is in."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from vodtender.model import chat_text

AT = datetime(2026, 3, 1, 12, 0, 0, 123000, tzinfo=UTC)
SAID = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=60)


def _message(text: str = "hello", **more: Any) -> dict[str, Any]:
    unset = dict.fromkeys(
        ("deleted_at", "user_id", "color", "badges", "emotes", "reply_to", "bits", "notice")
    )
    return {
        **unset,
        "message_id": "m1",
        "timestamp": AT,
        "relative_seconds": 3723.4,
        "username": "bob",
        "display_name": "Bob",
        "message": text,
        "kind": "privmsg",
        "is_action": False,
        "system_message": None,
        "details": None,
        **more,
    }


def _written(form: str, *messages: dict[str, Any]) -> str:
    return "".join(chat_text.written(form, {"vod_id": "1"}, messages))


@given(st.lists(SAID, max_size=4))
def test_json_is_one_document_with_all_that_was_said(said: list[str]) -> None:
    document = json.loads(_written("json", *map(_message, said)))
    assert document["vod_id"] == "1"
    assert [one["message"] for one in document["messages"]] == said


def test_json_says_where_emotes_are_and_times_to_the_millisecond() -> None:
    text = _written("json", _message(emotes="25:0-4", badges="subscriber/12", bits=5))
    (one,) = json.loads(text)["messages"]
    assert one["emotes"] == [{"id": "25", "start": 0, "end": 5}]
    assert one["badges"] == [{"name": "subscriber", "version": "12"}]
    assert (one["timestamp"], one["bits"]) == ("2026-03-01T12:00:00.123Z", 5)


@given(st.lists(SAID, min_size=1, max_size=4))
def test_csv_has_a_row_for_each_message(said: list[str]) -> None:
    rows = list(csv.DictReader(io.StringIO(_written("csv", *map(_message, said)), newline="")))
    assert [row["message"] for row in rows] == said


def test_an_empty_chat_is_a_csv_of_headings_and_an_empty_list() -> None:
    assert _written("csv").startswith("message_id,timestamp,relative_seconds,")
    assert json.loads(_written("json"))["messages"] == []


@given(st.lists(SAID, max_size=4))
def test_srt_has_a_cue_for_each_message_whatever_is_said(said: list[str]) -> None:
    cues = [cue for cue in _written("srt", *map(_message, said)).split("\n\n") if cue]
    assert len(cues) == len(said)
    for number, cue in enumerate(cues, 1):
        first, times, text = cue.split("\n")
        assert first == str(number)
        assert times == "01:02:03,400 --> 01:02:09,400"
        assert text.startswith("Bob:")


@given(st.lists(SAID, max_size=4))
def test_ass_has_a_line_for_each_message_whatever_is_said(said: list[str]) -> None:
    text = _written("ass", *map(_message, said))
    lines = text.rpartition("Effect, Text\n")[2].splitlines()
    assert len(lines) == len(said)
    for line in lines:
        assert line.startswith("Dialogue: 0,1:02:03.40,1:02:09.40,Chat,,0,0,0,,{\\b1}Bob{")
        assert not re.search(r"[{}\\]", line.partition("&}: ")[2])


def test_what_was_taken_back_is_marked_and_what_came_before_the_video_is_at_its_beginning() -> None:
    early = _message("bad", deleted_at=AT, relative_seconds=-5.0, color="#1E90FF")
    assert "00:00:00,000 --> 00:00:06,000\nBob: [deleted] bad" in _written("srt", early)
    assert "{\\b1\\c&HFF901E&}Bob" in _written("ass", early)


def test_a_notice_is_shown_with_what_the_user_adds() -> None:
    sub = _message("thanks", system_message="Bob subscribed.", kind="usernotice")
    assert "Bob: Bob subscribed. thanks" in _written("srt", sub)
