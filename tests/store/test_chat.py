"""Chat in the database."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vodtender.model.chat import ChatMessage, Gap, Mark
from vodtender.model.liveness import Candidate
from vodtender.store import chat, chat_joining, chat_recordings
from vodtender.store.chat import Batch, Stored
from vodtender.store.chat_joining import Pending
from vodtender.store.chat_recordings import Recording, Report
from vodtender.store.database import Connection, Database, connect

BEGAN = datetime(2026, 5, 1, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return BEGAN + timedelta(seconds=seconds)


def message(message_id: str, seconds: float = 0, **more: object) -> ChatMessage:
    given = {"username": "bob", "message": "hello", "kind": "privmsg", **more}
    return ChatMessage(message_id, at(seconds), **given)  # type: ignore[arg-type]


def begin(connection: Connection, vod_id: str = "7") -> Recording:
    return chat_recordings.begin(connection, "chan", vod_id, mode="auto", began_at=BEGAN)


def store(connection: Connection, recording: Recording, *batches: Batch) -> Stored:
    with connection.transaction():
        return chat.store(connection, recording.id, batches)


def rows(connection: Connection, vod_id: str = "7") -> list[dict[str, object]]:
    with connection.transaction():
        return list(chat_recordings.messages(connection, vod_id))


def current(connection: Connection, recording: Recording) -> Recording:
    found = chat_recordings.get(connection, recording.id)
    assert found is not None
    return found


def test_messages_are_stored_with_all_that_is_known(connection: Connection) -> None:
    recording = begin(connection)
    told = message(
        "a",
        61.5,
        user_id="5",
        display_name="Bob",
        color="#FFF",
        badges="x/1",
        emotes="25:0-4",
        reply_to="z",
        bits=3,
        is_action=True,
        notice="sub",
        system_message="Bob subscribed",
        details='{"months": "5"}',
    )
    assert store(connection, recording, Batch([told])).new == 1
    (row,) = rows(connection)
    assert row == {
        **told._asdict(),
        "details": {"months": "5"},
        "vod_id": "7",
        "channel": "chan",
        "relative_seconds": 61.5,
        "deleted_at": None,
    }


_TEXT = st.text(st.characters(exclude_characters="\0", codec="utf-8"))


@pytest.fixture(scope="module")
def text_connection(shared_dsn: str) -> Iterator[Connection]:
    with connect(shared_dsn, autocommit=True) as connection:
        yield connection


@settings(max_examples=60)
@given(texts=st.lists(st.one_of(_TEXT, st.sampled_from(["\\N", "\\.", "\x01\x02", "\t", ""]))))
def test_whatever_is_said_is_stored_as_it_was_said(
    text_connection: Connection, texts: list[str]
) -> None:
    connection = text_connection
    connection.execute("DELETE FROM chat_messages")
    recording = begin(connection)
    batch = Batch([message(f"m{i}", i, message=text) for i, text in enumerate(texts)])
    assert store(connection, recording, batch) == Stored(len(texts), 0, [])
    assert [row["message"] for row in rows(connection)] == texts


def test_what_comes_again_is_there_once(connection: Connection) -> None:
    recording = begin(connection)
    assert store(connection, recording, Batch([message("a"), message("b")])).new == 2
    again = Batch([message("b"), message("c"), message("c")])
    assert store(connection, recording, again, Batch([message("c"), message("d")])).new == 2
    assert [row["message_id"] for row in rows(connection)] == ["a", "b", "c", "d"]
    assert current(connection, recording).messages == 4


def test_what_the_database_will_not_have_keeps_out_nothing_else(connection: Connection) -> None:
    recording = begin(connection)
    bad = message("bad", details="not JSON")
    stored = store(connection, recording, Batch([message("a"), bad, message("b")]))
    assert (stored.new, stored.refused) == (2, 1)
    stored = store(connection, recording, Batch([message("a"), bad, message("c")]))
    assert (stored.new, stored.refused) == (1, 1)


def test_a_mark_takes_back_what_was_said_before_it_and_removes_nothing(
    connection: Connection,
) -> None:
    recording = begin(connection)
    said = [message("one", 1), message("two", 2), message("alices", 3, username="alice")]
    store(connection, recording, Batch([*said, message("later", 30)]))
    one = Mark("m1", at(10), "one", None, None)
    banned = Mark("m2", at(20), None, "bob", 600)
    store(connection, recording, Batch(marks=[one]))
    store(connection, recording, Batch(marks=[banned, one]))
    taken = {row["message_id"]: row["deleted_at"] for row in rows(connection)}
    assert taken == {"one": at(10), "two": at(20), "alices": None, "later": None}
    store(connection, recording, Batch(marks=[Mark("m3", at(25), None, None, None)]))
    taken = {row["message_id"]: row["deleted_at"] for row in rows(connection)}
    assert taken == {"one": at(10), "two": at(20), "alices": at(25), "later": None}


def test_a_mark_counts_for_what_is_stored_after_it(connection: Connection) -> None:
    recording = begin(connection)
    marks = [Mark("m1", at(10), "one", None, None), Mark("m2", at(20), None, "bob", None)]
    store(connection, recording, Batch(marks=marks))
    store(connection, recording, Batch([message("one", 1), message("two", 2), message("x", 21)]))
    taken = {row["message_id"]: row["deleted_at"] for row in rows(connection)}
    assert taken == {"one": at(10), "two": at(20), "x": None}


def test_counts_and_times_are_kept_with_the_recording(connection: Connection) -> None:
    recording = begin(connection)
    heard = Batch([message("a", 5), message("b", 3)], heard_until=at(9))
    store(connection, recording, heard)
    found = current(connection, recording)
    assert (found.messages, found.first_message_at, found.last_message_at) == (2, at(3), at(5))
    assert found.heard_until == at(9)


def test_gaps_have_ends_or_last(connection: Connection) -> None:
    recording = begin(connection)
    store(connection, recording, Batch(gaps=[Gap(at(1), None, "cut"), Gap(at(9), None, "cut")]))
    store(connection, recording, Batch(gaps=[Gap(at(1), at(4), "")]))
    found = chat_recordings.gaps(connection, "7")
    assert [(g.from_at, g.to_at, g.why) for g in found] == [
        (at(1), at(4), "cut"),
        (at(9), None, "cut"),
    ]
    chat_recordings.end(connection, recording.id, at(20))
    assert [g.to_at for g in chat_recordings.gaps(connection)] == [at(4), at(20)]


def test_what_nobody_recorded_is_a_gap(connection: Connection) -> None:
    recording = begin(connection)
    store(connection, recording, Batch(resumed=[at(5)], heard_until=at(8)))
    store(connection, recording, Batch(gaps=[Gap(at(8), None, "cut")], heard_until=at(8)))
    store(connection, recording, Batch(resumed=[at(20)], heard_until=at(30)))
    store(connection, recording, Batch(resumed=[at(40)]))
    found = [(g.from_at, g.to_at, g.why) for g in chat_recordings.gaps(connection)]
    assert found == [
        (at(0), at(5), "before the recording began"),
        (at(8), at(20), "cut"),
        (at(30), at(40), "nobody recorded"),
    ]


def test_a_recording_joins_its_vod_with_shifted_times_and_goes_on_there(
    connection: Connection,
) -> None:
    recording = begin(connection, "placeholder")
    store(connection, recording, Batch([message("a", 100)]))
    pending = Pending(recording.id, "chan", "placeholder", None, BEGAN, ())
    vod = Candidate("99", None, at(-10), None)
    with connection.transaction():
        assert chat_joining.move_some(connection, pending, vod, 1000) == 1
        chat_joining.settle(connection, pending, vod)
    store(connection, recording, Batch([message("b", 101)]))
    found = rows(connection, "99")
    assert [(row["message_id"], row["relative_seconds"]) for row in found] == [
        ("a", 110.0),
        ("b", 111.0),
    ]
    assert rows(connection, "placeholder") == []
    assert current(connection, recording).vod_id == "99"
    assert chat_recordings.not_joined(connection) == []


def test_a_recording_is_gone_on_with(connection: Connection) -> None:
    first = begin(connection)
    chat_recordings.end(connection, first.id, at(5))
    assert chat_recordings.unfinished(connection) == []
    again = begin(connection)
    assert again.id == first.id
    assert chat_recordings.unfinished(connection) == [again]
    assert chat_recordings.latest(connection, [again.channel, "nobody"]) == [again]
    assert chat_recordings.of_vod(connection, "7") == [again]


def test_a_recorder_says_how_it_fares(connection: Connection) -> None:
    recording = begin(connection)
    said = Report("worker", at(1), "justinfan1", "no login", 3, 12.5, 0.2)
    chat_recordings.report(connection, recording.id, said)
    found = current(connection, recording)
    assert (found.identity, found.problem, found.reconnections) == ("justinfan1", "no login", 3)


def test_a_recording_that_is_gone_is_told(database: Database) -> None:
    with pytest.raises(LookupError), database.transaction() as connection:
        chat.store(connection, 12345, [])
