"""The runbook's SQL works as it stands there, while the daemon runs and while it does not."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from tests import spec_runbook
from tests.clients.ytdlp.fetches import wait_until
from tests.pipeline.publisher import POST, log_in
from tests.sandbox.videos import Outcome
from tests.sandbox.vods import Vod
from tests.sandbox.world import World
from tests.soak.daemon import Daemon
from vodtender.procedures import breaker
from vodtender.store.database import Database

STATEMENTS = spec_runbook.known()
SECONDS = 20.0
"""What an operator types takes effect within seconds; this machine may be busy."""

Rows = list[dict[str, Any]]

_SETTINGS = {
    "HTTP_ADDR": "127.0.0.1:0",
    "UPLOAD_CHUNK_SIZE": "256KiB",
    "BACKFILL_AUTOCLEAN": "0",
    # By itself nothing that failed would be tried again for as long as the test runs.
    "DOWNLOAD_MAX_ATTEMPTS": "1",
    "UPLOAD_MAX_ATTEMPTS": "1",
    "PROCESSING_RETRY_COOLDOWN": "5h",
    "CIRCUIT_FAILURE_THRESHOLD": "2",
    "CIRCUIT_OPEN_COOLDOWN": "5h",
    "MAX_CONCURRENT_DOWNLOADS": "1",
}


class Site:
    """One machine with a daemon, a database, and an operator with psql."""

    def __init__(self, world: World, dsn: str, tmp_path: Path) -> None:
        self.world = world
        self.dsn = dsn
        self.environ = {
            **os.environ,
            **world.env(),
            **world.settings(),
            **_SETTINGS,
            "DB_DSN": dsn,
            "DATA_DIR": str(tmp_path / "data"),
        }
        self.log = tmp_path / "daemon.log"
        self.daemon = Daemon(self.environ, tmp_path, self.log)
        # One for all that is typed: each that is opened anew has to read the catalog first.
        self._session = psycopg.connect(dsn, autocommit=True, row_factory=dict_row)

    def start(self) -> None:
        """The daemon, which is logged in to YouTube."""
        with closing(Database(lambda: self.dsn)) as database:
            log_in(database, self.world)
        self.daemon.start()

    def types(self, name: str, **fill: str) -> Rows:
        """What the operator sees after typing one of the runbook's statements into psql."""
        text = STATEMENTS[name].sql
        for blank, value in fill.items():
            assert blank in text
            text = text.replace(blank, value)
        return self.psql(text)

    def psql(self, text: str) -> Rows:
        cursor = self._session.execute(text.encode())
        return [] if cursor.description is None else cursor.fetchall()

    def leave(self) -> None:
        self._session.close()
        if self.daemon.status is None and self.log.exists():
            self.daemon.kill()

    def row(self, vod: Vod) -> dict[str, Any]:
        found = self.psql(f"SELECT * FROM vods WHERE twitch_vod_id = '{vod.id}'")
        return found[0] if found else {}

    def stage(self, vod: Vod) -> str:
        return str(self.row(vod).get("stage"))

    def wait_for(self, stage: str, *vods: Vod, patience: float = 60) -> None:
        wait_until(lambda: {self.stage(vod) for vod in vods} == {stage}, patience)

    def soon(self, condition: Callable[[], bool]) -> None:
        wait_until(condition, SECONDS)

    def keep_from_twitch(self, *vods: Vod) -> None:
        """Twitch gives nobody their playlists."""
        for vod in vods:
            self.world.faults.status(503, host="usher.*", path=f"*/{vod.id}.m3u8*", times=None)


@pytest.fixture
def site(world: World, database_dsn: str, tmp_path: Path) -> Iterator[Site]:
    world.add_channel("alice")
    world.youtube.outcome = Outcome(polls=0)
    site = Site(world, database_dsn, tmp_path)
    yield site
    site.leave()


# --- the statements are the runbook's ---------------------------------------------------


def test_the_statements_are_those_of_the_runbook_and_all_of_them() -> None:
    here = {(statement.under, statement.sql) for statement in STATEMENTS.values()}
    assert len(here) == len(STATEMENTS) == 16
    path = spec_runbook.spec()
    if path is not None:
        assert spec_runbook.extract(path.read_text()) == here


