"""Finding a channel's VODs: all of them, once, and what is known of them kept fresh."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.pipeline.fetcher import Fetcher
from tests.sandbox.vods import Vod
from vodtender.errors import AuthExpired, RateLimited, Transient

PAGES: dict[str, Any] = {"host": "api.twitch.tv", "path": "/helix/videos"}


def count(fetcher: Fetcher) -> int:
    found: int = fetcher.sql("SELECT count(*) AS n FROM vods")[0]["n"]
    return found


def cursor(fetcher: Fetcher) -> tuple[str | None, int] | None:
    rows = fetcher.sql("SELECT cursor, place FROM catalog_cursors")
    return (rows[0]["cursor"], rows[0]["place"]) if rows else None


def pages(fetcher: Fetcher) -> list[str]:
    """The cursors with which pages of VODs were asked for."""
    return [
        one.query.partition("after=")[2].partition("&")[0]
        for one in fetcher.world.record.matching(**PAGES)
    ]


def many(fetcher: Fetcher, number: int) -> list[Vod]:
    return [fetcher.world.add_vod("alice", segment_count=1) for _ in range(number)]


def test_a_whole_catalog_is_walked_through_page_by_page_and_a_second_look_touches_no_row(
    either_fetcher: Fetcher,
) -> None:
    many(either_fetcher, 230)
    looked = either_fetcher.look()
    assert (looked.new, looked.error) == (230, None)
    assert count(either_fetcher) == 230
    (channel,) = either_fetcher.sql("SELECT * FROM channels")
    assert None not in (channel["listed_at"], channel["catalogued_at"])
    before = either_fetcher.sql("SELECT id, xmin::text FROM vods ORDER BY id")
    looked = either_fetcher.look()
    assert (looked.new, looked.error) == (0, None)
    assert either_fetcher.sql("SELECT id, xmin::text FROM vods ORDER BY id") == before


def test_what_changes_at_twitch_is_refreshed_whatever_the_vods_stage(
    either_fetcher: Fetcher,
) -> None:
    fetcher = either_fetcher
    queued, done = many(fetcher, 2)
    fetcher.look()
    fetcher.sql(
        "UPDATE vods SET stage = 'published', video_id = 'v' WHERE twitch_vod_id = %s", done.id
    )
    for vod in (queued, done):
        vod.title, vod.reported_seconds = "Another title", 1234
    fetcher.look()
    for vod in (queued, done):
        row = fetcher.row(vod)
        assert (row["title"], row["duration_seconds"]) == ("Another title", 1234)
    assert fetcher.stages() == {queued.id: "live", done.id: "published"}, "one has grown"
    for vod in (queued, done):
        vod.title, vod.reported_seconds = "", 0
    fetcher.look()
    row = fetcher.row(done)
    assert (row["title"], row["duration_seconds"]) == ("Another title", 1234)


def test_only_what_the_limits_allow_is_taken(either_fetcher: Fetcher) -> None:
    fetcher = either_fetcher
    old = fetcher.world.add_vod("alice", age=timedelta(days=9))
    newest = [fetcher.world.add_vod("alice", age=timedelta(days=n)) for n in (1, 2, 3)]
    fetcher.restart(VOD_CATALOG_MAX="2")
    assert fetcher.look().new == 2
    assert set(fetcher.stages()) == {vod.id for vod in newest[:2]}
    fetcher.restart(VOD_CATALOG_MAX_AGE_DAYS="5")
    fetcher.sql("UPDATE channels SET catalogued_at = NULL")
    assert fetcher.look().new == 1
    assert old.id not in fetcher.stages()
    fetcher.restart()
    fetcher.sql("UPDATE channels SET catalogued_at = NULL")
    assert fetcher.look().new == 1


def test_highlights_and_uploads_are_taken_by_setting(either_fetcher: Fetcher) -> None:
    fetcher = either_fetcher
    vods = {
        kind: fetcher.world.add_vod("alice", broadcast_type=kind)
        for kind in ("archive", "highlight", "upload")
    }
    assert fetcher.look().new == 1
    fetcher.restart(TWITCH_VOD_TYPES="archive,highlight,upload")
    assert fetcher.look().new == 2
    for kind, vod in vods.items():
        row = fetcher.row(vod)
        assert (row["kind"], row["vanishes_at"] is not None) == (kind, kind == "archive")


def test_a_channel_that_is_not_there_is_noted_with_what_to_do(either_fetcher: Fetcher) -> None:
    looked = either_fetcher.look("nobody")
    assert looked.error is not None
    assert looked.error.code in ("unknown_channel", "channel_missing")
    (channel,) = either_fetcher.sql("SELECT * FROM channels WHERE channel = 'nobody'")
    assert "TWITCH_CHANNEL" in channel["problem"]
    many(either_fetcher, 1)
    assert either_fetcher.look().new == 1


@pytest.mark.parametrize("answer", ["gone", "garbage"])
def test_that_nobody_says_who_is_live_keeps_no_vod_from_being_found(
    fetcher: Fetcher, answer: str
) -> None:
    (vod,) = many(fetcher, 1)
    faults = fetcher.world.faults
    if answer == "gone":
        faults.json(404, {"error": "Not Found", "status": 404}, path="/helix/streams")
    else:
        faults.html(path="/helix/streams")
    assert fetcher.look().error is None
    assert fetcher.stages() == {vod.id: "queued"}


# --- the walk is cut off ----------------------------------------------------------------


def test_garbage_on_the_second_page_loses_nothing_and_the_walk_goes_on_there(
    fetcher: Fetcher,
) -> None:
    many(fetcher, 230)
    # The newest page is asked for first, then the walk begins.
    fetcher.world.faults.html(skip=2, **PAGES)
    looked = fetcher.look()
    assert isinstance(looked.error, Transient)
    assert (looked.new, count(fetcher)) == (100, 100)
    kept = cursor(fetcher)
    assert kept is not None
    assert kept[1] == 100
    fetcher.world.record.clear()
    assert fetcher.look().new == 130
    assert cursor(fetcher) == (None, 0)
    assert pages(fetcher)[0] == ""
    assert "" not in pages(fetcher)[1:], "what lies before the cursor is not walked through again"


def test_a_listing_without_an_account_that_breaks_off_has_brought_what_came_before(
    poor_fetcher: Fetcher,
) -> None:
    many(poor_fetcher, 130)
    poor_fetcher.world.faults.status(500, host="gql.twitch.tv", skip=1)
    looked = poor_fetcher.look()
    assert isinstance(looked.error, Transient)
    assert (looked.new, count(poor_fetcher)) == (100, 100)
    assert poor_fetcher.look().new == 30


_LOOK = """
import os
from pathlib import Path
import pytest

