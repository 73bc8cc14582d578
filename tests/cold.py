"""DATA_DIR with files of VODs, and an archive for them."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.archive import Archive
from tests.rows import add_vod, rows
from tests.s3 import S3
from vodtender.config.settings import Settings
from vodtender.model.archive import ArchivedFile
from vodtender.model.vod import Stage, Vod
from vodtender.pipeline.archive_directory import MARKER
from vodtender.pipeline.directory import open_directory
from vodtender.procedures import archive as procedure
from vodtender.procedures.archive import Run
from vodtender.store import archive as store
from vodtender.store import audit, vods
from vodtender.store.database import Database

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
MIB = 1024**2


class Cold:
    """Files of VODs that were found ten days ago, on a disk and in an archive."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self.database = database
        self.settings = settings
        self.directory = open_directory(settings.data_dir)
        self.contents: dict[str, bytes] = {}

    def add(
        self, vod_id: str, stage: Stage = Stage.PUBLISHED, *, size: int = 1000, **more: Any
    ) -> Path:
        """A VOD with its file."""
        content = Random(vod_id).randbytes(size)
        path = self.directory.root / f"title_{vod_id}.mp4"
        path.write_bytes(content)
        self.contents[vod_id] = content
        on_youtube = stage in (Stage.PUBLISHED, Stage.VERIFYING)
        columns: dict[str, Any] = {
            "stage": stage,
            "title": "title",
            "video_id": "abc" if on_youtube else None,
            "published_at": NOW - 9 * DAY if stage is Stage.PUBLISHED else None,
            "created_at": NOW - 10 * DAY,
            "date": NOW - 11 * DAY,
            "downloaded_at": NOW - 10 * DAY,
            "downloaded_path": str(path),
            "directory_id": self.directory.id,
            "file_size_bytes": size,
            "file_sha256": hashlib.sha256(content).hexdigest(),
            "file_crc32": zlib.crc32(content),
            "file_seconds": 60.0,
        }
        add_vod(self.database, vod_id, **(columns | more))
        return path

    def path(self, vod_id: str) -> Path:
        return self.directory.root / f"title_{vod_id}.mp4"

    def run(self, *, include_waiting: bool = False, limit: int | None = None, **more: Any) -> Run:
        return procedure.run(
            self.database,
            self.settings,
            include_waiting=include_waiting,
            limit=limit,
            actor="op@host",
            reason="why not",
            **more,
        )

    def fates(self, **more: Any) -> dict[str, str]:
        return {file.vod_id: file.fate.value for file in self.run(**more).files}

    def vod(self, vod_id: str) -> Vod:
        with self.database.transaction() as connection:
            found = vods.get(connection, vod_id)
        assert found is not None
        return found

    def copy(self, vod_id: str) -> ArchivedFile | None:
        with self.database.transaction() as connection:
            return store.get(connection, vod_id)

    def audit(self) -> list[tuple[str, str]]:
        """Actions and targets, the oldest first."""
        with self.database.transaction() as connection:
            return [(line.action, line.target) for line in audit.find(connection)[::-1]]

    def query(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        return rows(self.database, query, *parameters)


@contextmanager
def cold(dsn: str, settings: Settings) -> Iterator[Cold]:
    database = Database(lambda: dsn, pool_size=5)
    try:
        yield Cold(database, settings)
    finally:
        database.close()


@pytest.fixture
def in_s3(archive: Archive, s3: S3, tmp_path: Path) -> Iterator[Cold]:
    """With an archive in S3."""
    settings = s3.settings(
        db_dsn=archive.dsn,
        data_dir=tmp_path / "data",
        archive_s3_url=s3.at("vods/"),
        disk_reserve=0,
    )
    with cold(archive.dsn, settings) as found:
        yield found


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """A directory that is an archive."""
    root = tmp_path / "archive"
    root.mkdir()
    (root / MARKER).touch()
    return root


@pytest.fixture
def in_directory(archive: Archive, shelf: Path, tmp_path: Path) -> Iterator[Cold]:
    """With an archive in a directory."""
    settings = Settings(
        db_dsn=archive.dsn, data_dir=tmp_path / "data", archive_dir=shelf, disk_reserve=0
    )
    with cold(archive.dsn, settings) as found:
        yield found


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
