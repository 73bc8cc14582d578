"""One VOD from Twitch to the disk: limits, and what follows when it is cut off anywhere."""

from __future__ import annotations

import re
import threading
import zlib
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.clients.ytdlp.fetches import (
    FRAMES_IN_SEGMENT,
    children,
    frames,
    segment_requests,
    wait_until,
)
from tests.pipeline.fetcher import Fetcher
from tests.postgres import AwayDatabase
from tests.sandbox.vods import Vod
from vodtender.errors import Transient
from vodtender.model.outcome import Adopted, Failed
from vodtender.pipeline import download
from vodtender.pipeline.claimed_vod import ClaimedVod
from vodtender.pipeline.work import Lane, Result, work_on_next
from vodtender.pipeline.workplace import Workplace

DIE_ONCE = """
    CREATE SEQUENCE deaths;
    CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF nextval('deaths') = 1 THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER die BEFORE UPDATE OF file_sha256 ON vods
        FOR EACH ROW WHEN (NEW.file_sha256 IS NOT NULL) EXECUTE FUNCTION die();
"""
"""The first connection that wants to store a file is cut."""


def problem(fetcher: Fetcher, vod: Vod) -> tuple[str, str | None, str | None]:
    row = fetcher.row(vod)
    return row["stage"], row["problem_code"], row["waiting_for"]


def unreachable(_place: Workplace, _claimed: ClaimedVod) -> Result:
    """What a download comes to while Twitch is down."""
    return Result(Failed(Transient("Twitch answers with HTTP 500.", code="http_500")))


FAILING = replace(download.LANE, work=unreachable)


def breaker_state(fetcher: Fetcher) -> dict[str, str]:
    rows = fetcher.sql("SELECT key, value FROM kv WHERE channel = 'alice'")
    return {row["key"].removeprefix("circuit_"): row["value"] for row in rows}


def spared(_place: Workplace, _claimed: ClaimedVod) -> Result:
    """What a download comes to when the file is there."""
    return Result(Adopted())


def worked_on(fetcher: Fetcher, lane: Lane) -> list[str]:
    """The VODs that it takes up until there is none left to do."""
    taken: list[str] = []

    def note(place: Workplace, claimed: ClaimedVod) -> Result:
        taken.append(claimed.vod.twitch_vod_id)
        return lane.work(place, claimed)

    while work_on_next(fetcher.place, replace(lane, work=note)):
        pass
    return taken


def fetching(fetcher: Fetcher) -> threading.Thread:
    thread = threading.Thread(target=fetcher.fetch)
    thread.start()
    return thread


# --- settings ---------------------------------------------------------------------------


def test_a_download_that_takes_too_long_is_ended_and_goes_on_later(fetcher: Fetcher) -> None:
    vod = fetcher.new(segment_count=4)
    fetcher.world.faults.hold(path="*/3.ts", times=None)
    for name, code in (("DOWNLOAD_TIMEOUT", "timeout"), ("DOWNLOAD_STALL_TIMEOUT", "stalled")):
        fetcher.restart(**{name: "2s"})
        assert fetcher.fetch()
        assert problem(fetcher, vod) == ("queued", code, "backoff")
        assert name in fetcher.row(vod)["processing_error"]
        assert not children()
        fetcher.let_pass("1 hour")
    fetcher.world.faults.clear()
    fetcher.restart()
    assert fetcher.fetch()
    assert problem(fetcher, vod) == ("downloaded", None, None)


def test_a_vod_that_is_larger_than_allowed_is_refused_for_good(fetcher: Fetcher) -> None:
    vod = fetcher.new(segment_count=12)
    fetcher.restart(DOWNLOAD_MAX_SIZE="300K")
    fetcher.fetch()
    assert problem(fetcher, vod) == ("failed", "too_large", None)
    assert "DOWNLOAD_MAX_SIZE" in fetcher.row(vod)["processing_error"]
    assert not fetcher.sql("SELECT FROM breaker_failures")


