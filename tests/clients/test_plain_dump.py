"""Plain SQL taken apart: whatever the blocks are in which it comes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

from vodtender.clients.dump import DamagedBackupError
from vodtender.clients.plain_dump import PlainDump
from vodtender.model.dumped import Rows

_DUMP = rb"""--
-- PostgreSQL database dump
--

\restrict abc

SET client_encoding = 'UTF8';

CREATE TABLE public.one (
    a text
);

COPY public.one (a) FROM stdin;

\\.
\\
x\\.
\.

COPY public.none (a, b) FROM stdin;
\.


COPY public.two (a, b) FROM stdin;
1	\N
2	COPY public.two (a, b) FROM stdin;
\.
CREATE INDEX two_a ON public.two USING btree (a);

GRANT SELECT ON public.one TO somebody;

--
-- Name: TABLE two; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT ON TABLE public.two TO reader;

--
-- PostgreSQL database dump complete
--

\unrestrict abc
"""
_ROWS = [
    (b"COPY public.one (a) FROM stdin WITH (FREEZE);", b"\n\\\\.\n\\\\\nx\\\\.\n"),
    (b"COPY public.none (a, b) FROM stdin WITH (FREEZE);", b""),
    (
        b"COPY public.two (a, b) FROM stdin WITH (FREEZE);",
        b"1\t\\N\n2\tCOPY public.two (a, b) FROM stdin;\n",
    ),
]


def blocks(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


@pytest.mark.parametrize("size", [1, 2, 3, 5, 64, 10_000])
def test_rows_are_told_from_statements_wherever_a_block_ends(size: int) -> None:
    reader = PlainDump(Path("dump"))
    rows, statements = [], b""
    for part in reader.parts(blocks(_DUMP, size)):
        if isinstance(part, Rows):
            rows.append((part.statement, b"".join(part.blocks)))
        else:
            statements += part
    assert rows == _ROWS
    assert b"restrict" not in statements
    assert b"\nCREATE TABLE public.one (\n    a text\n);\n" in statements
    assert b"\nCREATE INDEX two_a ON public.two USING btree (a);\n" in statements
    assert b"TO somebody" in statements
    assert b"TO reader" not in statements
    assert reader.rights == ["GRANT SELECT ON TABLE public.two TO reader;"]
    assert reader.tables == {"one"}


@pytest.mark.parametrize("size", [1, 3, 64, 10_000])
def test_psql_gets_every_line_but_those_for_itself_and_those_of_rights(size: int) -> None:
    text = re.sub(rb"(?m)^(COPY .*);$", rb"\1 WITH (FREEZE);", _DUMP)
    without = [line for line in text.split(b"\n") if not re.search(rb"restrict|TO reader", line)]
    given = b"".join(PlainDump(Path("dump")).lines(blocks(_DUMP, size)))
    assert b"".join(given.split()) == b"".join(b"".join(without).split())


@pytest.mark.parametrize("end", [b"\\.\nCREATE INDEX", b"\\N\n2\tCOPY", b"complete"])
def test_one_that_ends_too_early_is_damaged(end: bytes) -> None:
    cut = _DUMP[: _DUMP.index(end) + 1]
    parts = PlainDump(Path("dump")).parts(blocks(cut, 64))
    with pytest.raises(DamagedBackupError, match="too early"):
        list(chain.from_iterable(part.blocks for part in parts if isinstance(part, Rows)))
