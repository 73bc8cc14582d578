"""What can be had of a database that is too damaged for a dump: table by table, and by name what
cannot."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from vodtender.clients import dump
from vodtender.clients.fsync import sync_directory
from vodtender.config.settings import Settings
from vodtender.errors import DatabaseUnavailable, VodtenderError
from vodtender.model.timestamp import rfc3339
from vodtender.pipeline.backup_shelf import LocalShelf, private, translated
from vodtender.procedures.progress import Tell, never
from vodtender.procedures.scratch import Server
from vodtender.store import backups
from vodtender.store.database import connect
from vodtender.store.database import translated as database_translated

if TYPE_CHECKING:
    from vodtender.clients.pg_tools import Tools

_DIRECTORY = "rescue"
_SUFFIX = ".dump.zst"
SCHEMA = "schema"


@dataclass(frozen=True, slots=True)
class Rescued:
    """A directory with a dump of each table that could be read, by `saved` with its bytes; `lost`
    says of the others why not. Each shows a moment of its own. `reader` is the pg_restore that
    reads them."""

    directory: Path
    reader: Path
    saved: dict[str, int] = field(default_factory=dict)
    lost: dict[str, str] = field(default_factory=dict)


def rescue(server: Server, settings: Settings, tell: Tell) -> Rescued | None:
    """Dumps what can be dumped to a directory of its own in BACKUP_DIR, which no retention
    touches; None where nothing can, not even the list of tables.

    Raises Locked, SettingsError; VodtenderError (code `backup_disk_full`).
    """
    shelf = LocalShelf(settings.backup_directory)
    try:
        with connect(server.dsn, autocommit=True) as connection, database_translated():
            tables = backups.dumped_tables(connection)
        tools = server.tools("pg_dump")
    except (VodtenderError, psycopg.Error):
        return None
    with shelf.locked(), translated(shelf.directory):
        now = datetime.now(UTC)
        directory = shelf.directory / _DIRECTORY / f"{now:%Y%m%d_%H%M%S_%f}"
        found = Rescued(directory, tools.path("pg_restore"))
        found.directory.mkdir(mode=0o700, parents=True)
        steps = [(SCHEMA, ["--schema-only"])]
        steps += [(table.name, [f"--table={table.pattern}"]) for table in tables]
        for done, (name, only) in enumerate(steps):
            tell("rescuing", done, len(steps))
            try:
                found.saved[name] = _saved(found.directory, name, only, server, tools)
            except DatabaseUnavailable as error:
                found.lost[name] = error.message  # a damaged page may end the server's process
            except VodtenderError as error:
                found.lost[name] = error.message
        _describe(found, server.name, now)
    return found if found.saved else None


def _saved(directory: Path, name: str, only: list[str], server: Server, tools: Tools) -> int:
    path = directory / f"{name.replace('/', '_')}{_SUFFIX}"
    try:
        with open(path, "wb", opener=private) as target:
            done = dump.dump(
                *(tools, server.dsn, None, target),
                progress=lambda _done: None,
                should_stop=never,
                only=only,
            )
        dump.read_back(
            tools, path, sha256=done.sha256, progress=lambda _done: None, should_stop=never
        )
    except BaseException:
        with suppress(OSError):
            path.unlink()
        raise
    return done.size_bytes


def _describe(found: Rescued, database: str, now: datetime) -> None:
    told = {
        "database": database,
        "made_at": rfc3339(now),
        "saved": found.saved,
        "lost": found.lost,
    }
    with open(found.directory / "rescue.json", "w", encoding="utf-8", opener=private) as file:
        file.write(json.dumps(told, indent=2, ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())
    sync_directory(found.directory, required=False)