def test_two_downloads_share_the_rate_limit(fetcher: Fetcher) -> None:
    first, second = (fetcher.new(segment_count=8) for _ in range(2))
    fetcher.restart(DOWNLOAD_RATE_LIMIT=str(first.size_bytes), DOWNLOAD_SEGMENT_CONCURRENCY="1")
    both = [fetching(fetcher) for _ in range(2)]
    for thread in both:
        thread.join(60)
    assert problem(fetcher, first)[0] == problem(fetcher, second)[0] == "downloaded"
    asked = [one.at_seconds for one in fetcher.world.record.matching(path="*/chunked/*.ts")]
    assert max(asked) - min(asked) > 1.3, "two VODs, each of which would take a second alone"


def test_ytdlps_arguments_and_a_subscribers_cookies_have_their_effect(
    fetcher: Fetcher, tmp_path: Path
) -> None:
    vod = fetcher.new("subscriber-only", subscribers={"77"})
    cookies = tmp_path / "cookies.txt"
    cookies.write_text(fetcher.world.twitch.cookies("77"))
    fetcher.restart(YTDLP_ARGS="-f 'best[height<=150]'", YTDLP_COOKIES_PATH=str(cookies))
    fetcher.fetch()
    assert problem(fetcher, vod)[0] == "downloaded"
    assert fetcher.world.record.count(path=f"/{vod.folder}/720p60/*.ts") == 4


def test_cookies_that_are_refused_wait_for_a_person_and_are_nobodys_failure(
    fetcher: Fetcher, tmp_path: Path
) -> None:
    vod = fetcher.new()
    cookies = tmp_path / "cookies.txt"
    cookies.write_text(fetcher.world.twitch.cookies("77"))
    fetcher.world.twitch.viewers.clear()
    fetcher.restart(YTDLP_COOKIES_PATH=str(cookies))
    fetcher.fetch()
    assert problem(fetcher, vod) == ("queued", "login", "login")
    assert "auth import cookies" in fetcher.row(vod)["processing_error"]
    assert not fetcher.sql("SELECT FROM breaker_failures")


@pytest.mark.parametrize(
    ("status", "seconds", "waits_for"), [(503, 20, "backoff"), (429, 600, "quota")]
)
def test_a_server_that_asks_to_wait_is_given_its_time(
    fetcher: Fetcher, status: int, seconds: int, waits_for: str
) -> None:
    vod = fetcher.new()
    headers = {"Retry-After": str(seconds)}
    fetcher.world.faults.status(status, headers=headers, host="gql.twitch.tv")
    fetcher.fetch()
    row = fetcher.row(vod)
    assert (row["problem_code"], row["waiting_for"]) == ("rate_limited", waits_for)
    left = row["next_try_at"] - datetime.now(UTC)
    assert timedelta(seconds=seconds - 10) < left <= timedelta(seconds=seconds + 1)
    assert not fetcher.sql("SELECT FROM breaker_failures")


# --- witnesses --------------------------------------------------------------------------


def test_without_another_witness_one_answer_that_a_vod_is_missing_is_not_believed(
    poor_fetcher: Fetcher,
) -> None:
    fetcher = poor_fetcher
    vod = fetcher.new("deleted")
    fetcher.fetch()
    assert problem(fetcher, vod) == ("queued", "vod_missing", "second_look")
    assert not fetcher.fetch(), "it waits"
    fetcher.let_pass("1 minute")
    fetcher.fetch()
    assert problem(fetcher, vod) == ("failed", "vod_missing", None)
    assert re.search(r"not exist.*any more", fetcher.row(vod)["processing_error"])
    assert breaker_state(fetcher) == {}


def test_what_helix_still_lists_is_tried_again(fetcher: Fetcher) -> None:
    vod = fetcher.new(null_answers=1)
    fetcher.fetch()
    assert problem(fetcher, vod) == ("queued", "vod_hidden", "backoff")
    fetcher.let_pass("1 minute")
    fetcher.fetch()
    assert problem(fetcher, vod) == ("downloaded", None, None)


