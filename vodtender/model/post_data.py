"""What pg_restore makes of a dump when its rows are in: indexes, constraints, triggers; put in
order so that indexes are built at the same time.

A primary key takes its table for itself alone for as long as its index is built. So the index is
built as any other, and becomes the key's when it is there, which takes no time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

_TOKEN = re.compile(
    rb"""'(?:[^']|'')*' | "(?:[^"]|"")*" | \$(\w*)\$.*?\$\1\$ | --[^\n]* | /\*.*?\*/ | ;""",
    re.DOTALL | re.VERBOSE,
)
_BEFORE = re.compile(rb"(?:\s+|--[^\n]*\n)*")
_NAME = rb'(?:"(?:[^"]|"")+"|\w+)'
_TABLE = rb"(?P<table>%b\.%b)" % (_NAME, _NAME)
_INDEX = re.compile(rb"CREATE (?:UNIQUE )?INDEX %b ON %b USING .*;" % (_NAME, _TABLE), re.DOTALL)
_KEY = re.compile(
    rb"ALTER TABLE ONLY %b\s+ADD CONSTRAINT (?P<name>%b)"
    rb" (?P<kind>PRIMARY KEY|UNIQUE) \((?P<columns>%b(?:, %b)*)\);" % (_TABLE, *[_NAME] * 3)
)
_SETTING = re.compile(rb"SET \w+ = .*;|SELECT pg_catalog\.set_config\(.*, false\);", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Build:
    """An index of a table of this size; `attach` makes it a constraint's."""

    build: bytes
    attach: bytes | None
    table_bytes: int


@dataclass(frozen=True, slots=True)
class Settings:
    """Statements for every session that executes what follows."""

    text: bytes


@dataclass(frozen=True, slots=True)
class Alone:
    """Statements that are executed one after the other, while nothing else is."""

    text: bytes


@dataclass(frozen=True, slots=True)
class AtOnce:
    """Indexes to be built in any order; those of large tables are first."""

    builds: tuple[Build, ...]


Stage = Settings | Alone | AtOnce


def stages(text: bytes, tables: Mapping[bytes, int]) -> Iterator[Stage]:
    """The statements, stage by stage. `tables` are those that hold rows themselves (a partitioned
    one does not), by their names as pg_dump writes them, with their sizes in bytes."""
    found = (_read(one, tables) for one in _statements(text))
    for kind, group in groupby(found, key=type):
        if kind is Build:
            builds = [one for one in group if isinstance(one, Build)]
            yield AtOnce(tuple(sorted(builds, key=lambda one: -one.table_bytes)))
        else:
            together = b"".join(one.text for one in group if not isinstance(one, Build))
            yield Settings(together) if kind is Settings else Alone(together)


def _read(statement: bytes, tables: Mapping[bytes, int]) -> Build | Settings | Alone:
    bare = statement[_end_of_comments(statement) :]
    if _SETTING.fullmatch(bare):
        return Settings(statement)
    match = _INDEX.fullmatch(bare)
    if match and match["table"] in tables:
        return Build(bare, None, tables[match["table"]])
    match = _KEY.fullmatch(bare)
    if match and match["table"] in tables:
        table, name, kind = match["table"], match["name"], match["kind"]
        return Build(
            b"CREATE UNIQUE INDEX %b ON %b USING btree (%b);" % (name, table, match["columns"]),
            b"ALTER TABLE ONLY %b ADD CONSTRAINT %b %b USING INDEX %b;" % (table, name, kind, name),
            tables[table],
        )
    return Alone(statement)


def _end_of_comments(statement: bytes) -> int:
    match = _BEFORE.match(statement)
    return match.end() if match else 0


def _statements(text: bytes) -> Iterator[bytes]:
    """Each with what comes before it, which together are the text. One that is cut in two, as a
    rule with several commands, is none of those that are looked for, and is put together again."""
    begin = 0
    for token in _TOKEN.finditer(text):
        if token[0] == b";":
            yield text[begin : token.end()]
            begin = token.end()
    if text[begin:].strip():
        yield text[begin:]
