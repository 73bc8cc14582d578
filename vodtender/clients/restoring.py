"""Reading dumps back: the custom format under zstd, and the plain SQL of the runbook's script.

A plain dump says at its end that it is complete, and psql does not mind when that is missing; so
it is read to its end before anything is done with it. Lines for psql itself, which could start
programs, are never passed on: `\\restrict`, which older versions of psql do not know, is left out,
and any other is refused.
"""

from __future__ import annotations

import gzip
import hashlib
import re
import subprocess
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from vodtender.clients import pg_tools, zstd
from vodtender.clients.dump import DamagedBackupError
from vodtender.clients.pg_tools import Tools
from vodtender.errors import Refused

_BLOCK_BYTES = 1 << 20
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_GZIP_MAGIC = b"\x1f\x8b"
_CUSTOM_MAGIC = b"PGDMP"
_COPY = re.compile(rb"COPY .* FROM stdin;\r?\Z")
_TABLE = re.compile(rb'CREATE (?:UNLOGGED )?TABLE (?:IF NOT EXISTS )?(?:public\.)?"?(\w+)"? \(')
_LISTED = re.compile(r"\d+; \d+ \d+ TABLE public (\S+) ")
_DUMP = b"-- PostgreSQL database dump"
_COMPLETE = b"-- PostgreSQL database dump complete"
_LONGEST_LINE_BYTES = 64 << 20
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
        raise _damaged(path, str(error)) from error
    if not start.strip():
        raise _damaged(path, "there is nothing in it")
    if start.startswith(_CUSTOM_MAGIC):
        return Kind.CUSTOM
    if _DUMP in start[:4096]:
        return Kind.PLAIN
    raise _foreign(path)


def inspect(path: Path, tools: Tools) -> Contents:
    """Looks into a dump; a plain one is read to its end.

    Raises:
        DamagedBackupError: it is cut off, damaged or no dump.
        Refused: a newer pg_restore is needed, or it holds commands for psql.
    """
    kind = kind_of(path)
    if kind is Kind.CUSTOM:
        return Contents(kind, _listed_tables(path, tools))
    reader = _Plain(path)
    try:
        for _ in reader.lines(_blocks(path)):
            pass
    except _BROKEN as error:
        raise _damaged(path, str(error)) from error
    return Contents(kind, frozenset(reader.tables))


def load(path: Path, kind: Kind, tools: Tools, dsn: str, *, progress: Progress) -> None:
    """Puts all of a dump into an empty database, in one transaction. Objects belong to the role
    of the DSN.

    Raises DamagedBackupError, Refused.
    """
    program, arguments, data = _loading(path, kind, progress)
    with pg_tools.running(tools, program, arguments, dsn=dsn, stdin=subprocess.PIPE) as started:
        try:
            for block in data:
                started.stdin.write(block)
            started.stdin.close()
        except BrokenPipeError:
            raise _said(path, started.failure()) from None
        except _BROKEN as error:
            raise _damaged(path, str(error)) from error
        try:
            started.finish()
        except pg_tools.ToolFailedError as error:
            raise _said(path, error) from error


def _loading(path: Path, kind: Kind, progress: Progress) -> tuple[str, list[str], Iterator[bytes]]:
    data = _blocks(path, progress)
    if kind is Kind.CUSTOM:
        arguments = ["--single-transaction", "--exit-on-error", "--no-owner", "--no-acl"]
        return "pg_restore", [*arguments, "--no-password"], data
    arguments = ["--no-psqlrc", "--quiet", "--no-password", "--single-transaction"]
    arguments += ["--set=ON_ERROR_STOP=1", "--output=/dev/null", "--file=-"]
    return "psql", arguments, _Plain(path).lines(data)


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
            raise _damaged(path, str(error)) from error
        out = started.stdout.read().decode("utf-8", "replace")
        try:
            started.finish()
        except pg_tools.ToolFailedError as error:
            raise _said(path, error) from error
    return frozenset(_LISTED.findall(out))


@dataclass(slots=True)
class _Plain:
    """A plain dump as it goes to psql, and what is seen on the way."""

    path: Path
    tables: set[str] = field(default_factory=set)
    _in_rows: bool = False
    _is_complete: bool = False

    def lines(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        """Raises DamagedBackupError at the end of a dump that is not complete, and Refused."""
        rest = b"\n"  # what a line begins after
        for block in blocks:
            rest += block
            while True:
                given, rest, found = self._rows(rest) if self._in_rows else self._statements(rest)
                yield given
                if not found:
                    break
            if len(rest) > _LONGEST_LINE_BYTES:
                raise _foreign(self.path)
        if not self._in_rows:
            yield self._statements(rest + b"\n")[0]
        if self._in_rows or not self._is_complete:
            raise _damaged(self.path, "it ends too early")
        yield b"\n"

    def _rows(self, data: bytes) -> tuple[bytes, bytes, bool]:
        """The rows of a table, up to the line `\\.`; they may hold anything."""
        end = data.find(b"\n\\.\n")
        if end >= 0:
            self._in_rows = False
            return data[: end + 3], data[end + 3 :], True
        last = data.rfind(b"\n")
        return data[:last], data[last:], False

    def _statements(self, data: bytes) -> tuple[bytes, bytes, bool]:
        """Line by line, up to where rows begin."""
        given = []
        begin = 0  # of the line break before a line
        while (end := data.find(b"\n", begin + 1)) >= 0:
            line = data[begin + 1 : end]
            if self._passes(line):
                given.append(data[begin:end])
            begin = end
            if self._in_rows:
                break
        return b"".join(given), data[begin:], self._in_rows

    def _passes(self, line: bytes) -> bool:
        if line.startswith(b"\\"):
            if line.split()[0] in (b"\\restrict", b"\\unrestrict"):
                return False
            raise Refused(
                f"{self.path.name} holds commands for psql itself, as pg_dump of one database"
                " writes none.",
                hint="make one by: pg_dump DATABASE | gzip > FILE",
                code="foreign_backup",
            )
        if line.startswith(b"COPY ") and _COPY.match(line):
            self._in_rows = True
        elif created := _TABLE.match(line):
            self.tables.add(created[1].decode())
        elif line.rstrip() == _COMPLETE:
            self._is_complete = True
        return True


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


def _said(path: Path, error: pg_tools.ToolFailedError) -> DamagedBackupError | Refused:
    if "unsupported version" in error.message:
        return Refused(
            f"{path.name} was made by a newer PostgreSQL: {error.message}",
            hint="apt-get install postgresql-client   (https://apt.postgresql.org)",
            code="pg_tools_missing",
        )
    return DamagedBackupError(
        f"{path.name} cannot be restored: {error.message}",
        hint="try another one: vodtender backup list",
    )


def _damaged(path: Path, why: str) -> DamagedBackupError:
    return DamagedBackupError(
        f"{path.name} is damaged: {why}.".replace("..", "."),
        hint="take another one: vodtender backup list",
    )


def _foreign(path: Path) -> DamagedBackupError:
    return DamagedBackupError(
        f"{path.name} is no dump of a PostgreSQL database.",
        hint="what there is: vodtender backup list",
        code="foreign_backup",
    )