def test_each_statement_is_typed_somewhere_below() -> None:
    tests = Path(__file__).read_text()
    assert not [name for name in STATEMENTS if f'types("{name}"' not in tests]


# --- while the daemon runs --------------------------------------------------------------


def test_clearing_the_error_retries_a_failed_download(site: Site) -> None:
    vod = site.world.add_vod("alice", segment_count=2)
    site.keep_from_twitch(vod)
    site.start()
    wait_until(lambda: site.row(vod).get("processing_error") is not None, 60)
    (failed,) = site.types("failed-downloads")
    assert (failed["twitch_vod_id"], failed["download_state"]) == (vod.id, "failed")
    (shown,) = site.types("show-processing-errors")
    assert shown["processing_error"] == failed["processing_error"]

    site.world.faults.clear()
    site.types("retry-download", **{"<vod-id>": vod.id})
    site.soon(lambda: site.stage(vod) not in ("queued", "live"))
    site.wait_for("published", vod)
    assert site.types("failed-downloads") == []


def test_a_vod_that_is_marked_as_failed_is_dropped_from_the_workers_hands(site: Site) -> None:
    first = site.world.add_vod("alice", segment_count=3)
    gate = site.world.faults.hold(path="*/1.ts")
    site.start()
    gate.wait_reached(60)
    second = site.world.add_vod("alice", segment_count=2)
    site.psql(f"INSERT INTO vods (twitch_vod_id) VALUES ('{second.id}')")
    site.types("mark-as-failed", **{"<vod-id>": first.id})
    # The only slot for downloads is free again, though the first segment never came.
    site.soon(lambda: site.stage(second) not in ("None", "queued"))
    site.wait_for("published", second)
    gate.release()
    row = site.row(first)
    assert (row["processed"], row["download_state"]) == (True, "failed")
    assert (row["processing_error"], row["worker_id"]) == ("VOD unavailable", None)
    assert len(site.world.youtube.videos) == 1


def test_clearing_quota_errors_sends_off_what_they_held(site: Site) -> None:
    first, second = (site.world.add_vod("alice", segment_count=2) for _ in range(2))
    site.world.faults.google("quotaExceeded", **POST)
    site.start()
    wait_until(lambda: len(site.types("waiting-uploads")) == 2, 60)
    wait_until(
        lambda: all(
            "quota" in (r["processing_error"] or "") for r in site.types("waiting-uploads")
        ),
        60,
    )
    assert {row["twitch_vod_id"] for row in site.types("waiting-uploads")} == {first.id, second.id}
    assert {row["youtube_url"] for row in site.types("waiting-uploads")} == {None}
    assert site.world.youtube.videos == []

    site.types("retry-after-quota-reset")
    site.soon(lambda: len(site.world.youtube.videos) > 0)
    site.wait_for("published", first, second)
    assert site.types("waiting-uploads") == []


def test_resetting_the_breaker_lets_the_channel_go_on(site: Site) -> None:
    site.world.add_channel("bob")
    bad = [site.world.add_vod("alice", segment_count=2) for _ in range(2)]
    site.keep_from_twitch(*bad)
    site.start()
    wait_until(lambda: _breaker(site).get("circuit_state") == "open", 60)
    assert _breaker(site)["circuit_failures"] == "2"
    until = datetime.fromisoformat(_breaker(site)["circuit_open_until"])
    assert until - datetime.now(UTC) > timedelta(hours=4)
    held_back = _add(site, "alice")
    skipping = "circuit breaker open, skipping processing"
    wait_until(lambda: skipping in site.log.read_text(), 60)
    assert site.stage(held_back) == "queued"
    site.types("reset-breaker")
    _assert_goes_on(site, held_back)

    with closing(Database(lambda: site.dsn)) as database:
        rest = timedelta(hours=5)
        breaker.trip(
            *(database, ["alice"]),
            rest=rest, cooldown=rest, actor="op@host", reason=None, dry_run=False,
        )  # fmt: skip
    assert _breaker(site)["circuit_state"] == "open"
    held_back = _add(site, "alice")
    passing = _add(site, "bob")
    site.soon(lambda: site.stage(passing) != "queued")
    assert site.stage(held_back) == "queued"
    site.types("close-breaker")
    _assert_goes_on(site, held_back)


