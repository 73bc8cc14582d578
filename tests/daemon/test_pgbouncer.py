"""Behind PgBouncer in transaction mode nothing of a session can be relied upon."""

from __future__ import annotations

import json
import os
from pathlib import Path

import psycopg
import pytest

from tests.clients.ytdlp.fetches import wait_until
from tests.sandbox.world import World
from tests.soak.daemon import Daemon, command

pytestmark = pytest.mark.system


def _environ(world: World, dsn: str, tmp_path: Path) -> dict[str, str]:
    return {
        **os.environ,
        **world.env(),
        **world.settings(),
        "DB_DSN": dsn,
        "DATA_DIR": str(tmp_path / "data"),
        "HTTP_ADDR": "127.0.0.1:0",
    }


def test_two_daemons_share_the_work_through_a_pooler(
    world: World, pooled_dsn: str, database_dsn: str, tmp_path: Path
) -> None:
    for _ in range(5):
        world.add_vod("alice", segment_count=2)
    environ = _environ(world, pooled_dsn, tmp_path)
    logins = json.dumps(world.google.credentials())
    imported = command(
        "auth", "import", "youtube", "-", environ=environ, directory=tmp_path, said=logins
    )
    assert imported.returncode == 0, imported.stderr
    daemons = [Daemon(environ, tmp_path, tmp_path / f"log-{n}") for n in range(2)]
    for daemon in daemons:
        daemon.start("--drain")
    logs = [(tmp_path / f"log-{n}") for n in range(2)]
    assert [daemon.wait(60) for daemon in daemons] == [0, 0], logs[0].read_text()
    assert len({video.title for video in world.youtube.videos}) == 5
    assert len(world.youtube.videos) == 5
    assert not any("ERROR" in log.read_text() for log in logs)
    with psycopg.connect(database_dsn) as connection:
        done = connection.execute("SELECT count(*) FROM vods WHERE youtube_url IS NOT NULL")
        assert done.fetchone() == (5,)


def test_an_edit_takes_effect_without_a_notification(
    world: World, pooled_dsn: str, database_dsn: str, tmp_path: Path
) -> None:
    vod = world.add_vod("alice", segment_count=2)
    environ = _environ(world, pooled_dsn, tmp_path) | {"YT_ENABLED": "0"}
    assert command("pause", environ=environ, directory=tmp_path).returncode == 0
    daemon = Daemon(environ, tmp_path, tmp_path / "log")
    daemon.start()
    try:
        with psycopg.connect(database_dsn, autocommit=True) as connection:

            def state() -> str | None:
                row = connection.execute(
                    "SELECT download_state FROM vods WHERE twitch_vod_id = %s", (vod.id,)
                ).fetchone()
                return None if row is None else str(row[0])

            wait_until(lambda: state() == "pending")
            connection.execute("DELETE FROM kv WHERE key = 'paused'")
            wait_until(lambda: state() == "complete")
    finally:
        daemon.kill()


def test_the_commands_work_through_a_pooler(world: World, pooled_dsn: str, tmp_path: Path) -> None:
    environ = _environ(world, pooled_dsn, tmp_path)
    for arguments in (("status", "--json"), ("vods", "--json"), ("pause",), ("resume",)):
        done = command(*arguments, environ=environ, directory=tmp_path)
        assert done.returncode == 0, done.stderr