def test_a_vod_past_its_time_is_tried_a_few_times_before_it_is_given_up(fetcher: Fetcher) -> None:
    """Some accounts keep theirs for longer; a VOD is not lost for one cut connection."""
    fetcher.restart(DOWNLOAD_MAX_ATTEMPTS="2", DOWNLOAD_BACKOFF_BASE="1h")
    fine, lost = fetcher.new(), fetcher.new("short")
    fetcher.sql("UPDATE vods SET vanishes_at = now() - interval '3 days'")
    assert set(worked_on(fetcher, FAILING)) == {fine.id, lost.id}
    fetcher.let_pass("1 hour")
    while fetcher.fetch():
        pass
    assert problem(fetcher, fine) == ("downloaded", None, None)
    assert problem(fetcher, lost) == ("failed", "too_short", None)
    assert "has deleted the VOD by now" in fetcher.row(lost)["processing_error"]


# --- cut off between the file and the database ------------------------------------------


def test_the_connection_is_cut_while_the_file_is_stored(fetcher: Fetcher) -> None:
    vod = fetcher.new()
    fetcher.sql(DIE_ONCE)
    assert fetcher.fetch()
    row = fetcher.row(vod)
    assert row["stage"] == "downloaded"
    assert str(fetcher.file_of(vod)) == row["downloaded_path"]
    assert row["file_crc32"] == zlib.crc32(fetcher.file_of(vod).read_bytes())
    assert not list((fetcher.data / "in-progress").glob("[0-9]*"))


def test_the_worker_ends_while_the_file_is_stored_and_the_next_fetches_nothing_again(
    fetcher: Fetcher,
) -> None:
    vod = fetcher.new()
    fetcher.sql(DIE_ONCE)
    stopper = threading.Thread(target=lambda: _stop_when_placed(fetcher))
    stopper.start()
    assert fetcher.fetch()
    stopper.join(20)
    if problem(fetcher, vod)[0] == "downloading":
        assert fetcher.files(), "placed, and not stored"
    fetcher.world.record.clear()
    fetcher.restart()
    fetcher.fetch()
    assert problem(fetcher, vod)[0] == "downloaded"
    assert not segment_requests(fetcher.world, vod)
    assert frames(fetcher.file_of(vod)) == 4 * FRAMES_IN_SEGMENT


def _stop_when_placed(fetcher: Fetcher) -> None:
    wait_until(lambda: bool(fetcher.files()))
    fetcher.place.stopping.set()


def test_the_database_is_away_when_the_file_is_there(
    fetcher: Fetcher, database_away: AwayDatabase
) -> None:
    vod = fetcher.new()
    gate = fetcher.world.faults.hold(path="*/3.ts")
    thread = fetching(fetcher)
    gate.wait_reached()
    with database_away():
        gate.release()
        wait_until((fetcher.place.directory.work(vod.id) / "finished.json").exists)
        assert thread.is_alive(), "it waits to store the result"
        assert not fetcher.files()
    thread.join(60)
    assert problem(fetcher, vod)[0] == "downloaded"


def test_what_cannot_be_put_in_its_place_is_said_and_not_fetched_again(fetcher: Fetcher) -> None:
    vod = fetcher.new(title="In the way")
    obstacle = fetcher.place.directory.root / f"in-the-way_{vod.id}.mp4"
    obstacle.mkdir()
    (obstacle / "something").touch()
    fetcher.fetch()
    assert problem(fetcher, vod) == ("queued", "not_placed", "backoff")
    assert "could not be put in its place" in fetcher.row(vod)["processing_error"]
    (obstacle / "something").unlink()
    obstacle.rmdir()
    fetcher.world.record.clear()
    fetcher.let_pass("1 minute")
    fetcher.fetch()
    assert problem(fetcher, vod)[0] == "downloaded"
    assert not segment_requests(fetcher.world, vod)


