"""The threads that look at the channels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.clients.ytdlp.fetches import wait_until
from tests.pipeline.fetcher import Fetcher
from tests.postgres import AwayDatabase
from tests.sandbox.world import World
from vodtender.daemon.chores import Chores
from vodtender.daemon.lanes import Bell, Gate
from vodtender.daemon.lookout import Lookout
from vodtender.store import leases

OFTEN = {"VOD_PROCESS_INTERVAL": "100ms"}
WITHOUT = {"TWITCH_CLIENT_ID": "", "TWITCH_CLIENT_SECRET": ""}


@pytest.fixture
def fetcher(
    request: pytest.FixtureRequest, in_world: World, database_dsn: str, tmp_path: Path
) -> Iterator[Fetcher]:
    """Its settings want it to look often; a parameter may be more of them."""
    in_world.add_channel("alice")
    more = getattr(request, "param", {})
    fetcher = Fetcher(in_world, database_dsn, tmp_path, **OFTEN, **more)
    yield fetcher
    fetcher.close()


@contextmanager
def looking(fetcher: Fetcher, gate: Gate | None = None, *, once: bool = False) -> Iterator[Lookout]:
    lookout = Lookout(fetcher.place, gate or Gate(fetcher.place), Bell(), once=once)
    for thread in lookout.threads:
        thread.start()
    yield lookout
    fetcher.place.stopping.set()
    for thread in lookout.threads:
        thread.join(20)
        assert not thread.is_alive()
        assert thread.failure is None


@pytest.mark.parametrize("fetcher", [{}, WITHOUT], ids=["helix", "yt-dlp"], indirect=True)
def test_a_vod_that_is_new_is_found_at_the_next_look(fetcher: Fetcher) -> None:
    with looking(fetcher) as lookout:
        wait_until(lambda: lookout.is_settled)
        vod = fetcher.world.add_vod("alice")
        wait_until(lambda: vod.id in fetcher.stages())


def test_a_look_that_a_dead_worker_left_unfinished_is_made_up_for_before_a_run_may_end(
    fetcher: Fetcher,
) -> None:
    vod = fetcher.world.add_vod("alice")
    with fetcher.database.transaction() as connection:
        leases.take(connection, "discover alice", "another", 120)
    with looking(fetcher, once=True) as lookout:
        wait_until(lambda: fetcher.sql("SELECT channel FROM channels") != [])
        assert not lookout.is_settled
        with fetcher.database.transaction() as connection:
            leases.release_all(connection, "another")
        wait_until(lambda: lookout.is_settled)
        assert vod.id in fetcher.stages()


def test_a_channel_that_hangs_does_not_delay_the_others(
    in_world: World, database_dsn: str, tmp_path: Path
) -> None:
    for name in ("alice", "bob"):
        in_world.add_channel(name)
    fetcher = Fetcher(in_world, database_dsn, tmp_path, **OFTEN)
    gate = in_world.faults.hold(
        host="api.twitch.tv", when=lambda request: "login=alice" in request.query_text
    )

    def found(vod_id: str) -> bool:
        return vod_id in fetcher.stages()

    with looking(fetcher):
        gate.wait_reached()
        for _ in range(2):
            vod = in_world.add_vod("bob")
            wait_until(partial(found, vod.id))
        gate.release()
    fetcher.close()


def test_it_goes_on_when_the_database_is_back(
    fetcher: Fetcher, database_away: AwayDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate(fetcher.place)
    with looking(fetcher, gate) as lookout:
        wait_until(lambda: lookout.is_settled)
        with database_away():
            vod = fetcher.world.add_vod("alice")
            wait_until(lambda: gate.database.away_since is not None)
        wait_until(lambda: vod.id in fetcher.stages(), 30)
    assert "the database is away; waiting" in caplog.messages
    assert not [one for one in caplog.records if not one.name.startswith("vodtender")]


def test_a_mistake_of_ours_is_noted_with_the_channel_and_does_not_end_it(
    fetcher: Fetcher, caplog: pytest.LogCaptureFixture
) -> None:
    vod = fetcher.world.add_vod("alice")
    fetcher.sql("ALTER TABLE vods RENAME COLUMN length_grew_at TO elsewhere")
    with caplog.at_level("INFO", "vodtender"), looking(fetcher):
        wait_until(lambda: "internal error" in caplog.messages)
        fetcher.sql("ALTER TABLE vods RENAME COLUMN elsewhere TO length_grew_at")
        wait_until(lambda: vod.id in fetcher.stages())
        wait_until(lambda: fetcher.sql("SELECT problem FROM channels") == [{"problem": None}])


def test_a_mistake_in_a_chore_is_contained(
    fetcher: Fetcher, caplog: pytest.LogCaptureFixture
) -> None:
    def mistaken() -> None:
        raise ZeroDivisionError

    chores = Chores(fetcher.place, Gate(fetcher.place), Bell())
    with caplog.at_level("INFO", "vodtender"):
        chores.guarded(mistaken)()
    assert "internal error" in caplog.messages
