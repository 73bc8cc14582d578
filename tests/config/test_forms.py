"""The forms of values: what is accepted, what is refused, and the way back to text."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from vodtender.config import forms
from vodtender.config.forms import ADDRESS, BOOLEAN, KEY, PATH, TEXT, Address, Form


def refusal(form: Form[Any], text: str) -> str:
    with pytest.raises(ValueError, match=r"\w") as caught:
        form.read(text)
    return str(caught.value)


@pytest.mark.parametrize("text", ["1", "true", "YES", " on "])
def test_words_for_true(text: str) -> None:
    assert BOOLEAN.read(text) is True


@pytest.mark.parametrize("text", ["0", "false", "No", "off"])
def test_words_for_false(text: str) -> None:
    assert BOOLEAN.read(text) is False


@pytest.mark.parametrize("text", ["2", "y", "t", "enabled", "-1", "null"])
def test_no_other_word_is_a_boolean(text: str) -> None:
    assert refusal(BOOLEAN, text) == "expected 1, 0, true, false, yes, no, on or off"


def test_choices_come_in_any_case_and_by_other_names() -> None:
    form = forms.choice("debug", "warn", aliases={"warning": "warn"})
    assert form.read("DEBUG") == "debug"
    assert form.read("Warning") == "warn"


def test_a_choice_that_is_near_is_suggested() -> None:
    form = forms.choice("private", "unlisted", "public")
    assert (
        refusal(form, "privat")
        == "expected one of private, unlisted, public; did you mean private?"
    )
    assert refusal(form, "x") == "expected one of private, unlisted, public"


def test_lists_have_no_empty_items_and_none_twice() -> None:
    form = forms.listing(TEXT)
    assert form.read(" a b ,, c,a b") == ("a b", "c")
    assert form.read("") == ()
    assert form.read_items is not None
    assert form.read_items(["a,b", " c "]) == ("a,b", "c")
    assert form.write(("a b", "c")) == "a b,c"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8080", Address("127.0.0.1", 8080)),
        (":8080", Address("0.0.0.0", 8080)),
        ("localhost:0", Address("localhost", 0)),
        ("[::1]:9", Address("::1", 9)),
    ],
)
def test_addresses(text: str, address: Address) -> None:
    assert ADDRESS.read(text) == address
    assert ADDRESS.read(ADDRESS.write(address)) == address


@pytest.mark.parametrize(
    "text", ["8080", "h:", "h:65536", "::1:80", "http://h:80", "a b:1", "h:-1"]
)
def test_what_is_no_address(text: str) -> None:
    assert refusal(ADDRESS, text) == "expected host:port such as 127.0.0.1:8080"


def test_paths_know_the_home_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert PATH.read("~/data") == tmp_path / "data"
    assert PATH.read("data") == Path("data")
    assert refusal(PATH, "a\0b") == "a NUL character is not allowed in a path"
    assert refusal(PATH, "~no-such-user-here/x") == "no home directory is known for that user"


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_a_key_is_32_bytes_in_either_alphabet(encode: Any) -> None:
    key = bytes(range(224, 256))
    text = encode(key).decode()
    assert KEY.read(text) == KEY.read(text.rstrip("=")) == key
    assert KEY.read(KEY.write(key)) == key


@pytest.mark.parametrize(
    "text", ["", "abc", "!" * 44, base64.b64encode(b"x" * 31).decode(), "ä" * 44]
)
def test_what_is_no_key(text: str) -> None:
    assert "base64 of 32 bytes" in refusal(KEY, text)
    assert "openssl rand -base64 32" in refusal(KEY, text)


def test_text_is_text() -> None:
    assert TEXT.read("Ünï 🎮") == "Ünï 🎮"
    assert refusal(TEXT, "a\0") == "a NUL character is not allowed"
    assert refusal(TEXT, "a\udc80") == "expected UTF-8"