def test_a_worker_that_lost_the_vod_ends_its_download_and_stores_nothing(fetcher: Fetcher) -> None:
    vod = fetcher.new()
    gate = fetcher.world.faults.hold(path="*/3.ts")
    thread = fetching(fetcher)
    gate.wait_reached()
    fetcher.sql("UPDATE vods SET claim = claim + 1, worker_id = 'another'")
    thread.join(20)
    assert not thread.is_alive()
    assert not children()
    row = fetcher.row(vod)
    assert (row["worker_id"], row["stage"]) == ("another", "downloading")
    assert not fetcher.files()


def test_a_mistake_in_the_work_itself_is_contained(
    fetcher: Fetcher, caplog: pytest.LogCaptureFixture
) -> None:
    vod = fetcher.new()
    fetcher.restart(DOWNLOAD_BACKOFF_BASE="1h")

    def mistaken(_place: Any, _claimed: ClaimedVod) -> Result:
        raise ZeroDivisionError

    with caplog.at_level("INFO", "vodtender"):
        assert work_on_next(fetcher.place, replace(download.LANE, work=mistaken))
    assert problem(fetcher, vod) == ("queued", "internal", "backoff")
    assert "internal error" in caplog.messages
    fetcher.let_pass("1 hour")
    assert worked_on(fetcher, replace(download.LANE, work=mistaken)) == [vod.id], "tried again"


# --- the breaker ------------------------------------------------------------------------


def test_five_different_vods_open_the_breaker_and_one_success_closes_it(
    fetcher: Fetcher, caplog: pytest.LogCaptureFixture
) -> None:
    fetcher.restart(DOWNLOAD_BACKOFF_BASE="1h")
    vods = [fetcher.new() for _ in range(7)]
    with caplog.at_level("INFO", "vodtender"):
        fetcher.world.faults.status(500, host="gql.twitch.tv", times=None)
        assert fetcher.fetch()
        fetcher.world.faults.clear()
        for number in range(2, 6):
            assert breaker_state(fetcher).get("state", "closed") == "closed"
            assert work_on_next(fetcher.place, FAILING), number
        assert breaker_state(fetcher)["state"] == "open"
        assert breaker_state(fetcher)["failures"] == "5"
        assert "circuit breaker open" in caplog.messages
        assert not fetcher.fetch()
        assert "circuit breaker open, skipping processing" in caplog.messages

        fetcher.sql("UPDATE kv SET value = '2020-01-01T00:00:00Z' WHERE key LIKE '%open_until'")
        assert work_on_next(fetcher.place, FAILING), "one probe goes"
        assert "circuit breaker half-open, one probe" in caplog.messages
        assert breaker_state(fetcher)["state"] == "open", "it failed"
        assert not fetcher.fetch()

        fetcher.sql("UPDATE kv SET value = '2020-01-01T00:00:00Z' WHERE key LIKE '%open_until'")
        assert fetcher.fetch()
        assert breaker_state(fetcher) == {}
    assert len(fetcher.files()) == 1
    fetcher.let_pass("1 hour")
    others = {vod.id for vod in vods if problem(fetcher, vod)[0] == "queued"}
    assert len(others) == 6
    assert others == set(worked_on(fetcher, replace(download.LANE, work=spared)))


def test_one_bad_vod_alone_never_opens_the_breaker(fetcher: Fetcher) -> None:
    vod = fetcher.new()
    for _ in range(6):
        assert work_on_next(fetcher.place, FAILING)
        fetcher.let_pass("1 day")
    assert fetcher.row(vod)["download_attempts"] == 6
    assert breaker_state(fetcher).get("state", "closed") == "closed"
    assert breaker_state(fetcher)["failures"] == "1"


def test_what_is_refused_for_good_is_no_failure_of_the_channel(fetcher: Fetcher) -> None:
    for kind in ("subscriber-only", "segment-404", "live"):
        fetcher.new(kind)
    while fetcher.fetch():
        pass
    assert breaker_state(fetcher) == {}
    assert Counter(fetcher.stages().values()) == {"failed": 2, "live": 1}
