"""A backup of ours without anything of ours, and a backup of the runbook's script with ours."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from scripts.outside import ROOT
from tests.backups import over_tcp
from vodtender.clients.postgres.server import EmbeddedServer, acquire
from vodtender.config.settings import Settings
from vodtender.procedures.backup import back_up
from vodtender.procedures.restore import Asked, restore
from vodtender.store import backups
from vodtender.store.database import Database, connect
from vodtender.store.migrate import migrate

_README = (ROOT / "README.md").read_text(encoding="utf-8")
# /opt/vod-tender/bin/backup-db.sh as the runbook has it, up to its first line for S3.
_SCRIPT = """\
set -euo pipefail

TIMESTAMP=$(date +%Y%m%d_%H%M%S)
RETENTION_DAYS=30

# Create backup
pg_dump -U vod -h localhost vod | gzip > "${BACKUP_DIR}/vod_${TIMESTAMP}.sql.gz"
"""


@dataclass(frozen=True, slots=True)
class Machine:
    """With a PostgreSQL, its programs and its database `vod`."""

    server: EmbeddedServer
    directory: Path

    @property
    def environ(self) -> dict[str, str]:
        where = conninfo_to_dict(self.server.admin_dsn)
        path = f"{self.server.bin_directory}{os.pathsep}/usr/bin{os.pathsep}/bin"
        return {
            "PATH": path,
            "LC_ALL": "C.UTF-8",
            "PGHOST": str(where["host"]),
            "PGPORT": str(where["port"]),
            "PGUSER": str(where["user"]),
        }

    def shell(self, lines: str, **more: str) -> None:
        done = subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", lines],
            cwd=self.directory,
            env=self.environ | more,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    def drop_database(self) -> None:
        with psycopg.connect(self.server.admin_dsn, autocommit=True) as connection:
            connection.execute("DROP DATABASE vod WITH (FORCE)")

    def rows(self) -> dict[str, int]:
        with connect(self.server.dsn) as connection:
            return backups.row_counts(connection)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    directory = tmp_path_factory.mktemp("restored-by-hand")
    with acquire(directory / "postgres", durable=False) as server:
        yield server


@pytest.fixture
def machine(server: EmbeddedServer, tmp_path: Path) -> Machine:
    """With 500 VODs."""
    found = Machine(server, tmp_path)
    found.drop_database()
    with psycopg.connect(server.admin_dsn, autocommit=True) as connection:
        connection.execute("CREATE DATABASE vod OWNER vod")
    migrate(server.dsn)
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO vods (twitch_vod_id, channel, title)"
            " SELECT n::text, 'c', 'a title: \\. äöü' FROM generate_series(1, 500) AS n"
        )
    return found


def test_a_new_backup_is_restored_by_the_lines_of_the_readme(machine: Machine) -> None:
    blocks = re.findall(r"^```\w*\n(.*?)^```$", _README, re.DOTALL | re.MULTILINE)
    (block,) = [one for one in blocks if "zstd" in one]
    database = Database(lambda: machine.server.dsn)
    settings = Settings(db_dsn=machine.server.dsn, backup_dir=machine.directory)
    made = back_up(database, settings, actor="me").manifest
    database.close()
    machine.drop_database()
    (name,) = set(re.findall(r"vod_\w+\.dump\.zst", block))
    machine.shell(block.replace(name, made.name))
    with psycopg.connect(machine.server.admin_dsn, dbname="vod") as connection:
        found = connection.execute("SELECT count(*), min(title) FROM vods").fetchall()
    assert found == [(500, "a title: \\. äöü")]
    with connect(conninfo_of_admin(machine)) as connection:
        assert backups.row_counts(connection) == dict(made.rows)


def conninfo_of_admin(machine: Machine) -> str:
    return f"{machine.server.admin_dsn} dbname=vod"


def test_a_dump_of_the_runbooks_own_script_is_restored(machine: Machine) -> None:
    folder = machine.directory / "backups"
    folder.mkdir()
    before = machine.rows()
    with over_tcp(machine.server.dsn) as dsn:
        port = str(conninfo_to_dict(dsn)["port"])
        machine.shell(_SCRIPT, BACKUP_DIR=str(folder), PGPORT=port, PGHOST="")
    (dump,) = folder.glob("vod_*.sql.gz")
    machine.drop_database()
    settings = Settings(
        db_dsn=machine.server.dsn, db_admin_dsn=machine.server.admin_dsn, backup_dir=folder
    )
    asked = Asked(
        replace=False,
        wait=False,
        dry_run=False,
        actor="me",
        reason=None,
        confirm=lambda *_: None,
        note=print,
        tell=lambda *_: None,
    )
    assert restore(settings, dump.name, asked).rows == before
    with psycopg.connect(machine.server.dsn) as connection:
        found = connection.execute("SELECT count(*), min(title) FROM vods").fetchall()
    assert found == [(500, "a title: \\. äöü")]
