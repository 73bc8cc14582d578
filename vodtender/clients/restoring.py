"""Reading dumps back: the custom format under zstd, and the plain SQL of the runbook's script.

A plain dump is read to its end before anything is done with it; see `plain_dump`.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import subprocess
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from vodtender.clients import pg_tools, temporary, zstd
from vodtender.clients.dump import DamagedBackupError, widen
from vodtender.clients.pg_tools import Tools
from vodtender.clients.plain_dump import PlainDump, damaged, foreign
from vodtender.errors import Refused, VodtenderError
from vodtender.model.dumped import Part

_BLOCK_BYTES = 1 << 20
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_GZIP_MAGIC = b"\x1f\x8b"
_CUSTOM_MAGIC = b"PGDMP"
_HEAD_BYTES = 512
_HEAD_VERSION = re.compile(rb"\x00(\d{1,2})\.\d[^\x00]*\x00")
"""The first is the server's; after the name of its database."""
_LISTED = re.compile(r"\d+; \d+ \d+ TABLE public (\S+) ")
_DUMP = b"-- PostgreSQL database dump"
_LISTED_RIGHTS = re.compile(r"\d+; \d+ \d+ (?:DEFAULT )?ACL ")
_OURS = ("--no-owner", "--no-acl")
_BEGINNING_BYTES = 32 << 20
"""Far more than the list of what is in our database takes."""
_BROKEN = (EOFError, OSError, zlib.error, zstd.Error)

Progress = Callable[[int], object]
"""Told how many bytes of the file have been read."""


class Kind(StrEnum):
    """What is inside, whatever it is compressed with."""

    CUSTOM = "custom"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class Contents:
    """What a dump has in it, as far as can be told without a database."""

    kind: Kind
    tables: frozenset[str]


def digest(path: Path, progress: Progress) -> str:
    """The file's SHA-256. Raises OSError."""
    found = hashlib.sha256()
    done = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            found.update(block)
            done += len(block)
            progress(done)
    return found.hexdigest()


def kind_of(path: Path) -> Kind:
    """Which of the two it is, by its first bytes. Raises DamagedBackupError."""
    try:
        start = next(_blocks(path), b"")
    except _BROKEN as error:
        raise damaged(path, str(error)) from error
    if not start.strip():
        raise damaged(path, "there is nothing in it")
    if start.startswith(_CUSTOM_MAGIC):
        return Kind.CUSTOM
    if _DUMP in start[:4096]:
        return Kind.PLAIN
    raise foreign(path)


def made_by(path: Path) -> int | None:
    """The major version of the server that a custom dump was made of; None: not to be told.
    Raises DamagedBackupError."""
    try:
        start = next(_blocks(path), b"")
    except _BROKEN as error:
        raise damaged(path, str(error)) from error
    found = _HEAD_VERSION.search(start[:_HEAD_BYTES]) if start.startswith(_CUSTOM_MAGIC) else None
    return None if found is None else int(found[1])


def inspect(path: Path, tools: Tools) -> Contents:
    """Looks into a dump; a plain one is read to its end.

    Raises:
        DamagedBackupError: it is cut off, damaged or no dump.
        Refused: a newer pg_restore is needed, or it holds commands for psql.
    """
    kind = kind_of(path)
    if kind is Kind.CUSTOM:
        return Contents(kind, _listed_tables(path, tools))
    reader = PlainDump(path)
    try:
        for _ in reader.lines(_blocks(path)):
            pass
    except _BROKEN as error:
        raise damaged(path, str(error)) from error
    return Contents(kind, frozenset(reader.tables))


def load_plain(path: Path, tools: Tools, dsn: str, *, progress: Progress) -> list[str]:
    """Puts all of a plain dump into an empty database that nobody else uses, by psql, in one
    transaction. Objects belong to the role of the DSN. Returns the statements that give other
    roles their rights, which may not be there.

    Raises DamagedBackupError, Refused; DatabaseUnavailable when the server ends or its disk is
    full.
    """
    reader = PlainDump(path)
    arguments = ["--no-psqlrc", "--quiet", "--no-password", "--single-transaction"]
    # Codes, by which errors are told apart; and never the row that an error was met in.
    arguments += ["--set=VERBOSITY=verbose", "--set=SHOW_CONTEXT=never"]
    arguments += ["--set=ON_ERROR_STOP=1", "--output=/dev/null", "--file=-"]
    with pg_tools.running(tools, "psql", arguments, dsn=dsn, stdin=subprocess.PIPE) as started:
        widen(started.stdin.fileno())
        try:
            for block in reader.lines(_blocks(path, progress)):
                started.stdin.write(block)
            started.stdin.close()
        except BrokenPipeError:
            raise _said(path, started.failure()) from None
        except _BROKEN as error:
            raise damaged(path, str(error)) from error
        _finish(path, started)
    return reader.rights


@contextmanager
def rows(path: Path, tools: Tools, *, progress: Progress) -> Iterator[Iterator[Part]]:
    """The tables and rows of a custom dump, for one transaction. Objects belong to whoever
    executes it.

    Raises DamagedBackupError and Refused, in the block too.
    """
    with _as_sql(path, tools, progress) as blocks:
        yield PlainDump(path).parts(blocks)


