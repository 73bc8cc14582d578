"""`vodtender audit`, as it is typed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.archive import Archive
from tests.cli.commands import Type
from vodtender.store import audit


@pytest.fixture
def noted(archive: Archive) -> Archive:
    """Three changes: two hours old, an hour old, and just now."""
    changes = (
        ("breaker trip", "alice", {"state": "closed", "n": 1}, {"state": "open", "n": 1}, "why"),
        ("skip", "123", None, None, None),
        ("breaker", "alice", "open", "half-open", None),
    )
    with archive.connection() as connection:
        for hours, (action, target, before, after, reason) in zip((2, 1, 0), changes, strict=True):
            audit.record(
                connection,
                actor="op@host",
                action=action,
                target=target,
                before=before,
                after=after,
                reason=reason,
            )
            connection.execute(
                "UPDATE audit SET at = now() - make_interval(hours => %s)"
                " WHERE id = (SELECT max(id) FROM audit)",
                (hours,),
            )
    return archive


def targets(type_in: Type, *options: str) -> list[str]:
    ran = type_in("audit", "--json", *options)
    assert ran.status == 0
    return [f"{line['action']}/{line['target']}" for line in ran.document["audit"]]


def test_the_last_change_comes_first_with_what_was_different(noted: Archive, type_in: Type) -> None:
    ran = type_in("audit")
    assert (ran.status, ran.err) == (0, "")
    # When (three words), who, and then what.
    said = [line.split(maxsplit=4)[3:] for line in ran.lines[1:]]
    assert [who for who, _ in said] == ["op@host"] * 3
    assert [" ".join(what.split()) for _, what in said] == [
        "breaker alice open -> half-open",
        "skip 123",
        "breaker trip alice state closed -> open why",
    ]


def test_it_can_be_narrowed_down(noted: Archive, type_in: Type) -> None:
    everything = ["breaker/alice", "skip/123", "breaker trip/alice"]
    assert targets(type_in) == everything
    assert targets(type_in, "--target", "123") == ["skip/123"]
    assert targets(type_in, "--action", "skip") == ["skip/123"]
    assert targets(type_in, "--action", "breaker trip") == ["breaker trip/alice"]
    assert targets(type_in, "--action", "breaker") == ["breaker/alice", "breaker trip/alice"]
    assert targets(type_in, "--action", "break") == []
    assert targets(type_in, "--limit", "2") == everything[:2]
    assert targets(type_in, "--since", "90m") == everything[:2]
    assert targets(type_in, "--since", "1d") == everything
    moment = datetime.now(UTC) - timedelta(minutes=90)
    for text in (f"{moment:%Y-%m-%dT%H:%M:%SZ}", f"{moment:%Y-%m-%d %H:%M}"):
        assert targets(type_in, "--since", text) == everything[:2]


def test_json_has_all_there_is(noted: Archive, type_in: Type) -> None:
    (line,) = type_in("audit", "--json", "--action", "breaker trip").document["audit"]
    assert line.pop("at").endswith("Z")
    assert line.pop("id") > 0
    assert line == {
        "actor": "op@host",
        "action": "breaker trip",
        "target": "alice",
        "before": {"state": "closed", "n": 1},
        "after": {"state": "open", "n": 1},
        "reason": "why",
    }


def test_nothing_to_show_is_said(archive: Archive, type_in: Type) -> None:
    assert type_in("audit").out == "No change is recorded.\n"
    assert type_in("audit", "--target", "1").out == "None fits.\n"
    assert type_in("audit", "--json").document == {"audit": []}


@pytest.mark.parametrize(
    "options",
    [("--since", "yesterday"), ("--since", "99999999999d"), ("--limit", "0"), ("--limit", "x")],
    ids=" ".join,
)
def test_options_that_cannot_be_read_exit_with_2(
    archive: Archive, type_in: Type, options: tuple[str, str]
) -> None:
    ran = type_in("audit", *options)
    assert (ran.status, ran.out) == (2, "")
    assert options[0] in ran.err
