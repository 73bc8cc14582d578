"""Reading a backup to its end, to see that it is what it was when it was made."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vodtender.clients import temporary
from vodtender.config.settings import Settings
from vodtender.model.backup import Manifest
from vodtender.pipeline.backup_shelf import Entry, translated
from vodtender.procedures.backup_list import (
    LATEST,
    Shelves,
    named,
    no_such,
    passed_over,
    shelves,
)
from vodtender.procedures.backup_source import mark, room_for_a_copy
from vodtender.procedures.progress import Stop, Tell, never, silent

if TYPE_CHECKING:
    from vodtender.clients.pg_tools import Tools

_LOCAL, _S3 = "local", "s3"


@dataclass(frozen=True, slots=True)
class Verified:
    """A backup that was read to its end and is what it was when it was made. `passed_over` says of
    those that are newer, and were not taken as the latest, why not."""

    manifest: Manifest
    place: str
    seconds: float
    passed_over: tuple[str, ...]


def verify(
    settings: Settings,
    name: str,
    *,
    from_s3: bool = False,
    tell: Tell = silent,
    should_stop: Stop = never,
) -> Verified:
    """Reads a backup to its end: the local one, else (or with `from_s3`) the one in S3.

    That a local one is damaged is noted in its manifest, so that it is not taken for good any more.

    Raises NotFound, DamagedBackupError, Refused (`pg_tools_missing`, `archived`), and what S3
    answers.
    """
    from vodtender.clients import dump
    from vodtender.clients.dump import ChangedBackupError, DamagedBackupError

    began = time.monotonic()
    found = shelves(settings)
    with _at_hand(found, name, from_s3, tell, should_stop) as (entry, path, place):
        manifest = entry.manifest
        if manifest is None or (entry.problem is not None and entry.problem != manifest.damage):
            raise DamagedBackupError(
                f"{entry.name} is no good backup: {entry.problem}.",
                hint="make another one now: vodtender backup",
            )
        tools = _newest_tools(manifest.server_version)
        with translated(found.local.directory):
            try:
                dump.read_back(
                    tools,
                    path,
                    sha256=manifest.sha256,
                    progress=lambda done: tell("reading", done, manifest.size_bytes),
                    should_stop=should_stop,
                )
            except ChangedBackupError:
                if place == _LOCAL:
                    mark(found.local, manifest, dump.CHANGED)
                raise
        if place == _LOCAL and manifest.damage:
            mark(found.local, manifest, "")
    over: tuple[str, ...] = ()
    if name == LATEST:
        every = found.s3.entries() if place == _S3 and found.s3 else found.local.entries()
        over = passed_over(every, entry)
    return Verified(manifest, place, round(time.monotonic() - began, 3), over)


@contextmanager
def _at_hand(
    found: Shelves, name: str, from_s3: bool, tell: Tell, should_stop: Stop
) -> Iterator[tuple[Entry, Path, str]]:
    """The backup's entry and a file of it, fetched for the while if need be."""
    local = None if from_s3 else named(found.local.entries(), name)
    if local is not None:
        with found.local.being_read():
            yield local, found.local.path(local.name), _LOCAL
        return
    entry = named(found.s3.entries(), name) if found.s3 is not None else None
    if entry is None or found.s3 is None:
        raise no_such(name, found, found.local.entries())
    with temporary.directory() as directory:
        path = directory / entry.name
        at = found.s3.prefix / entry.name
        with room_for_a_copy(at):
            found.s3.store.download(
                at,
                path,
                progress=lambda done: tell("downloading", done, entry.size_bytes),
                should_stop=should_stop,
            )
        yield entry, path, _S3


def _newest_tools(server_version: int) -> Tools:
    """Whatever can read a dump of that version; no database is asked."""
    from vodtender.clients import pg_tools
    from vodtender.errors import DatabaseUnavailable

    ours = None
    with suppress(DatabaseUnavailable):
        ours = pg_tools.embedded()
    return pg_tools.at_least(server_version // 10000, "pg_restore", ours)
