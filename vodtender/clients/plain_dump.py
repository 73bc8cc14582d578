"""Plain SQL on its way to a server: of the runbook's script, or as pg_restore makes it.

A plain dump says at its end that it is complete, and psql does not mind when that is missing; so
that is looked for here. Lines for psql itself, which could start programs, are never passed on:
`\\restrict`, which older versions of psql do not know, is left out, and any other is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from vodtender.clients.dump import DamagedBackupError
from vodtender.errors import Refused
from vodtender.model.dumped import Part, Rows

_COPY = re.compile(rb"COPY .* FROM stdin;\r?\Z")
_TABLE = re.compile(rb'CREATE (?:UNLOGGED )?TABLE (?:IF NOT EXISTS )?(?:public\.)?"?(\w+)"? \(')
_OBJECT = b"-- Name: "
_RIGHTS = re.compile(rb"-- Name: .*; Type: (?:DEFAULT )?ACL;")
_RIGHT = re.compile(rb"(?:GRANT|REVOKE|ALTER DEFAULT PRIVILEGES) .*;\Z")
_COMPLETE = b"-- PostgreSQL database dump complete"
_END = b"\n\\.\n"
_LONGEST_LINE_BYTES = 64 << 20
_MOST_STATEMENTS_BYTES = 256 << 20
"""Between the rows of two tables. Who has rows written as statements gets there."""


@dataclass(slots=True)
class PlainDump:
    """A plain dump on its way, and what is seen of it. `rights` are the statements that give
    rights or take them; they do not go with the rest, for which a role that is not there
    would be the end."""

    path: Path
    tables: set[str] = field(default_factory=set)
    rights: list[str] = field(default_factory=list)
    _in_rows: bool = False
    _in_rights: bool = False
    _is_complete: bool = False

    def lines(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        """All of it, for psql. Raises DamagedBackupError at the end of a dump that is not
        complete, and Refused."""
        was_in_rows = False
        for in_rows, data in self._pieces(blocks):
            if was_in_rows and not in_rows:
                yield b"\\."
            was_in_rows = in_rows
            yield data
        yield b"\n"

    def parts(self, blocks: Iterator[bytes]) -> Iterator[Part]:
        """All of it, for the server itself; each part is to be used up before the next. Raises
        what `lines` raises."""
        text = bytearray()
        for in_rows, pieces in groupby(self._pieces(blocks), key=itemgetter(0)):
            if in_rows:
                statements, _, copy = bytes(text).rpartition(b"\n")
                text.clear()
                yield statements
                yield Rows(copy, _without_first(data for _, data in pieces))
                continue
            for _, data in pieces:
                text += data
                if len(text) > _MOST_STATEMENTS_BYTES:
                    raise foreign(self.path)
        yield bytes(text)

    def _pieces(self, blocks: Iterator[bytes]) -> Iterator[tuple[bool, bytes]]:
        """Statements, each with the line break before it, and rows, with those around them."""
        rest = b"\n"  # what a line begins after
        for block in blocks:
            rest = rest + block if rest else block
            while True:
                was_in_rows = self._in_rows
                given, rest, found = self._rows(rest) if was_in_rows else self._statements(rest)
                if given:
                    yield was_in_rows, given
                if not found:
                    break
            if len(rest) > _LONGEST_LINE_BYTES:
                raise foreign(self.path)
        if not self._in_rows:
            yield False, self._statements(rest + b"\n")[0]
        if self._in_rows or not self._is_complete:
            raise damaged(self.path, "it ends too early")

    def _rows(self, data: bytes) -> tuple[bytes, bytes, bool]:
        """The rows of a table, up to the line `\\.`; they may hold anything."""
        end = data.find(_END)
        if end >= 0:
            self._in_rows = False
            return data[: end + 1], data[end + len(_END) - 1 :], True
        begun = next((size for size in (3, 2, 1) if data.endswith(_END[:size])), 0)
        return data[: len(data) - begun], data[len(data) - begun :], False

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
                given[-1] = _frozen(given[-1])
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
        if line.startswith(_OBJECT):
            self._in_rights = _RIGHTS.match(line) is not None
        if self._in_rights and not line.startswith(b"--"):
            if _RIGHT.match(line.rstrip()):
                self.rights.append(line.decode("utf-8", "replace").strip())
            return False
        if line.startswith(b"COPY ") and _COPY.match(line):
            self._in_rows = True
        elif created := _TABLE.match(line):
            self.tables.add(created[1].decode())
        elif line.rstrip() == _COMPLETE:
            self._is_complete = True
        return True


def _without_first(rows: Iterator[bytes]) -> Iterator[bytes]:
    """Without the line break that ends the statement before them."""
    yield next(rows)[1:]
    yield from rows


def _frozen(copy: bytes) -> bytes:
    """For rows that nobody can see before their table, which the same transaction makes."""
    return copy.rstrip(b";\r") + b" WITH (FREEZE);"


def damaged(path: Path, why: str) -> DamagedBackupError:
    """For a dump that is not whole."""
    return DamagedBackupError(
        f"{path.name} is damaged: {why}.".replace("..", "."),
        hint="take another one: vodtender backup list",
    )


def foreign(path: Path) -> DamagedBackupError:
    """For a file that is no dump."""
    return DamagedBackupError(
        f"{path.name} is no dump of a PostgreSQL database.",
        hint="what there is: vodtender backup list",
        code="foreign_backup",
    )
