"""A stream's chat becomes its VOD's, whenever that appears."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.archive import Archive
from tests.chat import Recorded, message
from vodtender.model.chat import Mark
from vodtender.pipeline import chat_joining
from vodtender.pipeline.chat_joining import join_due

NOW = datetime.now(UTC).replace(microsecond=0)
AGO = NOW - timedelta(hours=2)
NO_DELAY = timedelta(0)


def _ended(archive: Archive, stream_id: str | None = "42", **more: Any) -> Recorded:
    """Of a stream that began two hours ago; three messages."""
    name = f"live-{stream_id or 'alice-1'}"
    recorded = Recorded(archive, name, stream_id=stream_id, began_at=AGO, **more)
    recorded.store([_message(n) for n in range(3)])
    with archive.connection() as connection:
        connection.execute("UPDATE chat_recordings SET ended_at = now() - interval '1 minute'")
    return recorded


def _message(number: int) -> Any:
    return message(number, timestamp=AGO + timedelta(seconds=number))


def _relative(archive: Archive, vod_id: str) -> list[float]:
    with archive.connection() as connection:
        rows = connection.execute(
            "SELECT relative_seconds FROM chat_messages WHERE vod_id = %s ORDER BY 1", (vod_id,)
        ).fetchall()
    return [row["relative_seconds"] for row in rows]


def test_it_waits_for_the_vod_and_counts_times_from_its_beginning(archive: Archive) -> None:
    recorded = _ended(archive)
    assert join_due(archive.database, NO_DELAY) == 0
    began = AGO + timedelta(seconds=10)
    archive.add("7", channel="alice", stream_id="42", date=began, duration_seconds=3600)
    assert join_due(archive.database, NO_DELAY) == 1
    assert join_due(archive.database, NO_DELAY) == 0
    assert _relative(archive, "7") == [-10.0, -9.0, -8.0]
    assert _relative(archive, "live-42") == []
    assert (recorded.row.vod_id, recorded.row.began_at) == ("7", began)
    # What the recorder had not stored by then is the VOD's, too.
    recorded.store([_message(20)])
    assert _relative(archive, "7")[-1] == 10.0


def test_not_before_the_delay_nor_while_the_stream_goes_on(archive: Archive) -> None:
    recorded = _ended(archive)
    archive.add("7", channel="alice", stream_id="42", date=AGO)
    assert join_due(archive.database, timedelta(minutes=5)) == 0
    with archive.connection() as connection:
        connection.execute("UPDATE chat_recordings SET ended_at = NULL")
    assert join_due(archive.database, NO_DELAY) == 0
    assert recorded.row.vod_id == "live-42"


def test_without_a_stream_id_the_beginning_tells(archive: Archive) -> None:
    _ended(archive, None)
    archive.add("6", channel="bob", date=AGO)
    archive.add("7", channel="alice", date=AGO + timedelta(minutes=2))
    assert join_due(archive.database, NO_DELAY) == 1
    assert len(_relative(archive, "7")) == 3


def test_two_streams_of_one_vod_are_both_its(archive: Archive) -> None:
    """Twitch took a drop for a new stream, and yet made one VOD."""
    first = _ended(archive)
    later = AGO + timedelta(minutes=30)
    second = Recorded(archive, "live-43", stream_id="43", began_at=later)
    second.store([message(100, timestamp=later)])
    with archive.connection() as connection:
        connection.execute("UPDATE chat_recordings SET ended_at = now() - interval '1 minute'")
    archive.add("7", channel="alice", stream_id="42", date=AGO, duration_seconds=3600)
    assert join_due(archive.database, NO_DELAY) == 2
    assert {first.row.vod_id, second.row.vod_id} == {"7"}
    assert _relative(archive, "7") == [0.0, 1.0, 2.0, 1800.0]


def test_broken_off_it_goes_on_where_it_was(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat_joining, "_AT_ONCE", 2)
    recorded = _ended(archive)
    archive.add("7", channel="alice", stream_id="42", date=AGO)
    rounds = iter([False, True])
    assert join_due(archive.database, NO_DELAY, lambda: next(rounds)) == 0
    assert len(_relative(archive, "7")) == 2
    # A moderator takes back what was said, half of which has been moved.
    recorded.store(marks=[Mark("k", NOW, None, "bob", 0)])
    assert join_due(archive.database, NO_DELAY) == 1
    with archive.connection() as connection:
        rows = connection.execute("SELECT vod_id, deleted_at FROM chat_messages").fetchall()
    assert {(row["vod_id"], row["deleted_at"]) for row in rows} == {("7", NOW)}


def test_by_hand_nothing_is_to_be_joined(archive: Archive) -> None:
    _ended(archive, mode="manual")
    archive.add("7", channel="alice", stream_id="42", date=AGO)
    assert join_due(archive.database, NO_DELAY) == 0
