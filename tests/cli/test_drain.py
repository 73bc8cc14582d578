"""`vodtender drain`, as it is typed."""

from __future__ import annotations

import json

import pytest

from tests.archive import Archive
from tests.cli.commands import Type
from tests.rows import add_worker


@pytest.fixture
def two(archive: Archive) -> Archive:
    """Two daemons, of which `a` works on VOD 1."""
    add_worker(archive.database, "a")
    add_worker(archive.database, "b")
    archive.add("1")
    archive.claim("1", "a")
    return archive


def test_a_named_daemon_is_told(two: Archive, type_in: Type) -> None:
    ran = type_in("drain", "--worker", "a", "--reason", "update")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out == "a: draining no -> yes (works on 1)\n"
    assert type_in("drain", "--worker", "a").out == "a: draining already; works on 1\n"
    assert [(line.action, line.target, line.reason) for line in two.audit()] == [
        ("drain", "a", "update")
    ]


def test_all_are_told_and_a_dry_run_tells_none(two: Archive, type_in: Type) -> None:
    assert type_in("drain", "--all", "--dry-run").lines[-1] == "Nothing was changed (--dry-run)."
    document = type_in("drain", "--all", "--json").document
    assert {change["target"]: change["changed"] for change in document["changes"]} == {
        "a": True,
        "b": True,
    }


def test_of_two_daemons_one_must_be_named(two: Archive, type_in: Type) -> None:
    ran = type_in("drain")
    assert ran.status == 2
    assert "--all" in ran.err
    assert "there is: " in ran.err


def test_an_unknown_daemon_exits_with_7(two: Archive, type_in: Type) -> None:
    assert type_in("drain", "--worker", "nobody").status == 7


def test_with_no_daemon_there_is_nothing_to_do(archive: Archive, type_in: Type) -> None:
    ran = type_in("drain", "--all", "--wait")
    assert (ran.status, ran.out) == (0, "No daemon is running: nothing to do.\n")
    assert type_in("drain", "--json").document == {"dry_run": False, "changes": []}


@pytest.mark.parametrize(
    "options", [("--worker", "a", "--all"), ("--all", "--timeout", "5s")], ids=" ".join
)
def test_options_that_make_no_sense_together_exit_with_2(
    two: Archive, type_in: Type, options: tuple[str, ...]
) -> None:
    assert type_in("drain", *options).status == 2


def test_waiting_ends_at_once_for_a_daemon_that_has_nothing_in_hand(
    two: Archive, type_in: Type
) -> None:
    assert type_in("drain", "--worker", "b", "--wait").status == 0


def test_waiting_in_vain_exits_with_1_and_says_for_what(two: Archive, type_in: Type) -> None:
    ran = type_in("drain", "--worker", "a", "--wait", "--timeout", "0")
    assert ran.status == 1
    assert "waiting for a: works on 1" in ran.err
    assert "Not finished after 0 s: a works on 1" in ran.err


def test_waiting_in_vain_as_json_is_one_object(two: Archive, type_in: Type) -> None:
    ran = type_in("drain", "--worker", "a", "--wait", "--timeout", "0", "--json")
    assert json.loads(ran.err)["error"] == "timeout"
    assert ran.document["changes"][0]["target"] == "a"
