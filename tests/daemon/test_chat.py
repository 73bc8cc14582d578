"""The chat of streams, recorded by real daemons: begun, dropped, ended, joined to its VOD."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

import psycopg
import pytest
from psycopg.rows import dict_row

from tests.clients.ytdlp.fetches import wait_until
from tests.daemon.keeper import Run, at_work, begun, tell_to_drain
from tests.postgres import AwayDatabase
from tests.sandbox.irc_lines import Said
from tests.sandbox.vods import Channel, Vod
from tests.sandbox.world import World
from tests.soak.daemon import Daemon
from vodtender.errors import Exit
from vodtender.procedures import pause
from vodtender.store.database import Database

STREAM, LATER_STREAM = "42000000001", "42000000002"
_SETTINGS = {
    "CHAT_AUTO_START": "1",
    "CHAT_AUTO_POLL_INTERVAL": "200ms",
    "CHAT_OFFLINE_AFTER": "2s",
    "VOD_RECONCILE_DELAY": "100ms",
    "VOD_PROCESS_INTERVAL": "300ms",
    "LEASE_SECONDS": "2",
    "HTTP_ADDR": "127.0.0.1:0",
    "YT_ENABLED": "0",
    "DISK_RESERVE": "0",
}
_WITHOUT_HELIX = {
    "TWITCH_CLIENT_ID": "",
    "TWITCH_CLIENT_SECRET": "",
    "VOD_PROCESS_INTERVAL": "1h",
    "CHAT_AUTO_POLL_INTERVAL": "1s",
    "CHAT_OFFLINE_AFTER": "6s",
}
"""Each look at the channel is a process then."""
_PATIENCE_SECONDS = 30.0


class Studio:
    """A channel, its chat, and daemons that record it. Downloads are paused: the VODs are not
    what this is about."""

    def __init__(self, world: World, dsn: str, root: Path) -> None:
        self.world = world
        self.channel: Channel = world.add_channel("alice")
        self.dsn = dsn
        self.root = root
        database = Database(lambda: dsn)
        pause.begin(database, actor="op", reason=None, dry_run=False)
        database.close()

    def environ(self, name: str = "one", **settings: str) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            **self.world.env(),
            **self.world.settings(youtube=False),
            **_SETTINGS,
            "DB_DSN": self.dsn,
            "DATA_DIR": str(self.root / name),
            **settings,
        }

    def recorder(self, name: str = "one", **settings: str) -> AbstractContextManager[Run]:
        """A daemon in this very process, until it is told to drain at the end."""
        return at_work(self.environ(name, **settings))

    @contextmanager
    def daemon(self, name: str = "one", **settings: str) -> Iterator[Daemon]:
        """One that can be killed. At the end it is, if it still lives."""
        environ = self.environ(name, **settings)
        daemon = Daemon(environ, Path.cwd(), self.root / f"{name}.log")
        daemon.start()
        try:
            yield daemon
        finally:
            if daemon.status is None:
                daemon.kill()

    def metrics(self) -> str:
        address = re.search(r"http=\S*?(127\.0\.0\.1:\d+)", self.log())
        assert address is not None
        directly = build_opener(ProxyHandler({}))
        with directly.open(f"http://{address[1]}/metrics", timeout=10) as answer:
            return str(answer.read(), "utf-8")

    def log(self, name: str = "one") -> str:
        return (self.root / f"{name}.log").read_text()

    # --- what the broadcaster does ----------------------------------------------------

    def go_live(self, stream_id: str = STREAM, *, joined: int = 1) -> datetime:
        """Returns when the stream began, which is a while ago."""
        began_at = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=100)
        self.channel.stream_id, self.channel.live_since = stream_id, began_at
        self.channel.live = True
        self.world.chat.wait_joined("alice", joined, timeout_seconds=_PATIENCE_SECONDS)
        return began_at

    def go_offline(self) -> None:
        self.channel.live = False

    def wait_looked(self, times: int) -> None:
        """Until somebody has asked so often whether the channel is live."""
        before = self._looks()
        wait_until(lambda: self._looks() >= before + times, _PATIENCE_SECONDS)

    def _looks(self) -> int:
        record = self.world.record
        return record.count("api.twitch.tv", "/helix/streams") + record.count("gql.twitch.tv")

    def wait_left(self) -> None:
        self.world.chat.wait_joined("alice", 0, timeout_seconds=_PATIENCE_SECONDS)

    def publish(self, began_at: datetime, stream_id: str | None = STREAM) -> Vod:
        """The VOD appears; its recording is over."""
        return self.world.add_vod(
            "alice", published_at=began_at, stream_id=stream_id, reported_seconds=120
        )

    # --- what is there ----------------------------------------------------------------

    def sql(self, statement: str, *parameters: Any) -> list[dict[str, Any]]:
        with psycopg.connect(self.dsn, row_factory=dict_row) as connection:
            return connection.execute(statement, parameters).fetchall()

    def stored(self) -> dict[str, dict[str, Any]]:
        """By message id."""
        return {row["message_id"]: row for row in self.sql("SELECT * FROM chat_messages")}

    def wait_stored(self, *said: Said) -> None:
        wait_until(lambda: self.stored().keys() >= {s.id for s in said}, _PATIENCE_SECONDS)

    def wait_joined_to(self, vod: Vod, *said: Said) -> None:
        """Until all that was said is the VOD's."""

        def all_there() -> bool:
            found = self.stored()
            return all(s.id in found and found[s.id]["vod_id"] == vod.id for s in said)

        wait_until(all_there, _PATIENCE_SECONDS)

    def wait_ended(self, count: int = 1) -> None:
        wait_until(
            lambda: (
                len(self.sql("SELECT FROM chat_recordings WHERE ended_at IS NOT NULL")) == count
            ),
            _PATIENCE_SECONDS,
        )

    def assert_relative_to(self, began_at: datetime, *said: Said) -> None:
        found = self.stored()
        for one in said:
            expected = one.sent_ms / 1000 - began_at.timestamp()
            assert found[one.id]["relative_seconds"] == pytest.approx(expected, abs=0.002)


