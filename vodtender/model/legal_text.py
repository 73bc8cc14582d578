"""Text that other services accept: no control characters, no angle brackets, and cut
between what a reader sees as characters, never through one.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable

ELLIPSIS = "…"

_JOINER = "\u200d"
_VISIBLE_FORMAT = {_JOINER, "\u200c"}
"""Of the invisible format characters, those that change how their neighbours look."""


def printable(text: str) -> str:
    """Without `<`, `>`, control characters, lone surrogates, noncharacters and
    characters that only redirect the reading direction. Line breaks stay, as `\\n`."""
    unified = unicodedata.normalize("NFC", text).replace("\r\n", "\n").replace("\r", "\n")
    return "".join(_kept(character) for character in unified)


def _kept(character: str) -> str:
    if character == "\n":
        return character
    if character.isspace() or unicodedata.category(character) == "Cc":
        return " "
    return "" if character in "<>" or _is_meddling(character) else character


def _is_meddling(character: str) -> bool:
    """Halves of surrogate pairs, noncharacters, and invisible format characters."""
    category = unicodedata.category(character)
    if category == "Cf":
        return character not in _VISIBLE_FORMAT and not _is_tag(character)
    return category == "Cs" or _is_noncharacter(ord(character))


def _is_noncharacter(code: int) -> bool:
    return code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF


def one_line(text: str) -> str:
    """`printable`, with every run of white space as one space; empty if nothing is visible."""
    line = " ".join(printable(text).split())
    return line if any(_is_visible(character) for character in line) else ""


def _is_visible(character: str) -> bool:
    return unicodedata.category(character)[0] in "LNPS" or _is_private(character)


def _is_private(character: str) -> bool:
    return unicodedata.category(character) in ("Co", "Cn")


def utf16_units(text: str) -> int:
    """Length as Java and JavaScript count it."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def cut(text: str, limit: int, length: Callable[[str], int]) -> str:
    """The longest beginning whose `length` is within `limit`, with an ellipsis if anything
    was taken away; never ends in the middle of an emoji or of a letter with its accents."""
    if length(text) <= limit:
        return text
    room = limit - length(ELLIPSIS)
    end = _last_within(text, boundaries(text), room, length)
    if not end:  # a single letter under a heap of accents
        end = _last_within(text, range(1, len(text)), room, length)
    return text[:end].rstrip() + ELLIPSIS


def _last_within(text: str, ends: Iterable[int], room: int, length: Callable[[str], int]) -> int:
    """Lengths add up over code points, so measuring each new piece is enough."""
    last = 0
    for end in ends:
        room -= length(text[last:end])
        if room < 0:
            break
        last = end
    return last


def boundaries(text: str) -> list[int]:
    """Where `text` may be cut: the ends of its grapheme clusters, the last one included.

    A simplification of Unicode's annex 29 that never cuts where the annex does not, except
    for conjuncts of Indic scripts, which it may separate at a virama.
    """
    ends: list[int] = []
    flags = 0
    for index in range(1, len(text)):
        before, after = text[index - 1], text[index]
        flags = flags + 1 if _is_flag(before) else 0
        if not _joined(before, after, flags):
            ends.append(index)
    if text:
        ends.append(len(text))
    return ends


def _joined(before: str, after: str, flags_before: int) -> bool:
    if _JOINER in (before, after) or _extends(after):
        return True
    if _is_flag(before) and _is_flag(after):
        return flags_before % 2 == 1
    return _hangul_joined(before, after)


def _extends(character: str) -> bool:
    code = ord(character)
    return (
        unicodedata.category(character) in ("Mn", "Mc", "Me")
        or 0x1F3FB <= code <= 0x1F3FF  # skin tones
        or code == 0x200C
        or _is_tag(character)
        or 0xFF9E <= code <= 0xFF9F  # half-width Katakana voicing marks
    )


def _is_tag(character: str) -> bool:
    return 0xE0020 <= ord(character) <= 0xE007F


def _is_flag(character: str) -> bool:
    """Regional indicators; two of them make one flag."""
    return 0x1F1E6 <= ord(character) <= 0x1F1FF


def _hangul_joined(before: str, after: str) -> bool:
    """Conjoining Jamo: a leading consonant, vowels and trailing consonants make a syllable."""
    left, right = ord(before), ord(after)
    if 0x1100 <= left <= 0x115F or 0xA960 <= left <= 0xA97C:
        return 0x1100 <= right <= 0x11A7 or 0xA960 <= right <= 0xA97C or 0xAC00 <= right <= 0xD7A3
    if 0x1160 <= left <= 0x11A7 or 0xD7B0 <= left <= 0xD7C6 or 0xAC00 <= left <= 0xD7A3:
        return 0x1160 <= right <= 0x11FF or 0xD7B0 <= right <= 0xD7FB
    if 0x11A8 <= left <= 0x11FF or 0xD7CB <= left <= 0xD7FB:
        return 0x11A8 <= right <= 0x11FF or 0xD7CB <= right <= 0xD7FB
    return False
