"""Text that other services accept, cut where a reader would cut it."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vodtender.model.legal_text import (
    ELLIPSIS,
    boundaries,
    cut,
    one_line,
    printable,
    utf16_units,
)

ANY_TEXT = st.text(alphabet=st.characters(exclude_categories=()), max_size=80)
"""Half surrogates, control characters and unassigned code points too."""

FAMILY = "👩‍👩‍👧‍👦"
FLAGS = "🇩🇪🇫🇷"
THUMB = "👍🏽"
SCOTLAND = "🏴󠁧󠁢󠁳󠁣󠁴󠁿"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("<b>bold</b>", "bbold/b"),
        ("a\x00b\x1bc\x7fd\x85e", "a b c d e"),
        ("half \ud83d of a pair", "half  of a pair"),
        ("\u202ereversed\u202c \u200bzero\ufeff", "reversed zero"),
        ("one\r\ntwo\rthree\nfour", "one\ntwo\nthree\nfour"),
        ("nbsp\u00a0tab\tline\u2028end", "nbsp tab line end"),
        ("no\ufffecharacter\ufdd0\U0001ffff", "nocharacter"),
        (FAMILY + FLAGS + THUMB + SCOTLAND, FAMILY + FLAGS + THUMB + SCOTLAND),
        ("e\u0301", "é"),
    ],
)
def test_what_is_kept_and_what_is_not(text: str, expected: str) -> None:
    assert printable(text) == expected


@pytest.mark.parametrize("text", ["", " \t\n", "\u200d\u200d", "\u0301", "\x00", "<>", "\ud83d"])
def test_a_line_without_anything_to_see_is_empty(text: str) -> None:
    assert one_line(text) == ""


@settings(deadline=None)
@given(ANY_TEXT)
def test_whatever_comes_a_line_can_be_stored_and_sent(text: str) -> None:
    line = one_line(text)
    line.encode()
    assert not set("<>\n\r\0") & set(line)
    assert not any(unicodedata.category(c) in ("Cc", "Cs") for c in line)
    assert line == " ".join(line.split())
    assert one_line(line) == line


@settings(deadline=None)
@given(ANY_TEXT, st.integers(1, 60))
def test_a_cut_text_is_short_enough_and_a_beginning(text: str, limit: int) -> None:
    text = printable(text)
    short = cut(text, limit, utf16_units)
    assert utf16_units(short) <= limit
    if short != text:
        assert utf16_units(text) > limit
        assert short.endswith(ELLIPSIS)
        assert text.startswith(short.removesuffix(ELLIPSIS))


@pytest.mark.parametrize("whole", [FAMILY, "🇩🇪", THUMB, SCOTLAND, "ç̃", "각", "ｶﾞ"])
def test_nothing_is_cut_in_its_middle(whole: str) -> None:
    text = "x" + whole * 3
    expected = {("x" + whole * n) for n in range(4)}
    for limit in range(1, utf16_units(text) + 1):
        short = cut(text, limit, utf16_units)
        assert short == text or short.removesuffix(ELLIPSIS) in expected | {""}


def test_a_letter_under_a_heap_of_accents_is_cut_all_the_same() -> None:
    short = cut("a" + "\u0316" * 500, 100, utf16_units)
    assert 1 < utf16_units(short) <= 100


def test_flags_are_pairs() -> None:
    assert boundaries("🇩🇪🇫🇷🇮") == [2, 4, 5]


def test_a_long_text_is_cut_in_no_time() -> None:
    assert len(cut("é🎮" * 200_000, 5000, lambda text: len(text.encode())).encode()) <= 5000
