"""Finds the backup that somebody names, and brings a file of it to hand."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from vodtender.clients import temporary
from vodtender.clients.dump import CHANGED, ChangedBackupError, DamagedBackupError
from vodtender.config.settings import Settings
from vodtender.errors import NotFound, UsageError, VodtenderError
from vodtender.model.backup import MANIFESTS, Manifest, full_name, manifest_name, time_in
from vodtender.model.s3_location import S3Location
from vodtender.pipeline.backup_shelf import Entry, LocalShelf, judged, translated
from vodtender.procedures.backup_list import LATEST, Shelves, no_such, passed_over, poorer, shelves
from vodtender.procedures.progress import Tell

if TYPE_CHECKING:
    from vodtender.clients.s3 import Store


@dataclass(frozen=True, slots=True)
class Source:
    """A backup at hand. `where` is what people know it by; `manifest` is None where there is
    none, so that only a restore can tell whether it is whole. `passed_over` says of those that are
    newer, and were not taken as the latest, why not."""

    name: str
    where: str
    path: Path
    size_bytes: int
    manifest: Manifest | None
    passed_over: tuple[str, ...] = ()

    @property
    def made_at(self) -> datetime | None:
        """The moment that it shows, if that is known; its name tells it, too."""
        return time_in(self.name) if self.manifest is None else self.manifest.made_at

    @property
    def warnings(self) -> list[str]:
        """What whoever is about to restore it ought to know."""
        lack = "" if self.manifest is None else self.manifest.lack
        lost = [f"when it was made, rows were lost already: {lack}"] if lack else []
        return [*self.passed_over, *lost]


@contextmanager
def at_hand(
    settings: Settings, wanted: str, tell: Tell, *, from_s3: bool = False
) -> Iterator[Source]:
    """The backup of a name, `latest`, a file or an address in S3, for as long as the block
    lasts. With `from_s3` a name is looked for in S3 only.

    Raises:
        NotFound: there is none (code `no_backup`).
        DamagedBackupError: it is not what its manifest says, by its size. A ChangedBackupError
            of the block is noted in the manifest of a local one.
        Refused: it is in an archive class (code `archived`), and what else S3 answers.
    """
    if wanted.startswith("s3://"):
        with _from_address(settings, wanted, tell) as source:
            yield source
    elif not from_s3 and _is_file(wanted):
        path, shelf = Path(wanted), LocalShelf(settings.backup_directory)
        is_there = path.absolute().parent == shelf.directory
        with shelf.being_read() if is_there else nullcontext():
            yield _from_file(path)
    else:
        with _from_shelves(settings, wanted, tell, from_s3=from_s3) as source:
            yield source


def _is_file(wanted: str) -> bool:
    return wanted != LATEST and ("/" in wanted or Path(wanted).exists())


def _from_file(path: Path) -> Source:
    if not path.is_file():
        raise NotFound(f"There is no file {path}.", hint="vodtender backup list", code="no_backup")
    path = path.absolute()
    beside = path.parent / MANIFESTS / manifest_name(path.name)
    text = beside.read_bytes() if beside.is_file() else None
    entry = judged(path.name, path.stat().st_size, text)
    return _source(entry, path, str(path), has_manifest=text is not None)


@contextmanager
def _from_address(settings: Settings, wanted: str, tell: Tell) -> Iterator[Source]:
    from vodtender.clients.s3 import open_store

    try:
        at = S3Location.parse(wanted)
    except ValueError as error:
        raise UsageError(f"{wanted!r}: {error}") from None
    store = open_store(settings)
    found = store.head(at)
    if found is None:
        raise NotFound(f"There is no {at}.", hint="vodtender backup list", code="no_backup")
    prefix = at.key.removesuffix(at.name)
    try:
        text = store.get(S3Location(at.bucket, f"{prefix}{MANIFESTS}/{manifest_name(at.name)}"))
    except NotFound:
        text = None
    entry = judged(at.name, found.size_bytes, text)
    with _downloaded(store, at, entry, tell) as path:
        yield _source(entry, path, str(at), has_manifest=text is not None)


@contextmanager
def _from_shelves(
    settings: Settings, wanted: str, tell: Tell, *, from_s3: bool
) -> Iterator[Source]:
    found = shelves(settings)
    here = [] if from_s3 else found.local.entries()
    there = [] if found.s3 is None else found.s3.entries()
    entry, is_here = _chosen(found, here, there, wanted)
    over: tuple[str, ...] = ()
    if wanted == LATEST:
        over = (*passed_over([*here, *there], entry), *poorer(entry.manifest, [*here, *there]))
    if is_here:
        path = found.local.path(entry.name)
        with found.local.being_read():
            source = _source(entry, path, str(path), has_manifest=entry.manifest is not None)
            try:
                yield replace(source, passed_over=over)
            except ChangedBackupError:
                if entry.manifest is not None:
                    mark(found.local, entry.manifest, CHANGED)
                raise
        return
    assert found.s3 is not None
    at = found.s3.prefix / entry.name
    with _downloaded(found.s3.store, at, entry, tell) as path:
        source = _source(entry, path, str(at), has_manifest=entry.manifest is not None)
        yield replace(source, passed_over=over)


def mark(shelf: LocalShelf, manifest: Manifest, damage: str) -> None:
    """Notes in its manifest that a backup is damaged, or (an empty text) whole: where that can be
    done now, for who only reads need not be able to write there."""
    with suppress(VodtenderError), shelf.locked(), translated(shelf.directory):
        shelf.write_manifest(manifest.marked(damage))


def _chosen(
    found: Shelves, here: list[Entry], there: list[Entry], wanted: str
) -> tuple[Entry, bool]:
    """A good one before one that is not, and of two good ones that which is here."""
    every = [(entry, True) for entry in here] + [(entry, False) for entry in there]
    if wanted == LATEST:
        good = [
            (entry.manifest.made_at, is_here, entry)
            for entry, is_here in every
            if entry.manifest is not None
            and entry.problem is None
            and not entry.manifest.before_restore
        ]
        if not good:
            raise no_such(wanted, found, [*here, *there])
        _, is_here, entry = max(good, key=lambda one: one[:2])
        return entry, is_here
    named = [(entry, is_here) for entry, is_here in every if entry.name == full_name(wanted)]
    if not named:
        raise no_such(wanted, found)
    return next((one for one in named if one[0].problem is None), named[0])


@contextmanager
def _downloaded(store: Store, at: S3Location, entry: Entry, tell: Tell) -> Iterator[Path]:
    with temporary.directory() as directory:
        path = directory / entry.name
        with room_for_a_copy(at):
            store.download(
                at, path, progress=lambda done: tell("downloading", done, entry.size_bytes)
            )
        yield path


@contextmanager
def room_for_a_copy(at: S3Location) -> Iterator[None]:
    """While a backup comes down into the directory for temporary files. Raises VodtenderError
    (code `no_room`)."""
    try:
        yield
    except OSError as error:
        where = tempfile.gettempdir()
        raise VodtenderError(
            f"{at} cannot be brought down to {where}: {error.strerror or error}.",
            hint="set TMPDIR to a directory on a disk with more room",
            code="no_room",
        ) from error


def _source(entry: Entry, path: Path, where: str, *, has_manifest: bool) -> Source:
    """Raises DamagedBackupError for one that does not fit its manifest; one that has none must
    speak for itself."""
    if has_manifest and entry.problem is not None:
        raise DamagedBackupError(
            f"{where} is no good backup: {entry.problem}.", hint="vodtender backup list"
        )
    return Source(entry.name, where, path, entry.size_bytes, entry.manifest)
