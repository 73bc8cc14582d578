"""The catalog: entering what was listed, refreshing it, and finding it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.store import rows
from tests.store.rows import NOW
from vodtender.model.discovery import ListedVod, Looks
from vodtender.model.vod import Stage
from vodtender.store import channels, queue, vods
from vodtender.store.database import Connection, clock
from vodtender.store.vods import Entry

LISTED = ListedVod(
    "1",
    "alice",
    "archive",
    "A stream",
    "https://www.twitch.tv/videos/1",
    description="What happened",
    started_at=NOW - timedelta(days=1),
    duration_seconds=3600,
    stream_id="s1",
)
ENTRY = Entry(
    LISTED,
    is_recording=False,
    vanishes_at=NOW + timedelta(days=13),
    looks=Looks(NOW, 3600, None),
)


def entry(number: int = 1, *, recording: bool = False, **listed: Any) -> Entry:
    changed = replace(LISTED, vod_id=str(number), **listed)
    return replace(
        ENTRY,
        listed=changed,
        is_recording=recording,
        looks=Looks(NOW, changed.duration_seconds, None),
    )


def enter(connection: Connection, *entries: Entry) -> int:
    return vods.enter(connection, entries)


# --- entering ---------------------------------------------------------------------------


def test_a_new_vod_is_queued_with_all_that_was_listed(connection: Connection) -> None:
    assert enter(connection, ENTRY) == 1
    vod = rows.get(connection)
    assert (vod.stage, vod.channel, vod.title) == (Stage.QUEUED, "alice", "A stream")
    assert (vod.description, vod.date) == ("What happened", NOW - timedelta(days=1))
    assert (vod.duration_seconds, vod.stream_id) == (3600, "s1")
    assert vod.vanishes_at == NOW + timedelta(days=13)
    assert vods.looks(connection, ["1", "2"]) == {"1": Looks(NOW, 3600, None)}
    assert [channel.channel for channel in channels.all_channels(connection)] == ["alice"]
    (line,) = vods.history(connection, vod)
    assert (line.actor, line.to_stage, line.detail) == ("vodtender", "queued", "entered")


def test_entering_it_again_changes_nothing_and_locks_nothing(
    connection: Connection, another: Callable[[], Connection]
) -> None:
    enter(connection, ENTRY, entry(2, recording=True))
    before = [rows.raw(connection, number) for number in (1, 2)]
    versions = connection.execute("SELECT ctid, xmin, xmax FROM vods ORDER BY id").fetchall()
    operator = another()
    with operator.transaction():
        operator.execute("SELECT FROM vods FOR UPDATE")
        connection.execute("SET lock_timeout = '5s'")
        assert enter(connection, ENTRY, entry(2, recording=True)) == 0
        xids = connection.execute("SELECT ctid, xmin FROM vods ORDER BY id").fetchall()
        assert xids == [{"ctid": row["ctid"], "xmin": row["xmin"]} for row in versions]
    assert [rows.raw(connection, number) for number in (1, 2)] == before


def test_of_a_page_only_what_is_new_counts_as_new(connection: Connection) -> None:
    enter(connection, entry(1), entry(2))
    assert enter(connection, entry(1), entry(2), entry(3), entry(4)) == 2
    assert enter(connection, entry(5), entry(5)) == 1, "a listing may show one twice"
    assert enter(connection) == 0


@pytest.mark.parametrize("name", list(rows.SITUATIONS))
def test_what_is_known_of_a_vod_is_refreshed_whatever_its_stage(
    name: str, connection: Connection
) -> None:
    vod = rows.situation(connection, name)
    news = entry(title="Another title", duration_seconds=7200, description="More")
    assert enter(connection, replace(news, is_recording=name == "live")) == 0
    after = rows.get(connection)
    assert (after.title, after.duration_seconds, after.description) == (
        "Another title",
        7200,
        "More",
    )
    unchanged = ("stage", "problem", "next_try_at", "worker_id", "claim", "video_id")
    for column in unchanged if name != "live" else unchanged[:2]:
        assert getattr(after, column) == getattr(vod, column), column


def test_what_a_listing_does_not_say_is_not_forgotten(connection: Connection) -> None:
    enter(connection, ENTRY)
    sparse = entry(description=None, started_at=None, stream_id=None, title="", duration_seconds=0)
    enter(connection, replace(sparse, vanishes_at=None, looks=Looks(NOW, None, None)))
    vod = rows.get(connection)
    assert (vod.title, vod.description, vod.date) == (
        "A stream",
        "What happened",
        NOW - timedelta(days=1),
    )
    assert (vod.duration_seconds, vod.stream_id) == (3600, "s1")
    assert vod.vanishes_at == NOW + timedelta(days=13)


def test_a_vod_that_is_being_recorded_is_left_alone_until_it_is_not(
    connection: Connection,
) -> None:
    enter(connection, entry(recording=True))
    vod = rows.get(connection)
    assert (vod.stage, vod.download_state) == (Stage.LIVE, "pending")
    queue.wake(connection)
    assert rows.get(connection).stage is Stage.LIVE
    enter(connection, entry())
    vod = rows.get(connection)
    assert (vod.stage, vod.next_try_at, vod.waiting_for) == (Stage.QUEUED, None, None)


def test_a_queued_vod_that_turns_out_to_be_live_waits_too(connection: Connection) -> None:
    enter(connection, entry())
    enter(connection, entry(recording=True))
    row = rows.raw(connection)
    assert row["stage"] == "live"
    assert rows.can_move(row)


def test_a_live_vod_that_goes_on_being_listed_is_not_tried_in_between(
    connection: Connection,
) -> None:
    enter(connection, entry(recording=True))
    connection.execute("UPDATE vods SET next_try_at = now() + interval '1 minute'")
    enter(connection, entry(recording=True))
    later = rows.get(connection).next_try_at
    assert later is not None
    assert later - clock(connection) > timedelta(minutes=50)


def test_the_wait_of_a_failed_try_survives_a_listing(connection: Connection) -> None:
    rows.situation(connection, "retrying")
    before = rows.get(connection).next_try_at
    enter(connection, entry())
    assert rows.get(connection).next_try_at == before


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("a\0b", "ab"),
        ("\0", ""),
        ("half \ud83d of a pair", "half ? of a pair"),
        ("😀 \u202e \x07", "😀 \u202e \x07"),
        ("'; DROP TABLE vods; --", "'; DROP TABLE vods; --"),
        ("x" * 100_000, "x" * 100_000),
    ],
)
def test_whatever_twitch_calls_a_vod_can_be_stored(
    text: str, stored: str, connection: Connection
) -> None:
    enter(connection, entry(title=text, description=text))
    vod = rows.get(connection)
    assert (vod.title, vod.description) == (stored, stored)
    rows.insert(connection, 2, channel="", title="")
    vods.describe(
        connection,
        rows.get(connection, 2),
        channel="bob",
        title=text,
        date=None,
        duration_seconds=1,
    )
    assert rows.get(connection, 2).title == stored


def test_a_listing_does_not_wait_for_an_operator_and_catches_up_later(
    connection: Connection, another: Callable[[], Connection]
) -> None:
    enter(connection, entry(1), entry(2))
    operator = another()
    with operator.transaction():
        operator.execute("UPDATE vods SET priority = 1 WHERE twitch_vod_id = '1'")
        connection.execute("SET lock_timeout = '5s'")
        enter(connection, entry(1, title="new"), entry(2, title="new"))
    assert [rows.get(connection, number).title for number in (1, 2)] == ["A stream", "new"]
    enter(connection, entry(1, title="new"), entry(2, title="new"))
    assert rows.get(connection, 1).title == "new"


def test_a_new_vod_wakes_the_workers_and_a_known_one_does_not(
    connection: Connection, another: Callable[[], Connection]
) -> None:
    listener = another()
    listener.execute("LISTEN vodtender")
    enter(connection, ENTRY)
    assert list(listener.notifies(timeout=5, stop_after=1))
    enter(connection, ENTRY)
    enter(connection, entry(title="another"))
    assert not list(listener.notifies(timeout=0.2))


# --- by its number ----------------------------------------------------------------------


def test_what_was_added_by_its_number_is_described_once_and_then_kept(
    connection: Connection,
) -> None:
    rows.insert(connection, channel="", title="", date=None)
    vod = rows.get(connection)
    facts: dict[str, Any] = {"date": NOW, "duration_seconds": 60}
    vods.describe(connection, vod, channel="bob", title="Found", **facts)
    vods.describe(connection, vod, channel="eve", title="Other", date=None, duration_seconds=9)
    vod = rows.get(connection)
    assert (vod.channel, vod.title, vod.date, vod.duration_seconds) == ("bob", "Found", NOW, 60)
    assert "bob" in [channel.channel for channel in channels.all_channels(connection)]


def test_a_vod_that_nobody_knows_is_none(connection: Connection) -> None:
    assert vods.get(connection, "999") is None
    assert vods.get(connection, "nonsense") is None
