"""A worker with VODs on its disk, a real database, and YouTube in the sandbox."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vodtender.config.load import load
from vodtender.config.settings import Settings
from vodtender.model.slug import file_name
from vodtender.model.tokens import ClientCredentials, Tokens
from vodtender.model.vod import Stage, Vod
from vodtender.pipeline import download, upload, verify
from vodtender.pipeline.accounts import Accounts
from vodtender.pipeline.directory import open_directory
from vodtender.pipeline.oauth_services import YOUTUBE
from vodtender.pipeline.room import DownloadRoom
from vodtender.pipeline.token_box import TokenBox
from vodtender.pipeline.work import work_on_next
from vodtender.pipeline.workplace import Workplace
from vodtender.store import tokens, uploads, vods
from vodtender.store.database import Database
from vodtender.store.uploads import Upload

if TYPE_CHECKING:
    # Not for the processes that only take a place from here.
    from tests.sandbox.accounts import Account
    from tests.sandbox.videos import Video
    from tests.sandbox.world import World

CHUNK = 256 * 1024
SIZE = 2 * CHUNK + 1000
"""Three chunks."""
LAST = 2
"""So many chunks go before the last."""
PUT: dict[str, Any] = {"path": "*/upload/*", "method": "PUT"}
POST: dict[str, Any] = {"path": "*/upload/*", "method": "POST"}
BEGAN = datetime.now(UTC).replace(microsecond=0) - timedelta(days=2)
SETTINGS = {"UPLOAD_CHUNK_SIZE": "256KiB", "UPLOAD_BACKOFF_BASE": "1s", "HTTP_ADDR": "127.0.0.1:0"}


class Publisher:
    """One worker. `upload` and `verify` do one piece of work, as the daemon's lanes would."""

    def __init__(self, world: World, dsn: str, root: Path, **settings: str) -> None:
        self.world = world
        self.root = root
        self.environ = {
            **world.settings(),
            **SETTINGS,
            "TWITCH_CHANNELS": "alice",
            "DB_DSN": dsn,
            "DATA_DIR": str(root),
            **settings,
        }
        self.database = Database(lambda: dsn, pool_size=4)
        self.place = place_for(load(self.environ), self.database, "worker-1")

    def close(self) -> None:
        self.database.close()

    def restart(self, **settings: str) -> None:
        """Another process, with nothing but the database and the disk."""
        self.environ |= settings
        self.place = place_for(load(self.environ), self.database, f"{self.place.worker_id}+")

    @contextmanager
    def another_process(self, lane: str = "upload") -> Iterator[subprocess.Popen[bytes]]:
        """One piece of work in a process of its own, which does not outlive the block."""
        command = [sys.executable, "-m", "tests.pipeline.worker", lane]
        with subprocess.Popen(command, env={**os.environ, **self.environ}) as process:
            try:
                yield process
            finally:
                process.kill()
        self.sql("UPDATE vods SET lease_expires_at = now() - interval '1 s' WHERE worker_id <> ''")

    @contextmanager
    def in_background(self) -> Iterator[threading.Thread]:
        """One upload in a thread of its own, waited for at the end of the block."""
        thread = threading.Thread(target=self.upload)
        thread.start()
        try:
            yield thread
        finally:
            self.world.faults.clear()
            thread.join(20)
        assert not thread.is_alive()

    def take_away(self) -> None:
        """Whoever works on a VOD has lost it."""
        self.sql("UPDATE vods SET claim = claim + 1, worker_id = NULL, lease_expires_at = NULL")

    @contextmanager
    def locked(self, vod_id: str = "1001") -> Iterator[None]:
        """Nobody can change the VOD's row in this block."""
        with self.database.transaction() as connection:
            connection.execute("SELECT FROM vods WHERE twitch_vod_id = %s FOR UPDATE", (vod_id,))
            yield

    # --- what is there ------------------------------------------------------------------

    def log_in(self, account: Account | None = None, name: str = "default") -> None:
        """As `auth import youtube` does it."""
        log_in(self.database, self.world, account, name)

    def add(
        self,
        vod_id: str = "1001",
        *,
        title: str = "A stream",
        content: bytes | None = None,
        seconds: float = 60.0,
        channel: str = "alice",
        date: datetime = BEGAN,
    ) -> Path:
        """A VOD that has come down; returns its file."""
        content = os.urandom(SIZE) if content is None else content
        path = self.root / file_name(title, vod_id)
        path.write_bytes(content)
        with self.database.transaction() as connection:
            connection.execute(
                """
                INSERT INTO vods (twitch_vod_id, channel, title, date, duration_seconds)
                VALUES (%s, %s, %s, %s, %s)
                """,
                (vod_id, channel, title, date, round(seconds)),
            )
            connection.execute(
                """
                UPDATE vods SET stage = 'downloaded', downloaded_path = %s, directory_id = %s,
                    file_size_bytes = %s, file_sha256 = %s, file_seconds = %s,
                    downloaded_at = now()
                WHERE twitch_vod_id = %s
                """,
                (
                    str(path),
                    self.place.directory.id,
                    len(content),
                    hashlib.sha256(content).hexdigest(),
                    seconds,
                    vod_id,
                ),
            )
        return path

    def vod(self, vod_id: str = "1001") -> Vod:
        with self.database.transaction() as connection:
            found = vods.get(connection, vod_id)
        assert found is not None
        return found

    def uploads(self, vod_id: str = "1001") -> list[Upload]:
        with self.database.transaction() as connection:
            return uploads.of_vod(connection, self.vod(vod_id).id)

    def sql(self, statement: str, *values: object) -> list[dict[str, Any]]:
        """As an operator with psql."""
        with self.database.transaction() as connection:
            cursor = connection.execute(statement, values)
            return [] if cursor.description is None else cursor.fetchall()

    @property
    def attempts(self) -> int:
        """In the ledger."""
        return int(self.sql("SELECT count(*) AS n FROM upload_attempts")[0]["n"])

    @property
    def sessions_opened(self) -> int:
        """How many requests for a session YouTube has seen."""
        return self.world.record.count(**POST)

    @property
    def units(self) -> int:
        """In our books."""
        return int(self.sql("SELECT coalesce(sum(units), 0) AS n FROM quota_usage")[0]["n"])

    # --- work ---------------------------------------------------------------------------

    def upload(self) -> bool:
        """One piece of work; False: there is none."""
        return work_on_next(self.place, upload.LANE)

    def download(self) -> bool:
        return work_on_next(self.place, download.LANE)

    def verify(self) -> bool:
        return work_on_next(self.place, verify.LANE)

    def publish(self, vod_id: str = "1001") -> Vod:
        """All the work there is for one VOD, without its waits."""
        for _ in range(20):
            self.hasten()
            worked = self.upload() | self.verify()
            if not worked or self.vod(vod_id).stage in (Stage.PUBLISHED, Stage.FAILED):
                break
        return self.vod(vod_id)

    def hasten(self) -> None:
        """What waits need not wait any longer."""
        self.sql("UPDATE vods SET next_try_at = now() WHERE next_try_at IS NOT NULL")

    def pass_time(self, time: timedelta) -> None:
        """All that the database remembers is so much longer ago."""
        for table, columns in (
            ("vods", ("next_try_at", "uncertain_since", "missing_since", "lease_expires_at")),
            ("upload_holds", ("held_until",)),
            ("upload_attempts", ("at",)),
        ):
            sets = ", ".join(f"{column} = {column} - %(time)s" for column in columns)
            with self.database.transaction() as connection:
                connection.execute(f"UPDATE {table} SET {sets}", {"time": time})

    # --- what must hold -----------------------------------------------------------------

    def assert_one_whole_video(self, path: Path) -> Video:
        """Exactly one video, which has the file's bytes, and no broken protocol."""
        [video] = self.world.youtube.videos
        assert video.sha256 == sha256(path)
        assert not self.world.youtube.complaints
        return video


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def place_for(settings: Settings, database: Database, worker_id: str) -> Workplace:
    """What a daemon would make of these settings."""
    directory = open_directory(settings.data_dir)
    return Workplace(
        settings=settings,
        database=database,
        directory=directory,
        worker_id=worker_id,
        accounts=Accounts(settings, database),
        room=DownloadRoom(directory, settings.disk_reserve),
        chance=random.Random(1),
    )


def log_in(
    database: Database, world: World, account: Account | None = None, name: str = "default"
) -> None:
    """Stores an account's tokens."""
    account = account or world.account
    client = None
    if account.client_id != world.google.client_id:
        client = ClientCredentials(account.client_id, world.google.clients[account.client_id])
    found = Tokens(
        access_token=world.google.issue(account),
        refresh_token=account.refresh_token,
        expires_at=datetime.now(UTC) + timedelta(hours=1),
        scopes=account.scopes,
    )
    row = TokenBox(Settings()).seal(
        YOUTUBE, name, found, client, owner_id=account.channel_id, owner_name=account.channel_title
    )
    with database.transaction() as connection:
        tokens.put(connection, row)
        tokens.release_waiting(connection)