@dataclass(frozen=True, slots=True)
class Rest:
    """What a custom dump has beside tables and rows. `statements` make indexes and constraints;
    `rights` are those that give other roles their rights, which may not be there."""

    statements: bytes
    rights: list[str]


def rest(path: Path, tools: Tools) -> Rest:
    """Of a custom dump. Raises DamagedBackupError, Refused."""
    with _beginning(path) as beginning:
        try:
            arguments = ["--section=post-data", "--file=-", *_OURS, str(beginning)]
            made = pg_tools.run_raw(tools, "pg_restore", arguments)
            statements = b"".join(PlainDump(path).lines(iter((made,))))
            return Rest(statements, _rights(path, beginning, tools))
        except VodtenderError as error:
            raise _said(path, error) from error


def _rights(path: Path, beginning: Path, tools: Tools) -> list[str]:
    listed = pg_tools.run(tools, "pg_restore", ["--list", str(beginning)])
    wanted = [line for line in listed.splitlines() if _LISTED_RIGHTS.match(line)]
    if not wanted:
        return []
    choice = beginning.with_name("rights")
    choice.write_text("\n".join(wanted) + "\n", encoding="utf-8")
    arguments = [f"--use-list={choice}", "--no-owner", "--file=-", str(beginning)]
    reader = PlainDump(path)
    made = pg_tools.run_raw(tools, "pg_restore", arguments)
    for _ in reader.lines(iter((made,))):
        pass
    return reader.rights


@contextmanager
def _as_sql(path: Path, tools: Tools, progress: Progress) -> Iterator[Iterator[bytes]]:
    """The tables and rows of a custom dump as the SQL that pg_restore makes of it."""
    pipe = subprocess.PIPE
    arguments = ["--section=pre-data", "--section=data", "--file=-", *_OURS]
    with (
        pg_tools.running(tools, "pg_restore", arguments, stdin=pipe, stdout=pipe) as started,
        ThreadPoolExecutor(1, thread_name_prefix="unpack") as feeder,
    ):
        widen(started.stdin.fileno())
        widen(started.stdout.fileno())
        feeding = feeder.submit(_feed, started, _blocks(path, progress))

        def made() -> Iterator[bytes]:
            while block := os.read(started.stdout.fileno(), _BLOCK_BYTES):
                yield block
            try:
                feeding.result()
            except BrokenPipeError:
                raise _said(path, started.failure()) from None
            except _BROKEN as error:
                raise damaged(path, str(error)) from error
            _finish(path, started)

        try:
            yield made()
        finally:
            started.stop()  # else the feeder, after an error, would wait for a reader for ever


def _feed(started: pg_tools.Running, data: Iterator[bytes]) -> None:
    try:
        for block in data:
            started.stdin.write(block)
    finally:
        with suppress(BrokenPipeError):
            started.stdin.close()


@contextmanager
def _beginning(path: Path) -> Iterator[Path]:
    """A file with the list that a custom dump begins with, without its rows: which pg_restore is
    asked for several things."""
    with temporary.directory() as directory:
        beginning = directory / "beginning"
        with beginning.open("wb") as file:
            for block in _blocks(path):
                file.write(block)
                if file.tell() >= _BEGINNING_BYTES:
                    break
        yield beginning


def _finish(path: Path, started: pg_tools.Running) -> None:
    try:
        started.finish()
    except pg_tools.ToolFailedError as error:
        raise _said(path, error) from error


def _listed_tables(path: Path, tools: Tools) -> frozenset[str]:
    """By pg_restore, which reads the list at the beginning and ends."""
    pipe = subprocess.PIPE
    with pg_tools.running(tools, "pg_restore", ["--list"], stdin=pipe, stdout=pipe) as started:
        try:
            for block in _blocks(path):
                started.stdin.write(block)
            started.stdin.close()
        except BrokenPipeError:
            pass
        except _BROKEN as error:
            raise damaged(path, str(error)) from error
        out = started.stdout.read().decode("utf-8", "replace")
        _finish(path, started)
    return frozenset(_LISTED.findall(out))


def _blocks(path: Path, progress: Progress | None = None) -> Iterator[bytes]:
    """What is in the file, unpacked."""
    with path.open("rb") as file:
        start = file.read(4)
        file.seek(0)
        if start.startswith(_ZSTD_MAGIC):
            done = 0

            def read(raw: bytes) -> None:
                nonlocal done
                done += len(raw)
                if progress is not None:
                    progress(done)

            yield from zstd.blocks(path, read)
            return
        unpacked = gzip.GzipFile(fileobj=file) if start.startswith(_GZIP_MAGIC) else file
        while block := unpacked.read(_BLOCK_BYTES):
            yield block
            if progress is not None:
                progress(file.tell())


def _said(path: Path, error: VodtenderError) -> VodtenderError:
    """What a program's failure says of the dump, if it is the dump's."""
    if not isinstance(error, pg_tools.ToolFailedError):
        return error
    if "unsupported version" in error.message:
        return Refused(
            f"{path.name} was made by a newer PostgreSQL: {error.message}",
            hint="apt-get install postgresql-client   (https://apt.postgresql.org)",
            code="pg_tools_missing",
        )
    return refused(path, error.message)


def refused(path: Path, why: str) -> DamagedBackupError:
    """For a dump that a server, or one of its programs, does not take."""
    return DamagedBackupError(
        f"{path.name} cannot be restored: {why}",
        hint="try another one: vodtender backup list",
    )
