"""What an operator types reaches a running daemon at once: it hears of it, and does not wait for
its next look."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from psycopg import sql

from tests.archive import Archive
from tests.clients.ytdlp.fetches import wait_until
from tests.daemon.keeper import Run, at_work
from tests.rows import add_worker, rows
from tests.sandbox.vods import Vod
from tests.sandbox.world import World
from vodtender.errors import Exit
from vodtender.procedures import add, breaker, drain, pause
from vodtender.store.database import CHANNEL, Database, connect

WHO: dict[str, Any] = {"actor": "op", "reason": None, "dry_run": False}
PATIENCE_SECONDS = 60


# --- they are woken ---------------------------------------------------------------------


def _drain(database: Database) -> None:
    drain.drain(database, worker_id="w", all_workers=False, **WHO)


def _trip(database: Database) -> None:
    breaker.trip(database, ["alice"], rest=None, cooldown=timedelta(minutes=5), **WHO)


COMMANDS: dict[str, Callable[[Database], object]] = {
    "pause": lambda database: pause.begin(database, **WHO),
    "resume": lambda database: pause.end(database, **WHO),
    "breaker trip": _trip,
    "breaker reset": lambda database: breaker.reset(database, ["alice"], **WHO),
    "drain": _drain,
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_each_command_notifies_whoever_listens(
    archive: Archive, command: Callable[[Database], object]
) -> None:
    add_worker(archive.database, "w")
    if command is COMMANDS["resume"]:
        pause.begin(archive.database, **WHO)
    if command is COMMANDS["breaker reset"]:
        _trip(archive.database)
    with connect(archive.dsn, autocommit=True) as listening:
        listening.execute(sql.SQL("LISTEN {}").format(sql.Identifier(CHANNEL)))
        command(archive.database)
        assert list(listening.notifies(timeout=PATIENCE_SECONDS, stop_after=1))


# --- and act ----------------------------------------------------------------------------


class Site:
    """A daemon that only downloads, in a world of its own."""

    def __init__(
        self, world: World, database: Database, tmp_path: Path, log: pytest.LogCaptureFixture
    ) -> None:
        self.world = world
        self.database = database
        self._log = log
        self._environ = {
            **world.settings(),
            "HTTP_ADDR": "127.0.0.1:0",
            "YT_ENABLED": "0",
            "DB_DSN": database.dsn,
            "DATA_DIR": str(tmp_path / "data"),
        }

    def daemon(self) -> AbstractContextManager[Run]:
        return at_work(self._environ)

    def says(self, text: str) -> bool:
        return text in self._log.messages

    def put_in(self, vod: Vod) -> None:
        """Adds it to the queue, as `vodtender add` does."""
        add.add(self.database, [vod.id], skip_upload=False, priority=None, **WHO)

    def stage(self, vod: Vod) -> str:
        found = rows(self.database, "SELECT stage FROM vods WHERE twitch_vod_id = %s", vod.id)
        return str(found[0][0]) if found else ""

    def is_down(self, vod: Vod) -> None:
        wait_until(lambda: self.stage(vod) == "downloaded", PATIENCE_SECONDS)


@pytest.fixture
def site(
    in_world: World, database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> Site:
    in_world.add_channel("alice")
    caplog.set_level("INFO", "vodtender")
    return Site(in_world, database, tmp_path, caplog)


def test_in_a_pause_work_in_hand_is_finished_and_nothing_begun_until_resume(site: Site) -> None:
    first = site.world.add_vod("alice", segment_count=3)
    gate = site.world.faults.hold(path="*/1.ts")
    with site.daemon():
        gate.wait_reached(PATIENCE_SECONDS)
        pause.begin(site.database, **WHO)
        second = site.world.add_vod("alice", segment_count=3)
        site.put_in(second)
        gate.release()
        site.is_down(first)
        assert site.stage(second) == "queued"

    listed = "SELECT listed_at FROM channels WHERE channel = 'alice'"
    before = rows(site.database, listed)
    with site.daemon():
        wait_until(lambda: rows(site.database, listed) > before, PATIENCE_SECONDS)
        assert site.stage(second) == "queued", "the pause outlives the daemon"

        pause.end(site.database, **WHO)
        site.is_down(second)


def test_a_tripped_breaker_keeps_work_from_being_begun_until_it_is_reset(site: Site) -> None:
    vod = site.world.add_vod("alice", segment_count=3)
    breaker.trip(
        site.database, ["alice"], rest=timedelta(hours=1), cooldown=timedelta(hours=1), **WHO
    )
    with site.daemon():
        wait_until(lambda: site.says("circuit breaker open, skipping processing"), PATIENCE_SECONDS)
        assert site.stage(vod) == "queued"
        breaker.reset(site.database, ["alice"], **WHO)
        site.is_down(vod)


def test_a_drained_daemon_finishes_what_it_has_and_ends_and_whoever_waits_is_told(
    site: Site,
) -> None:
    first = site.world.add_vod("alice", segment_count=3)
    gate = site.world.faults.hold(path="*/1.ts")
    with site.daemon() as daemon:
        gate.wait_reached(PATIENCE_SECONDS)
        (change,) = drain.drain(site.database, worker_id=None, all_workers=False, **WHO)
        assert change.note == f"works on {first.id}"
        wait_until(lambda: site.says("draining: nothing new is begun"), PATIENCE_SECONDS)
        second = site.world.add_vod("alice", segment_count=3)
        site.put_in(second)

        seen: list[list[drain.InHand]] = []
        waiter = Database(lambda: site.database.dsn)
        waiting = threading.Thread(
            target=drain.wait,
            args=(waiter, [change.target]),
            kwargs={"timeout_seconds": PATIENCE_SECONDS, "on_change": seen.append},
        )
        waiting.start()
        wait_until(lambda: bool(seen))
        gate.release()
        assert daemon.ended(PATIENCE_SECONDS) == Exit.DONE
    waiting.join(PATIENCE_SECONDS)
    waiter.close()
    assert not waiting.is_alive()
    assert seen == [[drain.InHand(change.target, (first.id,))]]
    assert (site.stage(first), site.stage(second)) == ("downloaded", "queued")
    assert rows(site.database, "SELECT * FROM workers") == []
