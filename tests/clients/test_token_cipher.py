"""Tokens at rest: unreadable, bound to their row, and told apart when they do not open."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vodtender.clients.token_cipher import TokenCipher
from vodtender.errors import CredentialsMissing

KEY = bytes(range(32))
OTHER = bytes(32)


@given(st.text(), st.text())
def test_what_is_sealed_opens_again(text: str, context: str) -> None:
    text, context = (t.encode("utf-8", "ignore").decode() for t in (text, context))
    for cipher in (TokenCipher(KEY), TokenCipher(None)):
        assert cipher.open(cipher.seal(text, context), context) == text


def test_the_sealed_form_is_never_the_same_and_shows_nothing() -> None:
    cipher = TokenCipher(KEY)
    first, second = (cipher.seal("1//secret", "youtube/default") for _ in range(2))
    assert first != second
    assert first.startswith("v1:")
    assert "secret" not in first
    assert b"secret" not in base64.urlsafe_b64decode(first.split(":")[2])


def test_without_a_key_it_says_so() -> None:
    assert TokenCipher(None).seal("t", "c") == "plain:t"
    assert not TokenCipher(None).encrypts
    assert TokenCipher(KEY).open("plain:t", "c") == "t"


@pytest.mark.parametrize(
    ("cipher", "context", "code"),
    [
        (TokenCipher(None), "row", "key_missing"),
        (TokenCipher(OTHER), "row", "key_wrong"),
        (TokenCipher(KEY), "another row", "token_damaged"),
    ],
)
def test_each_way_of_not_opening_is_told_apart(
    cipher: TokenCipher, context: str, code: str
) -> None:
    sealed = TokenCipher(KEY).seal("1//secret", "row")
    with pytest.raises(CredentialsMissing) as caught:
        cipher.open(sealed, context)
    assert caught.value.code == code
    assert caught.value.hint
    assert "secret" not in caught.value.message
    if code == "key_wrong":
        assert "vodtender auth rekey" in caught.value.hint


@given(st.data())
def test_a_damaged_value_never_opens_as_another(data: st.DataObject) -> None:
    cipher = TokenCipher(KEY)
    sealed = cipher.seal("token", "row")
    at = data.draw(st.integers(0, len(sealed) - 1))
    character = data.draw(st.characters(min_codepoint=32, max_codepoint=126))
    damaged = sealed[:at] + character + sealed[at + 1 :]
    if damaged == sealed:
        return
    opened = _outcome(cipher, damaged)
    # Base64 has unused bits in its last digit, so that one change may change nothing.
    assert opened in ("token", CredentialsMissing)


def _outcome(cipher: TokenCipher, sealed: str) -> object:
    try:
        return cipher.open(sealed, "row")
    except CredentialsMissing as error:
        return type(error)


@given(st.text(max_size=30))
def test_nonsense_is_damage(text: str) -> None:
    if not text.startswith("plain:"):
        with pytest.raises(CredentialsMissing):
            TokenCipher(KEY).open(text, "row")


def test_what_the_old_key_has_sealed_opens_until_it_is_sealed_anew() -> None:
    before = TokenCipher(OTHER).seal("t", "r")
    both = TokenCipher(KEY, OTHER)
    assert both.open(before, "r") == "t"
    assert not both.is_current(before)
    assert TokenCipher(KEY).open(both.seal("t", "r"), "r") == "t"
    back = TokenCipher(None, OTHER)
    assert back.seal(back.open(before, "r"), "r") == "plain:t"


def test_rekeying_knows_what_is_left_to_do() -> None:
    old, new, none = TokenCipher(OTHER), TokenCipher(KEY), TokenCipher(None)
    assert [new.is_current(c.seal("t", "r")) for c in (old, new, none)] == [False, True, False]
    assert [none.is_current(c.seal("t", "r")) for c in (old, new, none)] == [False, False, True]