def _breaker(site: Site) -> dict[str, str]:
    return {row["key"]: row["value"] for row in site.types("show-breaker")}


def _add(site: Site, channel: str) -> Vod:
    """As an operator does by hand."""
    vod = site.world.add_vod(channel, segment_count=2)
    known = channel if channel == "alice" else ""
    site.psql(f"INSERT INTO vods (twitch_vod_id, channel) VALUES ('{vod.id}', '{known}')")
    return vod


def _assert_goes_on(site: Site, held_back: Vod) -> None:
    site.soon(lambda: site.stage(held_back) != "queued")
    site.wait_for("published", held_back)
    assert _breaker(site).get("circuit_state", "closed") == "closed"
    assert "circuit_open_until" not in _breaker(site)


def test_recent_vods_are_reprocessed_and_nothing_is_uploaded_twice(site: Site) -> None:
    done, failing = (site.world.add_vod("alice", segment_count=2) for _ in range(2))
    site.keep_from_twitch(failing)
    site.start()
    site.wait_for("published", done)
    wait_until(lambda: site.row(failing).get("processing_error") is not None, 60)
    before = site.row(done)
    old = site.psql(
        "INSERT INTO vods (twitch_vod_id, created_at, processed, processing_error)"
        " VALUES ('1', now() - interval '2 days', true, 'subscribers only') RETURNING claim"
    )

    site.world.faults.clear()
    site.types("reprocess-recent")
    site.soon(lambda: site.row(done)["claim"] > before["claim"] + 1)
    site.wait_for("published", done, failing)
    after = site.row(done)
    for column in ("youtube_url", "downloaded_path", "file_sha256", "created_at"):
        assert after[column] == before[column], column
    assert len(site.world.youtube.videos) == 2
    assert site.psql("SELECT claim FROM vods WHERE twitch_vod_id = '1'") == old


# --- without a daemon -------------------------------------------------------------------


def test_old_vods_that_are_on_youtube_are_those_to_be_archived(site: Site) -> None:
    site.psql(
        """
        INSERT INTO vods (twitch_vod_id, created_at, stage, video_id, problem)
        VALUES ('1', now() - interval '8 days', 'published', 'a', NULL),
            ('2', now() - interval '8 days', 'verifying', 'b', NULL),
            ('3', now() - interval '6 days', 'published', 'c', NULL),
            ('4', now() - interval '8 days', 'downloaded', NULL, NULL),
            ('5', now() - interval '8 days', 'failed', NULL, 'gone'),
            ('6', now() - interval '8 days', 'queued', NULL, NULL)
        """
    )
    found = site.types("to-be-archived", **{"${ARCHIVE_AGE_DAYS}": "7"})
    assert sorted(row["twitch_vod_id"] for row in found) == ["1", "2"]
    assert site.types("count-restored") == [{"count": 6}]
    assert site.types("count-in-restore-test") == [{"count": 6}]


def test_recent_chat_is_counted_by_vod_the_latest_first(site: Site) -> None:
    site.psql(
        """
        INSERT INTO chat_messages (message_id, channel, vod_id, "timestamp", username, message)
        SELECT vod || '-' || n, 'alice', vod::text,
            '2026-11-23T10:00:00Z'::timestamptz + make_interval(hours => vod, secs => n),
            'eve', 'hi'
        FROM generate_series(1, 6) AS vod, generate_series(1, vod) AS n
        """
    )
    found = site.types("recent-chat")
    assert [(row["vod_id"], row["count"]) for row in found] == [
        (str(vod), vod) for vod in (6, 5, 4, 3, 2)
    ]
    assert found[0]["max"] == datetime(2026, 11, 23, 16, 0, 6, tzinfo=UTC)


def test_ids_can_neither_be_missing_nor_come_twice(site: Site) -> None:
    site.psql("INSERT INTO vods (twitch_vod_id) VALUES ('1')")
    for attempt in ("('1')", "(NULL)"):
        with pytest.raises(psycopg.IntegrityError):
            site.psql(f"INSERT INTO vods (twitch_vod_id) VALUES {attempt}")
    assert site.types("rows-without-id") == []
    assert site.types("duplicate-ids") == []
