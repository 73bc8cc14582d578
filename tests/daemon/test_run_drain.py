"""`run --drain`: every kind of VOD ends as it should, and the run ends when nothing is left."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from tests.clients.ytdlp.fetches import FRAMES_IN_SEGMENT, frames, segment_requests
from tests.daemon.keeper import Keeper
from tests.sandbox.kinds import KINDS
from vodtender.daemon.service import RunMode
from vodtender.errors import SettingsError
from vodtender.procedures import breaker, pause, retry
from vodtender.store.database import Database

WHO: dict[str, Any] = {"actor": "op", "reason": None, "dry_run": False}
NOT_ON_DISK = {
    "short": ("queued", "too_short", r"0:10:07 .*0:00:08 .*vodtender retry \d+ --allow-gaps"),
    "live": ("live", None, ""),
    "subscriber-only": ("failed", "subscriber_only", "subscribers only.*auth import cookies"),
    "deleted": ("failed", "vod_missing", "does not exist at Twitch any more"),
    "segment-403": ("failed", "segments_gone", r"segment 2 .*/2\.ts, HTTP 403.*--allow-gaps"),
}
"""Stage, code and what is said of the kinds that do not end on the disk."""
TITLES = (
    "Morning stream",
    "🎉🎉🎉",
    "tab\tbell\x07 esc\x1b[31m nul\0 newline\n end",
    "../../etc/passwd \\ a/b:c*d?e",
    "very " * 200,
    "",
    "\u202egnp.exe \u200f שלום",
    "v2300000001 and 2300000002",
    "Morning stream",
)
"""Given to those that do end there."""
ONLY_FETCHED_DIFFERENTLY = ("fmp4-init-changes", "discontinuity", "garbage-empty", "segment-404")
"""Kinds that to the daemon are as others are: tests/clients/ytdlp fetches each of them."""
WITHOUT_HELIX = ("zero-length", "null-once", "short", "live", "deleted")
"""The kinds for which it matters who lists them and who bears witness."""


@contextmanager
def impatient(keeper: Keeper) -> Iterator[None]:
    """Nobody waits for the second look at a VOD that seems to be deleted."""
    ended = threading.Event()

    def hurry() -> None:
        with psycopg.connect(keeper.dsn, autocommit=True) as connection:
            while not ended.wait(0.1):
                connection.execute(
                    "UPDATE vods SET next_try_at = now(),"
                    " missing_since = missing_since - interval '1m'"
                    " WHERE waiting_for = 'second_look'"
                )

    thread = threading.Thread(target=hurry)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def test_every_kind_of_vod_ends_as_it_should(either_keeper: Keeper) -> None:
    """And whatever its title is, exactly one harmless file carries its id."""
    keeper, world = either_keeper, either_keeper.world
    with_helix = keeper.settings().twitch_client_id is not None
    known = KINDS if with_helix else WITHOUT_HELIX
    kinds = [kind for kind in known if kind not in ONLY_FETCHED_DIFFERENTLY]
    vods = {kind: world.add_vod("alice", kind, segment_count=4) for kind in kinds}
    on_disk = [vod for kind, vod in vods.items() if kind not in NOT_ON_DISK]
    for vod, title in zip(on_disk, TITLES, strict=False):
        vod.title = title
    deleted = vods["deleted"].id
    keeper.sql("INSERT INTO vods (twitch_vod_id, channel) VALUES (%s, 'alice')", deleted)
    before = time.time()
    with impatient(keeper):
        keeper.run_until_done(MAX_CONCURRENT_DOWNLOADS="4", DOWNLOAD_MAX_ATTEMPTS="2")
    for kind, vod in vods.items():
        row = keeper.row(vod)
        stage, code, said = NOT_ON_DISK.get(kind, ("downloaded", None, ""))
        assert (kind, row["stage"], row["problem_code"]) == (kind, stage, code)
        assert re.search(said or "^$", row["processing_error"] or ""), kind
        if kind not in NOT_ON_DISK:
            path = keeper.file_of(vod)
            assert (path.parent, str(path)) == (keeper.data, row["downloaded_path"])
            assert frames(path) == 4 * FRAMES_IN_SEGMENT
            assert row["file_size_bytes"] == path.stat().st_size
            assert before <= path.stat().st_mtime <= time.time()
            assert row["title"] in (vod.title.replace("\0", ""), "Untitled Broadcast")
    if with_helix:
        assert len(on_disk) >= len(TITLES)
        assert keeper.row(vods["muted"])["muted_segments"] == 2
    names = keeper.files()
    assert len(names) == len(on_disk)
    for name in names:
        assert re.fullmatch(r"[a-z0-9][a-z0-9-]*_[0-9]+\.mp4", name)
        assert len(name) <= 125
    begun = {path.name for path in (keeper.data / "in-progress").glob("[0-9]*")}
    assert begun.isdisjoint(vod.id for vod in on_disk)
    assert not keeper.sql("SELECT FROM kv WHERE key LIKE 'circuit_state%' AND value <> 'closed'")
    assert not segment_requests(world, vods["live"])
    assert not world.record.unexpected


def test_a_live_vod_is_fetched_whole_once_it_has_ended_and_settled(either_keeper: Keeper) -> None:
    keeper = either_keeper
    vod = keeper.world.add_vod("alice", "live", segment_count=3)
    keeper.run_until_done()
    vod.grow(3)
    vod.end()
    keeper.run_until_done()
    assert keeper.stages() == {vod.id: "live"}, "its length has grown since the last look"
    assert not segment_requests(keeper.world, vod)
    keeper.let_pass("1 hour")
    keeper.run_until_done()
    assert keeper.stages() == {vod.id: "downloaded"}
    assert frames(keeper.file_of(vod)) == 6 * FRAMES_IN_SEGMENT


def test_a_vod_that_only_its_playlist_shows_to_be_live_is_looked_at_again(keeper: Keeper) -> None:
    """As one that was added by its number: nobody lists its channel."""
    vod = keeper.world.add_vod("alice", "live", segment_count=3)
    keeper.sql("INSERT INTO vods (twitch_vod_id) VALUES (%s)", vod.id)
    keeper.run_until_done(TWITCH_CHANNELS="")
    row = keeper.row(vod)
    assert (row["stage"], row["processing_error"]) == ("live", None)
    vod.end()
    keeper.let_pass("1 hour")
    keeper.run_until_done(TWITCH_CHANNELS="")
    row = keeper.row(vod)
    assert (row["stage"], row["channel"], row["title"]) == ("downloaded", "alice", vod.title)


def test_a_gap_can_be_accepted_and_then_the_vod_comes(keeper: Keeper) -> None:
    vod = keeper.world.add_vod("alice", "segment-404", segment_count=4)
    keeper.run_until_done()
    assert keeper.row(vod)["problem_code"] == "segments_gone"
    database = Database(lambda: keeper.dsn)
    retry.retry(database, [vod.id], allow_gaps=True, **WHO)
    database.close()
    keeper.run_until_done()
    row = keeper.row(vod)
    assert (row["stage"], row["processing_error"]) == ("downloaded", None)
    assert len(row["gaps"]) == 1
    assert frames(keeper.file_of(vod)) == 3 * FRAMES_IN_SEGMENT


# --- it ends ----------------------------------------------------------------------------


def test_it_ends_without_a_network(either_keeper: Keeper) -> None:
    keeper = either_keeper
    vod = keeper.world.add_vod("alice")
    keeper.world.disconnect()
    keeper.run_until_done(DOWNLOAD_MAX_ATTEMPTS="2")
    (channel,) = keeper.sql("SELECT * FROM channels")
    assert channel["problem"]
    assert channel["listed_at"] is None
    keeper.world.reconnect()
    keeper.run_until_done()
    assert keeper.stages() == {vod.id: "downloaded"}
    assert keeper.sql("SELECT problem FROM channels") == [{"problem": None}]


def test_one_channel_that_is_not_there_does_not_keep_the_others_from_theirs(
    either_keeper: Keeper,
) -> None:
    keeper = either_keeper
    first, last = keeper.world.add_vod("alice"), keeper.world.add_vod("carol")
    keeper.run_until_done(TWITCH_CHANNELS="alice,nobody,carol")
    assert set(keeper.stages().items()) == {(first.id, "downloaded"), (last.id, "downloaded")}
    problems = keeper.sql("SELECT channel, problem FROM channels WHERE problem IS NOT NULL")
    assert [row["channel"] for row in problems] == ["nobody"]
    assert re.search("knows no channel.*TWITCH_CHANNEL", problems[0]["problem"])
    assert len(keeper.files()) == 2


def test_a_channel_that_cannot_be_looked_at_for_a_moment_is_looked_at_again(
    either_keeper: Keeper,
) -> None:
    keeper, faults = either_keeper, either_keeper.world.faults
    vod = keeper.world.add_vod("alice")
    strikes = [
        faults.status(503, host="*.twitch.tv"),
        faults.html(host="*.twitch.tv", skip=1),
        faults.empty_json(host="*.twitch.tv", skip=2),
        faults.cut(20, host="*.twitch.tv", skip=3),
        faults.lose_answer(host="*.twitch.tv", skip=4),
        faults.rate_limited(host="*.twitch.tv", skip=5),
    ]
    keeper.run_until_done(DOWNLOAD_MAX_ATTEMPTS="7", DOWNLOAD_BACKOFF_BASE="20ms")
    assert keeper.stages() == {vod.id: "downloaded"}
    assert [fault.struck for fault in strikes] == [1] * 6


def test_it_waits_for_short_pauses_but_not_for_cooldowns(keeper: Keeper) -> None:
    world = keeper.world
    patient = world.add_vod("alice", "garbage-error")
    cooling = world.add_vod("alice", "short")
    keeper.run_until_done(DOWNLOAD_MAX_ATTEMPTS="2")
    assert keeper.stages() == {patient.id: "downloaded", cooling.id: "queued"}
    row = keeper.row(cooling)
    assert (row["waiting_for"], row["download_attempts"]) == ("cooldown", 2)
    assert row["next_try_at"] > datetime.now(UTC) + timedelta(minutes=4)
    began = len(world.record.requests)
    keeper.run_until_done()
    assert keeper.row(cooling)["download_attempts"] == 2
    assert not [one for one in world.record.requests[began:] if one.host == "gql.twitch.tv"]


def test_once_waits_for_nothing(keeper: Keeper) -> None:
    fine = keeper.world.add_vod("alice")
    patient = keeper.world.add_vod("alice", "garbage-error")
    with keeper.running_until_done(RunMode(once=True), DOWNLOAD_BACKOFF_BASE="1h"):
        pass
    assert keeper.stages() == {fine.id: "downloaded", patient.id: "queued"}


def test_it_ends_while_the_breaker_rests_and_says_so(
    keeper: Keeper, caplog: pytest.LogCaptureFixture
) -> None:
    vod = keeper.world.add_vod("alice")
    database = Database(lambda: keeper.dsn)
    breaker.trip(database, ["alice"], rest=None, cooldown=timedelta(minutes=5), **WHO)
    with caplog.at_level("INFO", "vodtender"):
        keeper.run_until_done()
    assert "circuit breaker open, skipping processing" in caplog.messages
    assert keeper.stages() == {vod.id: "queued"}
    breaker.reset(database, ["alice"], **WHO)
    database.close()
    keeper.run_until_done()
    assert keeper.stages() == {vod.id: "downloaded"}


def test_it_ends_where_there_is_no_room_and_says_so(
    keeper: Keeper, caplog: pytest.LogCaptureFixture
) -> None:
    vod = keeper.world.add_vod("alice")
    with caplog.at_level("INFO", "vodtender"):
        keeper.run_until_done(DISK_RESERVE="1000TiB")
    assert "downloads are left" in caplog.messages
    assert keeper.stages() == {vod.id: "queued"}
    keeper.run_until_done()
    assert keeper.stages() == {vod.id: "downloaded"}


def test_it_ends_while_processing_is_paused(keeper: Keeper) -> None:
    vod = keeper.world.add_vod("alice")
    database = Database(lambda: keeper.dsn)
    pause.begin(database, **WHO)
    keeper.run_until_done()
    assert keeper.stages() == {vod.id: "queued"}
    pause.end(database, **WHO)
    database.close()
    keeper.run_until_done()
    assert keeper.stages() == {vod.id: "downloaded"}


def test_it_ends_though_a_vod_goes_to_and_fro(keeper: Keeper) -> None:
    """By the listing it has ended, by its playlist it has not: one look at it is enough."""
    vod = keeper.world.add_vod("alice")
    vod.live = True  # its channel is not; the picture is
    keeper.world.faults.change_json(
        _with_a_picture, host="api.twitch.tv", path="/helix/videos", times=None
    )
    keeper.run_until_done(VOD_PROCESS_INTERVAL="100ms")
    assert keeper.stages() == {vod.id: "live"}


def _with_a_picture(answer: Any) -> Any:
    for video in answer["data"]:
        video["thumbnail_url"] = "https://static-cdn.jtvnw.net/cf_vods/a/b//thumb/thumb0.jpg"
    return answer


def test_without_uploads_vods_wait_complete_and_those_to_be_kept_are_kept(keeper: Keeper) -> None:
    waiting, kept = keeper.world.add_vod("alice"), keeper.world.add_vod("alice")
    keeper.sql(
        "INSERT INTO vods (twitch_vod_id, channel, skip_upload) VALUES (%s, 'alice', true)", kept.id
    )
    keeper.run_until_done()
    for vod, state in ((waiting, "downloaded"), (kept, "kept")):
        row = keeper.row(vod)
        assert (row["processed"], row["download_state"], row["state"]) == (True, "complete", state)
        assert (row["youtube_url"], row["processing_error"]) == (None, None)


def test_arguments_that_ytdlp_does_not_take_are_refused_before_anything_starts(
    keeper: Keeper,
) -> None:
    with pytest.raises(SettingsError, match="YTDLP_ARGS"):
        keeper.run_until_done(YTDLP_ARGS="--exec rm")
    assert not keeper.sql("SELECT FROM workers")


def test_a_certificate_file_that_is_none_is_refused_before_anything_starts(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(keeper.data / "none.pem"))
    with pytest.raises(SettingsError, match="SSL_CERT_FILE"):
        keeper.run_until_done()
    assert not keeper.sql("SELECT FROM workers")


# --- what comes first, and what it is called --------------------------------------------


def test_what_vanishes_soonest_comes_first_unless_somebody_has_decided_otherwise(
    keeper: Keeper,
) -> None:
    ages = {days: keeper.world.add_vod("alice", age=timedelta(days=days)) for days in (1, 9)}
    urgent = keeper.world.add_vod("carol", age=timedelta(days=2))
    keeper.sql(
        "INSERT INTO vods (twitch_vod_id, channel, priority) VALUES (%s, 'carol', 5)", urgent.id
    )
    keeper.run_until_done()
    assert keeper.begun() == [urgent.id, ages[9].id, ages[1].id]


def test_no_search_for_files_meets_half_a_one(keeper: Keeper) -> None:
    vod = keeper.world.add_vod("alice", segment_count=6)
    gate = keeper.world.faults.hold(path="*/5.ts")
    with keeper.running_until_done():
        gate.wait_reached()
        assert (keeper.data / "in-progress" / vod.id).is_dir()
        assert not list(keeper.data.rglob("*.mp4"))
        assert not [path for path in keeper.data.rglob(f"*{vod.id}*") if path.is_file()]
        gate.release()
    assert [path.name for path in keeper.data.rglob("*.mp4")] == keeper.files()


def test_a_vod_that_is_fetched_again_under_another_title_leaves_no_second_file(
    keeper: Keeper,
) -> None:
    vod = keeper.world.add_vod("alice", title="Before")
    keeper.run_until_done()
    assert keeper.files() == [f"before_{vod.id}.mp4"]
    vod.title = "After"
    keeper.run_until_done(VOD_PROCESS_INTERVAL="1s")
    keeper.file_of(vod).write_bytes(b"harmed")
    keeper.sql("UPDATE vods SET processed = false WHERE twitch_vod_id = %s", vod.id)
    keeper.run_until_done()
    assert keeper.files() == [f"after_{vod.id}.mp4"]
    assert frames(keeper.file_of(vod)) == 4 * FRAMES_IN_SEGMENT