@pytest.fixture
def studio(in_world: World, database_dsn: str, tmp_path: Path) -> Studio:
    return Studio(in_world, database_dsn, tmp_path)


@pytest.mark.parametrize("more", [{}, _WITHOUT_HELIX], ids=["helix", "yt-dlp"])
def test_a_stream_that_drops_for_a_moment_is_one_vod_with_all_its_messages(
    studio: Studio, more: dict[str, str]
) -> None:
    say = studio.world.chat.say
    with studio.recorder(**more):
        began_at = studio.go_live()
        said = [say("alice", "hello", user="bob")]
        studio.go_offline()
        studio.wait_looked(2)
        said.append(say("alice", "is it over?"))
        studio.channel.live = True
        said.append(say("alice", "it is not"))
        studio.wait_stored(*said)
        assert {row["vod_id"] for row in studio.stored().values()} == {f"live-{STREAM}"}
        assert not studio.sql("SELECT FROM vods")
        studio.go_offline()
        studio.wait_left()
        studio.wait_ended()
        vod = studio.publish(began_at)
        if not more:
            studio.wait_joined_to(vod, *said)
    if more:  # yt-dlp is asked for the channel's VODs at the start, and then rarely
        with studio.recorder(**more):
            studio.wait_joined_to(vod, *said)
    studio.assert_relative_to(began_at, *said)
    assert len(studio.stored()) == len(said)
    assert not studio.sql("SELECT FROM vods WHERE twitch_vod_id <> %s", vod.id)


