"""DATA_DIR: where finished files lie, and where work in progress does.

    DATA_DIR/<title-slug>_<vod_id>.mp4   finished files, and nothing else that ends so
    DATA_DIR/in-progress/<vod_id>/       segments and half files
    DATA_DIR/postgres/                   the embedded database
    DATA_DIR/.vodtender-id               the directory's own id, noted with every file

The id tells whether a file that the database knows lies here, whatever the directory is called
today and wherever it is mounted.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from vodtender.clients.fsync import sync_directory
from vodtender.clients.ytdlp.workdir import SEGMENT_PATTERN
from vodtender.errors import SettingsError
from vodtender.model.slug import file_name
from vodtender.model.vod import Vod

_ID_NAME = ".vodtender-id"
_WORK_NAME = "in-progress"
_WORKERS_NAME = "workers"
POSTGRES_NAME = "postgres"


@dataclass(frozen=True, slots=True)
class Room:
    """How much a disk holds."""

    free_bytes: int
    total_bytes: int


@dataclass(frozen=True, slots=True)
class DataDirectory:
    """One DATA_DIR. `id` is the same for everybody who mounts it."""

    root: Path
    id: str

    def work(self, twitch_vod_id: str) -> Path:
        """Where one VOD's download is put together."""
        return self.root / _WORK_NAME / twitch_vod_id

    def works(self) -> Iterator[Path]:
        """All work directories there are. A link that somebody has put there is none."""
        try:
            yield from sorted(
                path
                for path in (self.root / _WORK_NAME).iterdir()
                if path.name.isdigit() and path.is_dir() and not path.is_symlink()
            )
        except FileNotFoundError:
            return

    def kept_bytes(self, twitch_vod_id: str) -> int:
        """How much of a VOD the next try need not fetch again."""
        try:
            segments = self.work(twitch_vod_id).glob(SEGMENT_PATTERN)
            return sum(path.stat().st_size for path in segments)
        except OSError:
            return 0

    def room(self) -> Room:
        """The disk's free and total bytes, as an ordinary user has them; none where it is gone."""
        try:
            usage = shutil.disk_usage(self.root)
        except OSError:
            return Room(0, 0)
        return Room(usage.free, usage.total)

    def is_there(self) -> bool:
        """Whether it is still the directory that was opened: its disk may have been unmounted,
        or another been mounted over it."""
        try:
            return _read_id(self.root) == self.id
        except OSError:
            return False

    def check(self) -> None:
        """Raises SettingsError if it is not there."""
        if not self.is_there():
            raise SettingsError(
                f"DATA_DIR {self.root} is not the directory it was a moment ago.",
                hint="is its disk still mounted?",
                code="data_dir",
            )

    def files(self) -> list[Path]:
        """What lies in it, but for directories and hidden files."""
        return sorted(
            Path(entry.path)
            for entry in os.scandir(self.root)
            if not entry.name.startswith(".") and not entry.is_dir(follow_symlinks=False)
        )

    def holds(self, vod: Vod) -> bool:
        """Whether the file that the database knows of lies in this directory."""
        return vod.downloaded_path is not None and vod.directory_id == self.id

    def file_of(self, vod: Vod) -> Path:
        """Where the recorded file should be: its name counts, the directory may have moved."""
        assert vod.downloaded_path is not None
        return self.root / Path(vod.downloaded_path).name

    def target(self, vod: Vod) -> Path:
        """Where a new file goes."""
        return self.root / file_name(vod.title, vod.twitch_vod_id)

    def place(self, made: Path, vod: Vod) -> Path:
        """Gives a verified file its place and sets its time to now. Earlier files of the same
        VOD go: exactly one carries its id. To be done again when it is not known to be stored.

        What was made stays where it is, too, until its work directory is removed: whoever is
        cut off before it is stored finds it there. Raises OSError.
        """
        target = self.target(vod)
        if not made.exists() and target.exists():
            return target
        os.utime(made)
        temporary = made.with_name(f"{made.name}.placed")
        temporary.unlink(missing_ok=True)
        try:
            os.link(made, temporary)
            os.replace(temporary, target)
        except OSError:  # not every file system knows a second name of a file
            os.replace(made, target)
        finally:
            temporary.unlink(missing_ok=True)  # it is still there if both were one file already
        sync_directory(self.root, required=True)
        for earlier in self.root.glob(f"*_{vod.twitch_vod_id}.mp4"):
            if earlier != target:
                earlier.unlink(missing_ok=True)
        return target

    def placed_from(self, work: Path) -> list[Path]:
        """Finished files that are second names of what still lies in a work directory, as
        `place` leaves them to whoever is cut off."""
        found = [path.lstat() for path in work.iterdir()]
        made = {(one.st_dev, one.st_ino) for one in found if one.st_nlink > 1}
        if not made:
            return []
        finished = [(path, path.lstat()) for path in self.root.glob(f"*_{work.name}.mp4")]
        return [path for path, one in finished if (one.st_dev, one.st_ino) in made]

    def register(self, worker_id: str) -> int:
        """Locks a file of this worker's name for as long as the process lives, so that others
        on the same machine see at once when it has died. Returns the descriptor to keep."""
        path = self._workers() / worker_id
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.write(descriptor, _machine())
        return descriptor

    def dead_workers(self) -> list[str]:
        """Workers that registered here and are known to have ended. Those of another machine
        never are: a lock on a network's disk need not be seen from here."""
        return [
            path.name for path in self._worker_locks() if _said_by_nobody_living(path) == _machine()
        ]

    def forget_strangers(self, max_age_seconds: float) -> None:
        """Removes what workers of other machines, or of this one before it was switched off,
        have left for so long."""
        for path in self._worker_locks():
            said = _said_by_nobody_living(path)
            if said not in (None, _machine()) and age_seconds(path) > max_age_seconds:
                path.unlink(missing_ok=True)

    def _worker_locks(self) -> list[Path]:
        return sorted(self._workers().iterdir())

    def unregister(self, worker_id: str) -> None:
        """Removes what `register` made."""
        (self._workers() / worker_id).unlink(missing_ok=True)

    def _workers(self) -> Path:
        directory = self.root / _WORK_NAME / _WORKERS_NAME
        directory.mkdir(parents=True, exist_ok=True)
        return directory


