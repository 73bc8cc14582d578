"""How numbers, durations, sizes and limits are written."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from typing import TypeVar

from vodtender.config.forms import Form

T = TypeVar("T")

LONGEST_DURATION = timedelta(days=36500)


def integer(minimum: int = 0, maximum: int | None = None) -> Form[int]:
    """A whole number within bounds, both included."""
    if maximum is not None:
        expected = f"a whole number from {minimum} to {maximum}"
    else:
        expected = f"a whole number, {minimum} or more"

    def read(text: str) -> int:
        digits = text.strip()
        if not re.fullmatch(r"[+-]?[0-9]{1,18}", digits):
            raise ValueError(f"expected {expected}")
        number = int(digits)
        if number < minimum or (maximum is not None and number > maximum):
            raise ValueError(f"expected {expected}")
        return number

    return Form(expected, read, str)


_DURATION_UNITS = {
    "w": timedelta(weeks=1),
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
    "ms": timedelta(milliseconds=1),
}
_NUMBER = r"[0-9]{1,20}(?:\.[0-9]{1,6})?"
_DURATION_PART = re.compile(rf"({_NUMBER})\s*(ms|[wdhms])\s*")
_DURATION_EXAMPLES = "a duration such as 90s, 5m, 1h30m or 14d"


def _read_duration(text: str) -> timedelta:
    """Units from the largest to the smallest, each once; a number without one is seconds."""
    written = text.strip().lower()
    if re.fullmatch(_NUMBER, written):
        return _bounded(Decimal(written) * 1_000_000)
    position, microseconds, smallest = 0, Decimal(0), timedelta.max
    while part := _DURATION_PART.match(written, position):
        unit = _DURATION_UNITS[part[2]]
        if unit >= smallest:
            raise ValueError(f"expected {_DURATION_EXAMPLES}: larger units first, each once")
        smallest, position = unit, part.end()
        microseconds += Decimal(part[1]) * (unit // timedelta(microseconds=1))
    if position == 0 or position != len(written):
        raise ValueError(f"expected {_DURATION_EXAMPLES}, or a number of seconds")
    return _bounded(microseconds)


def _bounded(microseconds: Decimal) -> timedelta:
    if microseconds > LONGEST_DURATION // timedelta(microseconds=1):
        raise ValueError("expected at most 36500d")
    return timedelta(microseconds=int(microseconds))


def write_duration(value: timedelta) -> str:
    """In days, hours, minutes and seconds; reads back as the same duration."""
    rest, parts = value, []
    for name in "dhm":
        count, rest = divmod(rest, _DURATION_UNITS[name])
        if count:
            parts.append(f"{count}{name}")
    if rest or not parts:
        seconds = f"{rest.seconds}.{rest.microseconds:06}".rstrip("0").rstrip(".")
        parts.append(f"{seconds}s")
    return "".join(parts)


def duration(minimum: timedelta = timedelta(0)) -> Form[timedelta]:
    """A length of time that is not shorter than `minimum`."""

    def read(text: str) -> timedelta:
        value = _read_duration(text)
        if value < minimum:
            raise ValueError(f"expected {write_duration(minimum)} or longer")
        return value

    return Form(_DURATION_EXAMPLES, read, write_duration)


_SIZE_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
_SIZE = re.compile(rf"({_NUMBER})\s*([kmgtp]?)(i?b?)")
_SIZE_EXAMPLES = "a size such as 500M or 20GiB"
LARGEST_SIZE_BYTES = 2**63 - 1


def _read_size(text: str) -> int:
    """`500M` and `500MiB` are 500 × 1024² bytes, as rclone, df and yt-dlp count; `500MB` are
    500 × 1000², as GNU coreutils count; a bare number is bytes. Fractions are rounded down."""
    match = _SIZE.fullmatch(text.strip().lower())
    if match is None or (match[3].startswith("i") and not match[2]):
        raise ValueError(f"expected {_SIZE_EXAMPLES}, or a number of bytes")
    base = 1000 if match[3] == "b" else 1024
    value = int(Decimal(match[1]) * base ** _SIZE_POWERS[match[2]])
    if value > LARGEST_SIZE_BYTES:
        raise ValueError("expected less than 8192P")
    return value


def write_size(value: int) -> str:
    """Exact: in the largest binary unit that leaves a whole number."""
    for letter in "PTGMK":
        unit = 1024 ** _SIZE_POWERS[letter.lower()]
        if value and value % unit == 0:
            return f"{value // unit}{letter}iB"
    return str(value)


def size(minimum_bytes: int = 0, multiple_of_bytes: int = 1) -> Form[int]:
    """A number of bytes."""

    def read(text: str) -> int:
        value = _read_size(text)
        if value < minimum_bytes:
            raise ValueError(f"expected {write_size(minimum_bytes)} or more")
        if value % multiple_of_bytes:
            raise ValueError(f"expected a multiple of {write_size(multiple_of_bytes)}")
        return value

    return Form(_SIZE_EXAMPLES, read, write_size)


def _read_rate(text: str) -> int:
    try:
        return size(minimum_bytes=1).read(re.sub(r"/s(ec)?\s*$|ps\s*$", "", text.lower()))
    except ValueError:
        raise ValueError("expected a rate such as 4M, in bytes per second") from None


RATE = Form("bytes per second such as 4M", _read_rate, write_size)

_NO_LIMIT = ("0", "off", "none", "unlimited")


def limit(form: Form[T]) -> Form[T | None]:
    """A limit that can be turned off: `0`, `off` or `none` say that there is none, so that the
    environment can lift what a file sets."""

    def read(text: str) -> T | None:
        return None if text.strip().lower() in _NO_LIMIT else form.read(text)

    def write(value: T | None) -> str:
        return "off" if value is None else form.write(value)

    return Form(f"{form.expected}, or off", read, write)
