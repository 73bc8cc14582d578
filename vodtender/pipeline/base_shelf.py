"""Where base backups and the archived write-ahead log lie, below BACKUP_DIR:

    base/base_20261123_020000/       a cluster's files
    base/base_20261123_020000.json   its record: without one it is none
    wal/CLUSTER/                     the log's segments, and the histories of its timelines
    wal/CLUSTER/00000002.restored    when a recovery began that timeline
    wal/CLUSTER/SEGMENT.left_off     before that segment archiving was left off; and until when

To be changed only with the lock of BACKUP_DIR.
"""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from vodtender.clients.fsync import sync_directory
from vodtender.clients.postgres import wal_archive
from vodtender.clients.postgres.wal_archive import OwnLog
from vodtender.model.base_backup import (
    BASES,
    LEFT_OFF,
    WAL,
    Base,
    Timeline,
    base_name,
    forks,
    is_base_name,
    is_segment,
    needless,
    segment_after,
)
from vodtender.model.log_reach import Log, Span, spans
from vodtender.pipeline.backup_shelf import private, translated

_TEMPORARY = ".tmp-"
_HISTORY = ".history"
_RESTORED = ".restored"


class BaseShelf:
    """BACKUP_DIR, as base backups see it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()

    def path(self, name: str) -> Path:
        return self.directory / BASES / name

    def temporary(self, name: str) -> Path:
        """Where a base backup is made before it gets its name."""
        return self.directory / BASES / f"{_TEMPORARY}{name}"

    def wal(self, system_id: str) -> Path:
        """Where a cluster's log is archived."""
        return self.directory / WAL / system_id

    def prepare(self) -> None:
        """The directory for base backups, without what those that died have left."""
        with translated(self.directory):
            (self.directory / BASES).mkdir(mode=0o700, exist_ok=True)
            for path in (self.directory / BASES).iterdir():
                unfinished = is_base_name(path.name) and not self._record(path.name).exists()
                if path.name.startswith(_TEMPORARY) or unfinished:
                    _remove(path)

    def free_name(self, now: datetime) -> str:
        """For a base backup that ends about now; the next free one."""
        while self.path(base_name(now)).exists():
            now = datetime.fromtimestamp(now.timestamp() + 1, UTC)
        return base_name(now)

    def entries(self) -> list[Base]:
        """The good ones, the newest first."""
        found = []
        with translated(self.directory):
            for path in (self.directory / BASES).glob("*.json"):
                with suppress(ValueError, FileNotFoundError):
                    base = Base.from_json(path.read_bytes())
                    if base.name == path.stem and self.path(base.name).is_dir():
                        found.append(base)
        return sorted(found, key=lambda one: (one.made_at, one.name), reverse=True)

    def add(self, base: Base) -> Path:
        """What was made becomes a base backup, on the disk when this returns. Raises OSError."""
        path = self.path(base.name)
        self.temporary(base.name).rename(path)
        sync_directory(path.parent, required=False)
        _write(self._record(base.name), base.to_json())
        return path

    def remove(self, base: Base) -> None:
        """Raises OSError."""
        self._record(base.name).unlink(missing_ok=True)
        sync_directory(self.directory / BASES, required=False)
        _remove(self.path(base.name))

    def _record(self, name: str) -> Path:
        return self.directory / BASES / f"{name}.json"

    # --- the log ------------------------------------------------------------------------

    def remove_needless(self, bases: list[Base], live: str | None) -> tuple[int, int]:
        """Removes the log that none of the base backups needs: how many files, of how many
        bytes. That of the cluster `live` stays as long as it has no base backup. Raises
        OSError."""
        count = size_bytes = 0
        for archive in self._archives():
            kept = [one for one in bases if one.system_id == archive.name]
            if not kept and archive.name == live:
                continue
            for name in needless(os.listdir(archive), kept):
                size_bytes += (archive / name).stat().st_size
                (archive / name).unlink()
                count += 1
        return count, size_bytes

    def wal_bytes(self) -> int:
        """How much the archived log takes."""
        total = 0
        with suppress(OSError):
            for archive in self._archives():
                total += sum(one.stat().st_size for one in os.scandir(archive) if one.is_file())
        return total

    def chains(self, own: OwnLog | None) -> list[Span]:
        """What each base backup leads to, without the last moments. `own` is the log in the
        cluster that is archived here now. Raises OSError."""
        logs = {archive.name: self._log(archive, own) for archive in self._archives()}
        return spans(self.entries(), self.timelines(), logs)

    def spans(self, own: OwnLog | None) -> list[Span]:
        """Which moments each base backup gives, the newest first. Raises OSError."""
        return [self._ended(one) for one in self.chains(own)]

    def _log(self, archive: Path, own: OwnLog | None) -> Log:
        names = os.listdir(archive)
        left_off = {}
        for name in names:
            if name.endswith(LEFT_OFF):
                left_off[name.removesuffix(LEFT_OFF)] = _time_in(archive / name, "began_again_at")
        mine = own.segments if own is not None and own.system_id == archive.name else frozenset()
        return Log(frozenset(names), mine, left_off)

    def _ended(self, span: Span) -> Span:
        if span.goes_on:
            return span
        archive = self.wal(span.base.system_id)
        for name in reversed(span.chain):
            found = wal_archive.last_change(archive / name)
            if found is not None:
                return replace(span, reached_at=found)
        return span

    def mark_left_off(self, system_id: str, now: datetime) -> None:
        """Remembers that after what is archived of a cluster there is log that was not, until
        now. Raises OSError."""
        archive = self.wal(system_id)
        with suppress(FileNotFoundError):
            names = [name for name in os.listdir(archive) if is_segment(name)]
            if names:
                last = max(names)
                after = segment_after(last, (archive / last).stat().st_size)
                _write(archive / f"{after}{LEFT_OFF}", _at("began_again_at", now))

    def timelines(self) -> dict[str, list[Timeline]]:
        """By cluster, those that recoveries have begun. Raises OSError."""
        found: dict[str, list[Timeline]] = {}
        for archive in self._archives():
            for path in archive.glob(f"*{_HISTORY}"):
                with suppress(ValueError, UnicodeDecodeError):
                    number = int(path.stem, 16)
                    began_at = _began_at(path)
                    one = Timeline(number, began_at, forks(path.read_text(encoding="utf-8")))
                    found.setdefault(archive.name, []).append(one)
        return found

    def mark_timeline(self, system_id: str, number: int, began_at: datetime) -> None:
        """Remembers when a recovery began a timeline. Raises OSError."""
        path = self.wal(system_id) / f"{number:08X}{_RESTORED}"
        _write(path, _at("began_at", began_at))

    def _archives(self) -> list[Path]:
        return sorted(path for path in (self.directory / WAL).glob("*") if path.name.isdigit())


def _began_at(history: Path) -> datetime:
    return _time_in(history.with_suffix(_RESTORED), "began_at", otherwise=history)


def _time_in(mark: Path, key: str, *, otherwise: Path | None = None) -> datetime:
    """By our own mark; without one the time of the file must do."""
    try:
        return datetime.fromisoformat(json.loads(mark.read_text(encoding="utf-8"))[key])
    except (OSError, ValueError, KeyError, TypeError):
        return datetime.fromtimestamp((otherwise or mark).stat().st_mtime, UTC)


def _at(key: str, moment: datetime) -> str:
    return json.dumps({key: moment.astimezone(UTC).isoformat()}) + "\n"


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f"{_TEMPORARY}{path.name}")
    with open(temporary, "w", encoding="utf-8", opener=private) as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    sync_directory(path.parent, required=False)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