def test_a_second_stream_of_the_day_has_a_vod_of_its_own(studio: Studio) -> None:
    say = studio.world.chat.say
    with studio.recorder():
        first_began = studio.go_live()
        first = say("alice", "in the first")
        studio.wait_stored(first)
        studio.go_offline()
        studio.wait_left()
        first_vod = studio.publish(first_began)
        second_began = studio.go_live(LATER_STREAM)
        second = say("alice", "in the second")
        studio.wait_stored(second)
        studio.go_offline()
        second_vod = studio.publish(second_began, LATER_STREAM)
        studio.wait_joined_to(first_vod, first)
        studio.wait_joined_to(second_vod, second)
    studio.assert_relative_to(second_began, second)


def test_a_killed_daemon_goes_on_with_the_stream_and_joins_it(studio: Studio) -> None:
    say = studio.world.chat.say
    with studio.daemon() as daemon:
        began_at = studio.go_live()
        before = say("alice", "before")
        studio.wait_stored(before)
        daemon.kill()
        studio.wait_left()
        daemon.start()
        studio.world.chat.wait_joined("alice", timeout_seconds=_PATIENCE_SECONDS)
        after = say("alice", "after")
        studio.wait_stored(after)
        (recording,) = studio.sql("SELECT * FROM chat_recordings")
        assert recording["vod_id"] == f"live-{STREAM}"
        gaps = studio.sql("SELECT * FROM chat_gaps ORDER BY from_at")
        assert any(gap["to_at"] is not None and gap["to_at"] > gap["from_at"] for gap in gaps)
        daemon.kill()
        studio.go_offline()
        vod = studio.publish(began_at)
    with studio.recorder():
        studio.wait_joined_to(vod, before, after)
    studio.assert_relative_to(began_at, before, after)


def test_two_daemons_record_once_and_one_takes_over_when_the_other_dies(studio: Studio) -> None:
    say = studio.world.chat.say
    with studio.daemon() as one:
        studio.go_live()
        first = say("alice", "to one of them")
        studio.wait_stored(first)
        with studio.recorder("two"):
            wait_until(lambda: len(studio.sql("SELECT FROM workers")) == 2, _PATIENCE_SECONDS)
            studio.wait_looked(2)
            assert len(studio.world.chat.members("alice")) == 1
            lease = "SELECT worker_id FROM leases WHERE name = 'chat alice'"
            (holder,) = studio.sql(lease)
            assert f"-{one.pid}-" in holder["worker_id"]
            one.kill()
            studio.world.chat.wait(
                lambda chat: chat.connections >= 2 and len(chat.members("alice")) == 1,
                timeout_seconds=_PATIENCE_SECONDS,
            )
            wait_until(
                lambda: studio.sql(lease)[0]["worker_id"] != holder["worker_id"], _PATIENCE_SECONDS
            )
            second = say("alice", "to the other")
            studio.wait_stored(first, second)
    assert len(studio.sql("SELECT FROM chat_recordings")) == 1


def test_a_stream_that_never_becomes_a_vod_keeps_its_chat(studio: Studio) -> None:
    with studio.recorder():
        studio.go_live()
        said = studio.world.chat.say("alice", "for nobody")
        studio.wait_stored(said)
        studio.go_offline()
        studio.wait_ended()
        # Another stream's VOD that began long before is not taken for it.
        studio.publish(datetime.now(UTC) - timedelta(hours=9), "41999999999")
        wait_until(lambda: bool(studio.sql("SELECT FROM vods")), _PATIENCE_SECONDS)
    assert studio.stored()[said.id]["vod_id"] == f"live-{STREAM}"


def test_stopping_the_daemon_stores_what_was_heard_and_leaves_the_stream_open(
    studio: Studio,
) -> None:
    with studio.daemon() as daemon:
        studio.go_live()
        said = [studio.world.chat.say("alice", f"number {n}") for n in range(500)]
        studio.wait_stored(said[0])
        connected = 'vod_chat_connected{channel="alice"} 1.0'
        wait_until(lambda: connected in studio.metrics(), _PATIENCE_SECONDS)
        os.kill(daemon.pid, 15)
        assert daemon.wait(20) == 0
    assert len(studio.stored()) == 500
    (recording,) = studio.sql("SELECT ended_at FROM chat_recordings")
    assert recording["ended_at"] is None
    assert "chat recorder stopped" in studio.log()


