"""Backups that are there already when a test begins."""

from __future__ import annotations

import hashlib
import socket
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.postgres import NewDatabase
from tests.soak.relay import Badness, Relay
from vodtender.clients import pg_tools
from vodtender.model.backup import Manifest, name_of
from vodtender.pipeline.backup_shelf import LocalShelf
from vodtender.store import backups
from vodtender.store.database import Database


def shelve(directory: Path, age: timedelta, *, kept: bool = False, vods: int = 0) -> Manifest:
    """A backup of that age with a few bytes in it; good, as far as its manifest can say."""
    shelf = LocalShelf(directory)
    made_at = (datetime.now(UTC) - age).replace(microsecond=0)
    data = f"made at {made_at}".encode()
    manifest = Manifest(
        name=name_of(made_at),
        made_at=made_at,
        size_bytes=len(data),
        raw_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        crc32=zlib.crc32(data),
        rows={"vods": vods},
        schema_version=1,
        server_version=180000,
        program_version="0",
        database="vod",
        host="elsewhere",
        seconds=1.0,
        kept=kept,
    )
    with shelf.locked():
        shelf.temporary(manifest.name).write_bytes(data)
        shelf.add(manifest)
    return manifest


def standing(database: Database) -> backups.Standing:
    """How it stands with backups, as the database remembers it."""
    with database.transaction() as connection:
        return backups.standing(connection)


@contextmanager
def restored(path: Path, new_database: NewDatabase) -> Iterator[str]:
    """A database made of a dump by `zstd -dc FILE | pg_restore`, without anything of ours."""
    import subprocess

    with new_database("template0") as dsn:
        tools = pg_tools.embedded()
        with subprocess.Popen(["zstd", "-dcq", path], stdout=subprocess.PIPE) as unpacking:
            subprocess.run(
                [tools.path("pg_restore"), "--exit-on-error", f"--dbname={make_conninfo(dsn)}"],
                stdin=unpacking.stdout,
                check=True,
                capture_output=True,
            )
        assert unpacking.returncode == 0
        yield dsn


@contextmanager
def over_tcp(dsn: str) -> Iterator[str]:
    """The same database, not over its own socket."""
    parts = conninfo_to_dict(dsn)

    def connected() -> socket.socket:
        server = socket.socket(socket.AF_UNIX)
        server.connect(f"{parts['host']}/.s.PGSQL.{parts['port']}")
        return server

    relay = Relay(connected, Badness(), Random(1))
    try:
        yield f"host=127.0.0.1 port={relay.port} user={parts['user']} dbname={parts['dbname']}"
    finally:
        relay.close()
