"""What follows the rows of a dump, in an order in which indexes are built at the same time."""

from __future__ import annotations

import pytest

from vodtender.model.post_data import Alone, AtOnce, Build, Settings, stages

_TABLES = {b"public.small": 10, b"public.large": 1000, b'public."Odd;"': 5}
_HEAD = b"""--
-- PostgreSQL database dump
--

SET statement_timeout = 0;
SELECT pg_catalog.set_config('search_path', '', false);
"""
_KEY = b"""

--
-- Name: small small_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.small
    ADD CONSTRAINT small_pkey PRIMARY KEY (a, "B");
"""
_INDEX = b"""
--
-- Name: large_by_a; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX large_by_a ON public.large USING btree (a) WHERE (b = 'x;''
CREATE INDEX none ON public.small USING btree (a);'::text);
"""
_TRIGGER = b"""
CREATE TRIGGER t BEFORE UPDATE ON public.small FOR EACH ROW EXECUTE FUNCTION public.f('$a$;');
"""


def test_indexes_are_built_at_once_the_largest_tables_first() -> None:
    settings, indexes, alone = stages(_HEAD + _KEY + _INDEX + _TRIGGER, _TABLES)
    assert settings == Settings(_HEAD.rstrip(b"\n"))
    assert indexes == AtOnce(
        (
            Build(_INDEX[_INDEX.index(b"CREATE") : -1], None, 1000),
            Build(
                b'CREATE UNIQUE INDEX small_pkey ON public.small USING btree (a, "B");',
                b"ALTER TABLE ONLY public.small ADD CONSTRAINT small_pkey"
                b" PRIMARY KEY USING INDEX small_pkey;",
                10,
            ),
        )
    )
    assert isinstance(alone, Alone)
    assert alone.text.strip() == _TRIGGER.strip()


@pytest.mark.parametrize(
    "statement",
    [
        b"ALTER TABLE ONLY public.small ADD CONSTRAINT s FOREIGN KEY (a) REFERENCES public.l(a);",
        b"ALTER TABLE ONLY public.small ADD CONSTRAINT s UNIQUE (a) DEFERRABLE INITIALLY DEFERRED;",
        b"ALTER TABLE ONLY public.small ADD CONSTRAINT s UNIQUE NULLS NOT DISTINCT (a);",
        b"ALTER TABLE ONLY public.small ADD CONSTRAINT s PRIMARY KEY (a, b WITHOUT OVERLAPS);",
        b"ALTER TABLE ONLY public.small ADD CONSTRAINT s PRIMARY KEY (a) INCLUDE (b);",
        b"ALTER TABLE ONLY public.small ADD CONSTRAINT s EXCLUDE USING gist (a WITH &&);",
        b"ALTER TABLE ONLY public.parted ADD CONSTRAINT s PRIMARY KEY (a);",
        b"CREATE INDEX i ON ONLY public.small USING btree (a);",
        b"CREATE INDEX i ON public.parted USING btree (a);",
        b"ALTER TABLE public.small CLUSTER ON i;",
        b"COMMENT ON INDEX public.i IS 'CREATE INDEX i ON public.small USING btree (a);';",
        b"CREATE RULE r AS ON INSERT TO public.small DO (NOTIFY a; NOTIFY b;);",
    ],
)
def test_what_is_not_known_is_done_alone_and_in_its_place(statement: bytes) -> None:
    text = _KEY + b"\n" + statement + _INDEX
    first, alone, last = stages(text, _TABLES)
    assert (type(first), type(last)) == (AtOnce, AtOnce)
    assert alone == Alone(b"\n\n" + statement)


def test_odd_names_are_read() -> None:
    text = (
        b'ALTER TABLE ONLY public."Odd;" ADD CONSTRAINT "a ""b"";" UNIQUE ("c, d");'
        b'CREATE UNIQUE INDEX "x y" ON public."Odd;" USING gin (a);'
    )
    (found,) = stages(text, _TABLES)
    assert isinstance(found, AtOnce)
    assert [one.attach for one in found.builds] == [
        b'ALTER TABLE ONLY public."Odd;" ADD CONSTRAINT "a ""b"";" UNIQUE USING INDEX "a ""b"";";',
        None,
    ]


def test_of_nothing_there_is_nothing_to_do() -> None:
    assert list(stages(b"\n", _TABLES)) == []
