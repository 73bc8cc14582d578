"""The whole way with the real command: from Twitch to YouTube, each VOD once."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from tests.clients.ytdlp.fetches import wait_until
from tests.daemon.keeper import at_work, begun
from tests.pipeline.publisher import POST, PUT, log_in
from tests.sandbox.faults import Fault
from tests.sandbox.videos import Outcome
from tests.sandbox.wire import Response
from tests.sandbox.world import World
from tests.soak.daemon import Daemon, command
from vodtender.errors import Exit
from vodtender.store.database import Database

_SETTINGS = {
    "HTTP_ADDR": "127.0.0.1:0",
    "UPLOAD_CHUNK_SIZE": "256KiB",
    "VOD_PROCESS_INTERVAL": "1s",
    "LEASE_SECONDS": "5",
}


class Site:
    """One machine with the command on it."""

    def __init__(self, world: World, dsn: str, tmp_path: Path) -> None:
        self.world = world
        self.dsn = dsn
        self.tmp_path = tmp_path
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

    def log_in(self) -> None:
        database = Database(lambda: self.dsn)
        log_in(database, self.world)
        database.close()

    def import_login(self) -> None:
        """As an operator does it."""
        done = command(
            *("auth", "import", "youtube", "-"),
            environ=self.environ,
            directory=self.tmp_path,
            said=json.dumps(self.world.google.credentials()),
        )
        assert done.returncode == 0, done.stderr

    def run_until_done(self, **settings: str) -> None:
        assert begun({**self.environ, **settings}).ended(120) == Exit.DONE

    def psql(self, statement: str) -> list[dict[str, Any]]:
        with psycopg.connect(self.dsn, row_factory=dict_row) as connection:
            cursor = connection.execute(statement)
            return [] if cursor.description is None else cursor.fetchall()

    def stages(self) -> dict[str, str]:
        rows = self.psql("SELECT twitch_vod_id, stage FROM vods ORDER BY 1")
        return {row["twitch_vod_id"]: row["stage"] for row in rows}

    def wait_for(self, **numbers: int) -> None:
        """Until so many VODs are in these stages."""

        def there() -> bool:
            stages = list(self.stages().values())
            return all(stages.count(stage) == number for stage, number in numbers.items())

        wait_until(there, 60)

    def assert_each_once(self) -> None:
        rows = self.psql("SELECT youtube_url, file_sha256, processing_error FROM vods")
        videos = {video.url: video.sha256 for video in self.world.youtube.videos}
        assert {row["youtube_url"]: row["file_sha256"] for row in rows} == videos
        assert len(videos) == len(rows)
        assert not [row for row in rows if row["processing_error"]]
        assert not self.world.youtube.complaints
        assert not self.world.record.unexpected


@pytest.fixture
def site(
    in_world: World, database_dsn: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> Iterator[Site]:
    in_world.add_channel("alice")
    in_world.youtube.outcome = Outcome(polls=0)
    site = Site(in_world, database_dsn, tmp_path)
    yield site
    if site.daemon.status is None and site.log.exists():
        site.daemon.kill()
    assert not [one for one in caplog.get_records("call") if one.exc_info]


def speak_differently(world: World) -> None:
    """A YouTube that differs from ours wherever the protocol leaves it free to."""

    def elsewhere(response: Response) -> Response:
        query = response.headers["Location"].partition("?")[2]
        location = f"https://uploads.example/resumable/upload/youtube/v3/videos?{query}"
        return Response(201, b"{}", {"LOCATION": location})

    def terse(response: Response) -> Response:
        if "Range" in response.headers:
            response.headers = {"range": response.headers["Range"].removeprefix("bytes=")}
        return response

    def meagre(answer: Any) -> Any:
        for item in answer.get("items", []):
            item.pop("contentDetails", None)
            item.pop("processingDetails", None)
        return answer

    world.proxy.hosts["uploads.example"] = world.youtube.answer
    world.faults.add(Fault(**POST, times=None, after=elsewhere))
    world.faults.add(Fault(**PUT, times=None, after=terse))
    world.faults.change_json(meagre, path="/youtube/v3/*", method="GET", times=None)


def test_the_next_comes_down_while_the_last_goes_up_and_a_kill_changes_nothing(site: Site) -> None:
    world = site.world
    for _ in range(3):
        world.add_vod("alice")
    site.log_in()
    speak_differently(world)
    gate = world.faults.hold_answer(**PUT, skip=1)
    site.daemon.start()
    gate.wait_reached(60)
    site.wait_for(uploading=1, downloaded=2)
    site.daemon.kill()
    gate.release()
    site.run_until_done()
    assert set(site.stages().values()) == {"published"}
    site.assert_each_once()
    assert world.record.count(**POST) == 3
    assert world.record.count(path="*discovery*") == 0


def test_without_a_login_vods_come_down_and_wait_and_a_login_sends_them_off(site: Site) -> None:
    for _ in range(2):
        site.world.add_vod("alice")
    with at_work(site.environ):
        site.wait_for(downloaded=2)
        assert site.world.record.count(host="*youtube*") == 0
        site.import_login()
        site.wait_for(published=2)
    site.assert_each_once()


def test_switched_off_then_out_of_quota_then_released(site: Site) -> None:
    """The runbook's way through a quota incident."""
    world = site.world
    site.log_in()
    world.add_vod("alice")
    site.run_until_done(YT_ENABLED="0")
    assert list(site.stages().values()) == ["downloaded"]
    assert world.record.count(host="*youtube*") == 0

    world.add_vod("alice")
    world.faults.google("quotaExceeded", **POST)
    site.run_until_done()
    rows = site.psql(
        "SELECT twitch_vod_id, youtube_url, processing_error FROM vods"
        " WHERE processed=true AND youtube_url IS NULL ORDER BY updated_at DESC LIMIT 10"
    )
    assert len(rows) == 2
    assert all("quota" in row["processing_error"] for row in rows)
    assert world.record.count(**POST) == 1

    site.psql("UPDATE vods SET processing_error=NULL WHERE processing_error LIKE '%quota%'")
    site.run_until_done()
    site.assert_each_once()