def test_while_the_database_is_away_the_stream_is_recorded_all_the_same(
    studio: Studio, database_away: AwayDatabase
) -> None:
    say = studio.world.chat.say
    with studio.daemon() as daemon:
        began_at = studio.go_live()
        said = [say("alice", "before")]
        studio.wait_stored(*said)
        with database_away():
            wait_until(lambda: "it is kept on the disk" in studio.log(), _PATIENCE_SECONDS)
            said += [say("alice", f"meanwhile {n}") for n in range(100)]
            # The stream is over, and its daemon dead, before anything could be stored.
            studio.go_offline()
            wait_until(lambda: _is_kept(studio, said[-1]), _PATIENCE_SECONDS)
            daemon.kill()
    vod = studio.publish(began_at)
    with studio.recorder():
        studio.wait_joined_to(vod, *said)
    studio.assert_relative_to(began_at, *said)


def test_a_stream_that_begins_while_the_database_is_away_is_recorded_from_its_beginning(
    studio: Studio, database_away: AwayDatabase
) -> None:
    with studio.recorder():
        studio.wait_looked(1)
        with database_away():
            began_at = studio.go_live()
            said = [studio.world.chat.say("alice", f"to the disk alone {n}") for n in range(20)]
            wait_until(lambda: _is_kept(studio, said[-1]), _PATIENCE_SECONDS)
        studio.wait_stored(*said)
        (recording,) = studio.sql("SELECT * FROM chat_recordings")
    assert (recording["vod_id"], recording["stream_id"]) == (f"live-{STREAM}", STREAM)
    studio.assert_relative_to(began_at, *said)


def _is_kept(studio: Studio, said: Said) -> bool:
    """Whether it lies under DATA_DIR."""
    kept = (studio.root / "one" / "in-progress" / "chat").rglob("*.log")
    return any(said.id.encode() in path.read_bytes() for path in kept)


def test_a_daemon_that_drains_leaves_the_stream_to_another(studio: Studio) -> None:
    with studio.recorder() as one:
        studio.go_live()
        first = studio.world.chat.say("alice", "to the first")
        studio.wait_stored(first)
        with studio.recorder("two"):
            wait_until(lambda: len(studio.sql("SELECT FROM workers")) == 2, _PATIENCE_SECONDS)
            (row,) = studio.sql("SELECT worker_id FROM leases WHERE name = 'chat alice'")
            tell_to_drain(studio.dsn, row["worker_id"])
            assert one.ended() == Exit.DONE
            studio.world.chat.wait(
                lambda chat: chat.connections == 2 and len(chat.members("alice")) == 1,
                timeout_seconds=_PATIENCE_SECONDS,
            )
            second = studio.world.chat.say("alice", "to the second")
            studio.wait_stored(first, second)
    assert len(studio.sql("SELECT FROM chat_recordings")) == 1


def test_draining_does_not_wait_for_a_stream_to_end(studio: Studio) -> None:
    studio.channel.live, studio.channel.stream_id = True, STREAM
    with studio.recorder():
        studio.world.chat.wait_joined("alice", timeout_seconds=_PATIENCE_SECONDS)
    assert begun(studio.environ()).ended(_PATIENCE_SECONDS) == Exit.DONE


def test_by_hand_the_chat_goes_to_the_vod_that_is_named(studio: Studio) -> None:
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
    manual = {
        "CHAT_AUTO_START": "0",
        "TWITCH_VOD_ID": "2300000999",
        "TWITCH_VOD_START": f"{start:%Y-%m-%dT%H:%M:%SZ}",
    }
    with studio.recorder(**manual):
        studio.world.chat.wait_joined("alice", timeout_seconds=_PATIENCE_SECONDS)
        said = studio.world.chat.say("alice", "by hand")
        studio.wait_stored(said)
    assert studio.stored()[said.id]["vod_id"] == "2300000999"
    studio.assert_relative_to(start, said)
