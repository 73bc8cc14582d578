"""A database with VODs in whatever state a test wants, brought there as the pipeline would."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.postgres import NewDatabase
from vodtender.errors import DatabaseUnavailable
from vodtender.model.vod import Stage, Vod
from vodtender.store import audit, queue, uploads, vods
from vodtender.store.audit import AuditLine
from vodtender.store.claims import Claim
from vodtender.store.database import Connection, Database
from vodtender.store.uploads import Upload

VIDEO = "dQw4w9WgXcQ"
BEGAN = datetime(2026, 3, 1, 12, tzinfo=UTC)
DIRECTORY = "a-directory"
WITH_FILE = frozenset({"downloaded", "uploading", "finalizing", "verifying", "published"})
ON_YOUTUBE = frozenset({"verifying", "published"})


class Archive:
    """VODs by number. Each has a channel of its own (`c<number>`), so that it can be claimed."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.database = Database(lambda: dsn)

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        with self.database.transaction() as connection:
            yield connection

    def empty(self) -> None:
        with self.connection() as connection:
            connection.execute(_EMPTY)

    def add(self, vod_id: str, stage: str = "queued", **columns: Any) -> str:
        """A VOD in a stage, with the file and the video that belong to it."""
        columns = {"channel": f"c{vod_id}", "title": f"Title {vod_id}", "date": BEGAN, **columns}
        if stage in WITH_FILE:
            columns = _FILE | {"downloaded_path": f"/data/title_{vod_id}.mp4"} | columns
        if stage in ON_YOUTUBE:
            columns = {"video_id": VIDEO, **columns}
        with self.connection() as connection:
            vods.add(connection, vod_id, skip_upload=False, priority=0)
            row = vods.get(connection, vod_id)
            assert row is not None
            vods.edit(connection, row, **columns)
            vods.edit(connection, row, stage=stage)
        return vod_id

    def get(self, vod_id: str) -> Vod:
        with self.connection() as connection:
            vod = vods.get(connection, vod_id)
        assert vod is not None
        return vod

    def set(self, vod_id: str, **columns: Any) -> None:
        """As the pipeline or an operator would, depending on the columns."""
        with self.connection() as connection:
            vod = vods.get(connection, vod_id)
            assert vod is not None
            vods.edit(connection, vod, **columns)

    def claim(self, vod_id: str, worker_id: str = "worker-1", lease_seconds: float = 60) -> Claim:
        """A worker takes it."""
        vod = self.get(vod_id)
        kinds = (queue.DOWNLOADS, queue.UPLOADS, queue.CHECKS)
        stages = next(kind for kind in kinds if vod.stage in kind)
        with self.connection() as connection:
            taken = queue.take(
                connection,
                stages,
                worker_id=worker_id,
                directory_id=DIRECTORY,
                lease_seconds=lease_seconds,
                channels=[vod.channel],
            )
        assert taken is not None, f"{vod_id} cannot be claimed"
        return Claim(taken.id, worker_id, taken.claim)

    def open_session(self, vod_id: str, part: int = 1, parts: int = 1, **more: Any) -> Upload:
        """An upload that was begun."""
        vod = self.get(vod_id)
        marker = f"vodtender:{vod_id}" if parts == 1 else f"vodtender:{vod_id}/{part}"
        known: dict[str, Any] = {
            "session_uri": "sealed",
            "sent_bytes": 0,
            "video_id": None,
            "sha256": vod.file_sha256,
        }
        upload = Upload(
            vod_id=vod.id,
            part=part,
            parts=parts,
            account="default",
            project="123",
            marker=marker,
            size_bytes=1000,
            opened_at=BEGAN,
            **(known | more),
        )
        with self.connection() as connection:
            uploads.put(connection, upload)
        return upload

    def sessions(self, vod_id: str) -> list[Upload]:
        vod = self.get(vod_id)
        with self.connection() as connection:
            return uploads.of_vod(connection, vod.id)

    def hold_account(
        self, account: str = "default", reason: str = "the quota", code: str = "quota"
    ) -> None:
        with self.connection() as connection:
            uploads.hold_account(
                connection, account, datetime(2099, 1, 1, tzinfo=UTC), reason, code
            )

    def held_accounts(self) -> list[str]:
        with self.connection() as connection:
            return [hold.account for hold in uploads.holds(connection)]

    def audit(self) -> list[AuditLine]:
        """The oldest first."""
        with self.connection() as connection:
            return audit.find(connection)[::-1]

    def is_queued_for(self, vod_id: str) -> str | None:
        """Which lane would take it at this moment: downloads, uploads or checks."""
        vod = self.get(vod_id)
        if vod.worker_id is not None or vod.next_try_at is not None:
            return None
        kinds = {"downloads": queue.DOWNLOADS, "uploads": queue.UPLOADS, "checks": queue.CHECKS}
        return next((name for name, kind in kinds.items() if vod.stage in kind), None)

    def stage(self, vod_id: str) -> Stage:
        return self.get(vod_id).stage


_FILE = {
    "directory_id": DIRECTORY,
    "file_size_bytes": 1000,
    "file_sha256": "ab" * 32,
    "file_crc32": 0xABABABAB,
    "file_seconds": 60.0,
    "downloaded_at": BEGAN,
}


@pytest.fixture(scope="session")
def archive_dsn(new_database: NewDatabase, migrated_template: str) -> Iterator[str]:
    """One database for all archives of this test process."""
    with new_database(migrated_template) as dsn:
        yield dsn


@pytest.fixture(scope="session")
def archive_of_all(archive_dsn: str) -> Iterator[Archive]:
    """What every test's archive is: emptying a database is much faster than making one, and a
    connection that is kept is much faster than one that has to read the catalog first."""
    found = Archive(archive_dsn)
    yield found
    found.database.close()


@pytest.fixture
def archive(archive_of_all: Archive) -> Archive:
    """An archive without VODs."""
    try:
        archive_of_all.empty()
    except DatabaseUnavailable:  # the test before has ended the connection
        archive_of_all.empty()
    return archive_of_all


_EMPTY = """
    DO $$
    DECLARE name text;
    BEGIN
        FOR name IN SELECT tablename FROM pg_tables
                WHERE schemaname = 'public' AND tablename <> 'schema_migrations' LOOP
            EXECUTE format('DELETE FROM %I', name);
        END LOOP;
    END $$
"""
