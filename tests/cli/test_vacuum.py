"""`vodtender vacuum`, as it is typed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.archive import Archive
from tests.cli.commands import Type
from tests.maintained import Maintained
from tests.soak.daemon import command
from tests.terminal import Terminal
from vodtender.store import audit
from vodtender.store.database import connect


def test_vacuum_shows_each_table_before_and_after(archive: Archive, type_in: Type) -> None:
    ran = type_in("vacuum", "--reason", "weekly")
    assert (ran.status, ran.err) == (0, "")
    assert ran.lines[0].split() == [
        *("DONE", "SIZE", "BEFORE", "AFTER", "DEAD", "BEFORE", "AFTER", "TIME")
    ]
    assert {"vods", "kv", "system"} <= {line.split()[0] for line in ran.lines}
    with connect(archive.dsn) as connection:
        assert audit.find(connection)[0].reason == "weekly"


def test_as_json(type_in: Type) -> None:
    ran = type_in("vacuum", "--table", "kv", "--table", "vods", "--json")
    document = ran.document
    assert [one["name"] for one in document["done"]] == ["kv", "vods"]
    assert document["done"][0].keys() == {
        *("name", "before_bytes", "after_bytes", "dead_rows_before", "dead_rows_after"),
        *("took_seconds", "problem"),
    }
    assert (document["removed"], document["holding_back_vacuum"]) == ([], [])


def test_a_table_that_there_is_not_exits_with_7(type_in: Type) -> None:
    ran = type_in("vacuum", "--table", "nosuch")
    assert ran.status == 7
    assert "there are: " in ran.err


def test_full_asks_and_says_that_it_locks(type_in: Type) -> None:
    ran = type_in("vacuum", "--full", "--table", "kv")
    assert ran.status == 6
    assert "locked while that lasts" in ran.err
    assert type_in("vacuum", "--full", "--table", "kv", "--yes").status == 0


def test_full_and_reindex_together_make_no_sense(type_in: Type) -> None:
    assert type_in("vacuum", "--full", "--reindex").status == 2


@pytest.mark.parametrize("more", [(), ("--full",), ("--reindex",)], ids=" ".join)
def test_a_dry_run_changes_nothing_and_asks_nothing(
    archive: Archive, type_in: Type, more: tuple[str, ...]
) -> None:
    ran = type_in("vacuum", *more, "--dry-run")
    assert ran.status == 0
    assert ran.lines[-1] == "Nothing was changed (--dry-run)."
    assert archive.audit() == []


def test_reindex_lists_the_indexes(type_in: Type) -> None:
    ran = type_in("vacuum", "--reindex", "--table", "kv")
    assert (ran.status, [line.split()[0] for line in ran.lines]) == (0, ["DONE", "kv_pkey"])


def test_what_could_not_be_done_exits_with_3(
    archive: Archive, type_in: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vodtender.procedures.vacuum._FULL_PATIENCE_SECONDS", 0.1)
    with connect(archive.dsn) as connection:
        connection.execute("SELECT * FROM kv")
        ran = type_in("vacuum", "--full", "--yes", "--table", "kv", "--table", "vods")
        connection.rollback()
    assert ran.status == 3
    assert "kv: somebody holds a lock" in ran.err
    assert [line.split()[0] for line in ran.lines] == ["DONE", "vods"]


def test_on_a_terminal_one_sees_where_it_is(maintained: Maintained, tmp_path: Path) -> None:
    with Terminal(
        [sys.executable, "-m", "vodtender", "vacuum", "--table", "kv"],
        environ={**os.environ, **maintained.environ()},
        directory=tmp_path,
    ) as terminal:
        terminal.wait_for("1 of 1: kv")
        assert terminal.wait() == 0
        assert terminal.text.splitlines()[-1].startswith("kv ")


@pytest.mark.system
def test_a_pooler_is_refused_and_db_direct_dsn_is_the_way_past_it(
    database_dsn: str, pooled_dsn: str, tmp_path: Path
) -> None:
    environ = {**os.environ, "DB_DSN": pooled_dsn}
    refused = command("vacuum", environ=environ, directory=tmp_path)
    assert refused.returncode == 2
    assert "DB_DIRECT_DSN" in refused.stderr
    environ["DB_DIRECT_DSN"] = database_dsn
    assert command("vacuum", environ=environ, directory=tmp_path).returncode == 0


@pytest.mark.system
def test_the_database_can_be_looked_at_through_a_pooler(pooled_dsn: str, tmp_path: Path) -> None:
    environ = {**os.environ, "DB_DSN": pooled_dsn}
    for words in (("sizes",), ("connections",), ("check",), ("kill-idle", "--yes")):
        done = command("db", *words, environ=environ, directory=tmp_path)
        assert done.returncode == 0, done.stderr
