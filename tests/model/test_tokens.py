"""Tokens as values, and the files that logins are imported from."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vodtender.errors import UsageError
from vodtender.model.tokens import (
    ClientCredentials,
    Tokens,
    parse_client,
    parse_login,
    scopes_from,
)

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("tokens", "due"),
    [
        (Tokens("t", None, NOW + 6 * MINUTE), False),
        (Tokens("t", None, NOW + 5 * MINUTE), True),
        (Tokens("t", None, NOW - MINUTE), True),
        (Tokens("t"), False),
        (Tokens("", "refresh", NOW + 60 * MINUTE), True),
    ],
)
def test_a_token_is_due_before_its_end(tokens: Tokens, due: bool) -> None:
    assert tokens.expires_within(5 * MINUTE, NOW) is due


def test_no_representation_shows_a_secret() -> None:
    shown = repr((Tokens("s3cret-a", "s3cret-r"), ClientCredentials("id", "s3cret-c")))
    assert "s3cret" not in shown
    assert "s3cret" not in repr(parse_login('{"refresh_token": "s3cret"}'))


@pytest.mark.parametrize(
    "text",
    [
        '{"refresh_token": "1//r"}',
        '\ufeff {"refresh_token": " 1//r\\n", "access_token": "a", "other": {"x": [1]}}',
    ],
)
def test_a_refresh_token_is_all_that_is_needed(text: str) -> None:
    found = parse_login(text)
    assert (found.refresh_token, found.client) == ("1//r", None)


def test_googles_own_file_brings_its_client() -> None:
    document = {
        "type": "authorized_user",
        "client_id": "123-abc.apps.googleusercontent.com",
        "client_secret": "GOCSPX-x",
        "refresh_token": "1//r",
        "universe_domain": "googleapis.com",
    }
    found = parse_login(json.dumps(document))
    assert found.refresh_token == "1//r"
    assert found.client == ClientCredentials("123-abc.apps.googleusercontent.com", "GOCSPX-x")


def test_a_public_client_of_twitchs_has_no_secret() -> None:
    found = parse_login('{"refresh_token": "r", "client_id": "abc"}')
    assert found.client == ClientCredentials("abc", "")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not JSON"),
        ("s3cret", "not JSON"),
        ('{"refresh_token": "s3cret"', "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('["s3cret"]', "one object"),
        ("null", "one object"),
        ("{}", "no refresh_token"),
        ('{"refresh_token": 7}', "no refresh_token"),
        ('{"access_token": "s3cret"}', "ends within hours"),
        ('{"token": "s3cret"}', "ends within hours"),
        ('{"installed": {"client_id": "c", "client_secret": "s3cret"}}', "no login"),
        ('{"type": "service_account", "private_key": "s3cret"}', "service account"),
    ],
)
def test_what_is_no_login_is_told_without_being_quoted(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why) as caught:
        parse_login(text)
    assert caught.value.hint
    assert "s3cret" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize("shape", ["installed", "web", None])
def test_a_client_is_read_from_googles_file(shape: str | None) -> None:
    inside = {"client_id": "123-abc", "client_secret": "GOCSPX-x", "redirect_uris": []}
    document = {shape: inside} if shape else inside
    assert parse_client(json.dumps(document)) == ClientCredentials("123-abc", "GOCSPX-x")


@pytest.mark.parametrize("document", [{}, {"client_id": "c"}, {"installed": {}}, {"web": 1}, 3])
def test_what_is_no_client_is_told(document: Any) -> None:
    with pytest.raises(UsageError):
        parse_client(json.dumps(document))


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inside: (
        st.lists(inside, max_size=3)
        | st.dictionaries(
            st.sampled_from(["refresh_token", "installed", "client_id", "type", "x"]), inside
        )
    ),
    max_leaves=8,
)


@given(_json)
def test_any_json_is_a_login_or_a_usage_error(document: Any) -> None:
    for parse in (parse_login, parse_client):
        with contextlib.suppress(UsageError):
            assert parse(json.dumps(document))


def test_scopes_come_as_text_or_as_a_list() -> None:
    assert scopes_from("a b  c") == ("a", "b", "c")
    assert scopes_from(["a", "b", 3]) == ("a", "b")
    assert scopes_from(None) == ()
