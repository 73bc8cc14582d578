"""Fixtures: a database with VODs, backups of it in all their forms, and restoring them."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from tests.cli.commands import Ran
from tests.postgres import NewDatabase
from vodtender.clients import pg_tools
from vodtender.clients.postgres.server import EmbeddedServer
from vodtender.config.settings import Settings
from vodtender.model.backup import Manifest
from vodtender.procedures.backup import back_up
from vodtender.procedures.replaced import Present
from vodtender.procedures.restore import Asked, Restored, restore
from vodtender.store.database import Database

_ROOT = Path(__file__).parents[1]
_PLAIN = "vod_20251020_020000.sql.gz"


@dataclass(slots=True)
class Place:
    """A database that backups are made of and restored to."""

    dsn: str
    admin_dsn: str
    directory: Path
    good: Path
    notes: list[str] = field(default_factory=list)
    asked_of: list[Present] = field(default_factory=list)

    @property
    def name(self) -> str:
        return str(conninfo_to_dict(self.dsn)["dbname"])

    @property
    def backups(self) -> Path:
        return self.directory / "backups"

    @property
    def environ(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(_ROOT),
            "DB_DSN": self.dsn,
            "DB_ADMIN_DSN": self.admin_dsn,
            "BACKUP_DIR": str(self.backups),
        }

    def settings(self, **more: Any) -> Settings:
        known: dict[str, Any] = {
            "db_dsn": self.dsn,
            "db_admin_dsn": self.admin_dsn,
            "backup_dir": self.backups,
        }
        return Settings(**(known | more))

    def back_up(self, **more: Any) -> Manifest:
        database = Database(lambda: self.dsn)
        try:
            return back_up(database, self.settings(**more), actor="test").manifest
        finally:
            database.close()

    def good_backup(self) -> Manifest:
        """One of VODs 1 to 3, as `back_up` makes it, which somebody else has made before."""
        shutil.copytree(self.good / "backups", self.backups, dirs_exist_ok=True)
        (manifest,) = (self.backups / "manifests").iterdir()
        return Manifest.from_json(manifest.read_bytes())

    def restore(self, wanted: str = "latest", **how: Any) -> Restored:
        settings = how.pop("settings", None) or self.settings()
        known: dict[str, Any] = {
            "replace": False,
            "wait": False,
            "dry_run": False,
            "actor": "test",
            "reason": None,
            "confirm": lambda present, _source: self.asked_of.append(present),
            "note": self.notes.append,
            "tell": lambda *_: None,
        }
        return restore(settings, wanted, Asked(**(known | how)))

    def type_in(self, *arguments: str, **more: str) -> Ran:
        done = subprocess.run(
            [sys.executable, "-m", "vodtender", *arguments],
            env=self.environ | more,
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=120,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def add(self, *numbers: int) -> None:
        for number in numbers:
            self.do("INSERT INTO vods (twitch_vod_id, channel) VALUES (%s, 'c')", str(number))

    def do(self, query: str, *parameters: object, database: str | None = None) -> None:
        with self.connect(database) as connection:
            connection.execute(query.encode(), parameters or None)

    def leave_only(self, *tables: str) -> None:
        """Of a database that cannot be dumped each table is rescued by programs of its own, which
        takes a while."""
        with self.connect() as connection:
            found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname='public'")
            for (name,) in found.fetchall():
                if name not in tables:
                    connection.execute(
                        sql.SQL("DROP TABLE {} CASCADE").format(sql.Identifier(name))
                    )

    def vods(self, database: str | None = None) -> list[int]:
        with self.connect(database) as connection:
            found = connection.execute("SELECT twitch_vod_id::int FROM vods ORDER BY 1")
            return [row[0] for row in found]

    def connect(self, database: str | None = None) -> psycopg.Connection[Any]:
        return psycopg.connect(self.dsn, dbname=database or self.name, autocommit=True)

    def databases(self) -> list[str]:
        """All that belong to this one: itself, what is being restored, what was kept."""
        with psycopg.connect(self.admin_dsn) as connection:
            found = connection.execute(
                "SELECT datname FROM pg_database WHERE starts_with(datname, %s) ORDER BY 1",
                (self.name,),
            )
            return [row[0] for row in found if row[0] == self.name or row[0][len(self.name)] == "_"]

    def plain_dump(self) -> Path:
        """As the runbook's script makes it: `pg_dump -U vod vod | gzip`."""
        dump = pg_tools.run(pg_tools.embedded(), "pg_dump", [], dsn=self.dsn)
        self.backups.mkdir(exist_ok=True)
        path = self.backups / _PLAIN
        path.write_bytes(gzip.compress(dump.encode()))
        return path

    def good_plain_dump(self) -> Path:
        """One of VODs 1 to 3, as `plain_dump` makes it, which somebody else has made before."""
        self.backups.mkdir(exist_ok=True)
        return Path(shutil.copy(self.good / _PLAIN, self.backups))


@pytest.fixture(scope="session")
def good_backups(
    postgres_server: EmbeddedServer,
    new_database: NewDatabase,
    migrated_template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A directory with a backup and a plain dump of VODs 1 to 3, for tests to which it is all the
    same who has made them."""
    directory = tmp_path_factory.mktemp("good")
    with new_database(migrated_template) as dsn:
        made = Place(dsn, postgres_server.admin_dsn, directory, directory)
        made.add(1, 2, 3)
        made.back_up()
        os.replace(made.plain_dump(), directory / _PLAIN)
    return directory


@pytest.fixture
def untouched(
    postgres_server: EmbeddedServer, database_dsn: str, good_backups: Path, tmp_path: Path
) -> Place:
    """With VODs 1 to 3, for what nothing is to be done to."""
    found = Place(database_dsn, postgres_server.admin_dsn, tmp_path, good_backups)
    found.add(1, 2, 3)
    return found


@pytest.fixture
def place(
    postgres_server: EmbeddedServer,
    new_database: NewDatabase,
    migrated_template: str,
    good_backups: Path,
    tmp_path: Path,
) -> Iterator[Place]:
    """With VODs 1 to 3."""
    with new_database(migrated_template) as dsn:
        found = Place(dsn, postgres_server.admin_dsn, tmp_path, good_backups)
        found.add(1, 2, 3)
        yield found
        with psycopg.connect(found.admin_dsn, autocommit=True) as connection:
            for name in found.databases():
                if name != found.name:
                    connection.execute(
                        sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
                    )