from tests.pipeline.fetcher import Fetcher
class World:
    def settings(self, **_): return {}
Fetcher(World(), os.environ["DB_DSN"], Path(os.environ["ROOT"]), **{
    name: os.environ[name] for name in ("TWITCH_CLIENT_ID", "TWITCH_CLIENT_SECRET")
}).look()
"""


def test_killed_between_two_pages_the_cursor_covers_what_was_stored(fetcher: Fetcher) -> None:
    many(fetcher, 330)
    gate = fetcher.world.faults.hold(skip=3, **PAGES)
    environ = {**os.environ, **fetcher.environ(), "ROOT": str(fetcher.data.parent)}
    with subprocess.Popen([sys.executable, "-c", _LOOK], env=environ) as process:
        gate.wait_reached(30)
        process.kill()
    gate.release()
    kept = cursor(fetcher)
    assert kept is not None
    assert (count(fetcher), kept[1]) == (200, 200)
    fetcher.restart()
    assert fetcher.look().new == 130
    assert count(fetcher) == 330


def test_a_cursor_that_twitch_no_longer_takes_is_given_up(fetcher: Fetcher) -> None:
    many(fetcher, 130)
    fetcher.world.faults.html(skip=2, **PAGES)
    fetcher.look()
    fetcher.sql("UPDATE catalog_cursors SET cursor = 'c3RhbGU='")
    looked = fetcher.look()
    assert looked.error is not None
    assert looked.error.code == "cursor_refused"
    assert fetcher.look().new == 30
    assert count(fetcher) == 130


def test_the_limit_on_the_catalog_counts_what_lies_before_the_cursor(fetcher: Fetcher) -> None:
    many(fetcher, 330)
    fetcher.restart(VOD_CATALOG_MAX="250")
    fetcher.world.faults.html(skip=3, **PAGES)
    fetcher.look()
    assert count(fetcher) == 200
    fetcher.look()
    assert count(fetcher) == 250


def test_a_stop_ends_the_walk_and_the_next_goes_on(fetcher: Fetcher) -> None:
    many(fetcher, 230)
    gate = fetcher.world.faults.hold(skip=2, **PAGES)
    looking = threading.Thread(target=fetcher.look)
    looking.start()
    gate.wait_reached()
    fetcher.place.stopping.set()
    gate.release()
    looking.join(20)
    assert not looking.is_alive()
    assert count(fetcher) == 100
    assert fetcher.sql("SELECT problem FROM channels") == [{"problem": None}]
    fetcher.restart()
    assert fetcher.look().new == 130


def test_one_worker_at_a_time_looks_at_a_channel(fetcher: Fetcher) -> None:
    many(fetcher, 3)
    gate = fetcher.world.faults.hold(host="*.twitch.tv")
    looking = threading.Thread(target=fetcher.look)
    looking.start()
    gate.wait_reached()
    fetcher.place = replace(fetcher.place, worker_id="another")
    assert fetcher.look().new == 0
    assert count(fetcher) == 0
    gate.release()
    looking.join(20)
    assert count(fetcher) == 3


def test_a_worker_that_has_lost_the_channel_stores_nothing_more(fetcher: Fetcher) -> None:
    many(fetcher, 230)
    gate = fetcher.world.faults.hold(skip=2, **PAGES)
    looking = threading.Thread(target=fetcher.look)
    looking.start()
    gate.wait_reached()
    before = (count(fetcher), cursor(fetcher))
    fetcher.sql("UPDATE leases SET worker_id = 'another', claim = claim + 1")
    gate.release()
    looking.join(20)
    assert not looking.is_alive()
    assert (count(fetcher), cursor(fetcher)) == before
    (channel,) = fetcher.sql("SELECT listed_at, problem FROM channels")
    assert channel == {"listed_at": None, "problem": None}


def test_credentials_that_twitch_refuses_are_told_and_keep_no_vod_from_being_found(
    fetcher: Fetcher,
) -> None:
    many(fetcher, 3)
    fetcher.restart(TWITCH_CLIENT_SECRET="another")
    looked = fetcher.look()
    assert (looked.new, looked.spared) == (3, True)
    assert isinstance(looked.error, AuthExpired)
    (channel,) = fetcher.sql("SELECT listed_at, problem FROM channels")
    assert channel["listed_at"] is not None
    assert "TWITCH_CLIENT_SECRET" in channel["problem"]
    fetcher.restart(TWITCH_CLIENT_SECRET=fetcher.world.settings()["TWITCH_CLIENT_SECRET"])
    assert fetcher.look().error is None
    assert fetcher.sql("SELECT problem FROM channels") == [{"problem": None}]


def test_twitchs_limit_is_respected_until_it_ends(fetcher: Fetcher) -> None:
    many(fetcher, 3)
    fetcher.world.helix.remaining = 2
    fetcher.world.helix.reset_seconds = 3600
    looked = fetcher.look()
    assert isinstance(looked.error, RateLimited)
    asked = len(fetcher.world.record.matching("api.twitch.tv"))
    looked = fetcher.look()
    assert isinstance(looked.error, RateLimited)
    assert len(fetcher.world.record.matching("api.twitch.tv")) == asked, "nothing was sent"
    fetcher.world.helix.refill()
    fetcher.restart()
    assert fetcher.look().new == 3