def open_directory(root: Path) -> DataDirectory:
    """Makes DATA_DIR if need be, and makes sure that it can be written.

    Raises:
        SettingsError: it cannot.
    """
    root = root.absolute()
    try:
        root.mkdir(parents=True, exist_ok=True)
        return DataDirectory(root, _id_of(root))
    except OSError as error:
        meaning = "is full" if error.errno == errno.ENOSPC else "cannot be written"
        raise SettingsError(
            f"DATA_DIR {root} {meaning}: {error.strerror}",
            hint="set DATA_DIR to a directory that this user can write",
            code="data_dir",
        ) from error


def _read_id(root: Path) -> str:
    return (root / _ID_NAME).read_text(encoding="ascii", errors="replace").strip()


def _id_of(root: Path) -> str:
    path = root / _ID_NAME
    for _ in range(100):
        try:
            found = _read_id(root)
        except FileNotFoundError:
            found = ""
        if found:
            _probe(root)
            return found
        temporary = root / f"{_ID_NAME}.{uuid4().hex}"
        temporary.write_text(f"{uuid4()}\n", encoding="ascii")
        try:
            # Unlike a rename, a link fails when another process was faster.
            os.link(temporary, path)
        except FileExistsError:
            if not path.stat().st_size:
                path.unlink(missing_ok=True)
        finally:
            temporary.unlink(missing_ok=True)
    raise SettingsError(f"{path} cannot be made", code="data_dir")


def _probe(root: Path) -> None:
    """Raises OSError when nothing can be written. A full disk is another matter: uploads and
    pruning go on, and they make room."""
    probe = root / f"{_ID_NAME}.{uuid4().hex}"
    try:
        probe.touch()
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
    finally:
        probe.unlink(missing_ok=True)


def age_seconds(path: Path) -> float:
    """Since when nothing in a directory, or in a file, has changed; 0 if it is gone."""
    try:
        inside = path.iterdir() if path.is_dir() else ()
        newest = max([path.stat().st_mtime, *(p.stat().st_mtime for p in inside)])
    except FileNotFoundError:
        return 0.0
    return max(0.0, time.time() - newest)


def _said_by_nobody_living(lock: Path) -> bytes | None:
    """What is written in a worker's lock that no process holds; None if one does."""
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.read(descriptor, 1024)
    except BlockingIOError:
        return None
    finally:
        os.close(descriptor)


def _machine() -> bytes:
    """The same for all processes of one machine, in containers too, until it is switched off."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_bytes()
    except OSError:
        return socket.gethostname().encode()
