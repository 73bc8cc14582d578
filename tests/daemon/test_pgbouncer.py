"""Behind PgBouncer in transaction mode nothing of a session can be relied upon."""

from __future__ import annotations

import os
from pathlib import Path

import psycopg
import pytest

from tests.cli.commands import Type
from tests.clients.ytdlp.fetches import wait_until
from tests.daemon.keeper import begun
from tests.pipeline.publisher import log_in
from tests.sandbox.world import World
from tests.soak.daemon import Daemon, command
from vodtender.errors import Exit
from vodtender.store.database import Database

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
    in_world: World,
    pooled_dsn: str,
    database: Database,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for _ in range(5):
        in_world.add_vod("alice", segment_count=2)
    log_in(database, in_world)
    environ = _environ(in_world, pooled_dsn, tmp_path)
    daemons = [begun(environ) for _ in range(2)]
    assert [daemon.ended(60) for daemon in daemons] == [Exit.DONE] * 2, caplog.text
    assert len({video.title for video in in_world.youtube.videos}) == 5
    assert len(in_world.youtube.videos) == 5
    assert not [one for one in caplog.records if one.levelname == "ERROR"]
    with psycopg.connect(database.dsn) as connection:
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


def test_the_commands_work_through_a_pooler(
    type_in: Type, pooled_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DB_DSN", pooled_dsn)
    for arguments in (("status", "--json"), ("vods", "--json"), ("pause",), ("resume",)):
        ran = type_in(*arguments)
        assert ran.status == 0, ran.err
