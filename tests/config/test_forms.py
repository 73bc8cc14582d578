"""The forms of values: what is accepted, what is refused, and the way back to text."""

from __future__ import annotations

import base64
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("5m", 300),
        ("1h30m", 5400),
        ("14d", 14 * 86400),
        ("2w", 14 * 86400),
        ("90", 90),
        ("0", 0),
        ("0.25", 0.25),
        ("1.5h", 5400),
        ("300ms", 0.3),
        ("1h 30m", 5400),
        ("10M", 600),
        (" 5m ", 300),
        ("0123", 123),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert forms.duration().read(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text",
    ["", "soon", "-5m", "5x", "1:30", "1e3", "5m1h", "5m5m", "m", "1_000", "٥m", "5 minutes", "+5"],
)
def test_what_is_no_duration(text: str) -> None:
    assert refusal(forms.duration(), text).startswith("expected a duration such as 90s, 5m")


def test_a_duration_has_bounds() -> None:
    assert refusal(forms.duration(timedelta(seconds=1)), "500ms") == "expected 1s or longer"
    assert refusal(forms.duration(), "99999999d") == "expected at most 36500d"


@given(st.timedeltas(timedelta(0), forms.LONGEST_DURATION))
def test_a_duration_survives_the_way_to_text_and_back(value: timedelta) -> None:
    form = forms.duration()
    assert form.read(form.write(value)) == value


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("0", 0),
        ("123", 123),
        ("500M", 500 * 1024**2),
        ("20GiB", 20 * 1024**3),
        ("20gib", 20 * 1024**3),
        ("500MB", 500 * 1000**2),
        ("1.5G", 3 * 512 * 1024**2),
        ("10 KiB", 10240),
        ("7b", 7),
        ("1.9", 1),
        ("2T", 2 * 1024**4),
    ],
)
def test_sizes(text: str, size_bytes: int) -> None:
    assert forms.size().read(text) == size_bytes


@pytest.mark.parametrize("text", ["", "-1", "big", "5X", "5ib", "1e9", "5GiBs", "G", "1,5G"])
def test_what_is_no_size(text: str) -> None:
    assert refusal(forms.size(), text).startswith("expected a size such as 500M or 20GiB")


def test_a_size_has_bounds() -> None:
    chunk = forms.size(minimum_bytes=256 * 1024, multiple_of_bytes=256 * 1024)
    assert refusal(chunk, "100K") == "expected 256KiB or more"
    assert refusal(chunk, "1000K") == "expected a multiple of 256KiB"
    assert chunk.read("1M") == 1024**2
    assert refusal(forms.size(), "9999P") == "expected less than 8192P"


@given(st.integers(0, forms.LARGEST_SIZE_BYTES))
def test_a_size_survives_the_way_to_text_and_back(value: int) -> None:
    form = forms.size()
    assert form.read(form.write(value)) == value


@pytest.mark.parametrize("text", ["4M", "4MiB/s", "4m/sec", "4MiBps"])
def test_rates(text: str) -> None:
    assert forms.RATE.read(text) == 4 * 1024**2


def test_a_rate_of_nothing_is_refused() -> None:
    assert refusal(forms.RATE, "0") == "expected a rate such as 4M, in bytes per second"


@pytest.mark.parametrize("text", ["0", "off", "None", "unlimited"])
def test_a_limit_can_be_turned_off(text: str) -> None:
    form = forms.limit(forms.RATE)
    assert form.read(text) is None
    assert form.read(form.write(None)) is None


def test_a_limit_that_is_on_is_what_it_limits() -> None:
    form = forms.limit(forms.RATE)
    assert form.read("4M") == 4 * 1024**2
    assert form.write(4 * 1024**2) == "4MiB"


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("007", 7), (" 10 ", 10), ("+3", 3)])
def test_whole_numbers(text: str, number: int) -> None:
    assert forms.integer().read(text) == number


@pytest.mark.parametrize("text", ["", "1.0", "1e3", "0x10", "-1", "ten", "1_0", "٣", "9" * 40])
def test_what_is_no_whole_number(text: str) -> None:
    assert refusal(forms.integer(), text) == "expected a whole number, 0 or more"


@pytest.mark.parametrize("text", ["0", "65"])
def test_a_whole_number_has_bounds(text: str) -> None:
    assert refusal(forms.integer(1, 64), text) == "expected a whole number from 1 to 64"


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
