"""The forms in which settings are written, each with its way back to text.

A `Form` reads text and raises `ValueError` with what is wrong in words that follow a colon,
such as "expected host:port such as 127.0.0.1:8080". Nothing here knows which settings exist.
Numbers, durations and sizes are in `quantities`, what belongs to Twitch, YouTube or Postgres
alone in `service_forms`.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from vodtender.model.timestamp import rfc3339

T = TypeVar("T")

KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Form(Generic[T]):
    """How one kind of value is read and written.

    `read_items` is there for forms that also take a sequence (a YAML list): it gets the texts
    of the items, already taken apart.
    """

    expected: str
    read: Callable[[str], T]
    write: Callable[[T], str]
    read_items: Callable[[Sequence[str]], T] | None = None


class Address(NamedTuple):
    """Where a server listens; `port` 0 takes a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


# --- Text, choices, booleans ------------------------------------------------------------


def read_text(text: str) -> str:
    if "\0" in text:
        raise ValueError("a NUL character is not allowed")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("expected UTF-8") from None
    return text


TEXT = Form("text", read_text, str)


def choice(*known: str, aliases: dict[str, str] | None = None) -> Form[str]:
    """One of some words, in any case."""
    expected = "one of " + ", ".join(known)
    others = aliases or {}

    def read(text: str) -> str:
        word = text.strip().lower()
        word = others.get(word, word)
        if word not in known:
            raise ValueError(f"expected {expected}{did_you_mean(word, known)}")
        return word

    return Form(expected, read, str)


_BOOLEANS = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}


def _read_boolean(text: str) -> bool:
    word = text.strip().lower()
    if word not in _BOOLEANS:
        raise ValueError(f"expected {BOOLEAN.expected}")
    return _BOOLEANS[word]


BOOLEAN = Form(
    "1, 0, true, false, yes, no, on or off", _read_boolean, lambda value: "1" if value else "0"
)


# --- Lists, paths, addresses, keys ----------------------------------------------------------


def listing(form: Form[T], *, separators: str = ",") -> Form[tuple[T, ...]]:
    """Items between commas (or other separators); empty ones do not count, nor the second of
    two that are equal."""

    def read_items(items: Sequence[str]) -> tuple[T, ...]:
        return tuple(dict.fromkeys(form.read(item.strip()) for item in items if item.strip()))

    def read(text: str) -> tuple[T, ...]:
        return read_items(re.split(f"[{re.escape(separators)}]", text))

    def write(values: tuple[T, ...]) -> str:
        return ",".join(form.write(value) for value in values)

    return Form(f"a list with commas of {form.expected}", read, write, read_items)


def _read_path(text: str) -> Path:
    if "\0" in text:
        raise ValueError("a NUL character is not allowed in a path")
    path = Path(text.strip())
    try:
        return path.expanduser()
    except RuntimeError:
        raise ValueError("no home directory is known for that user") from None


PATH = Form("a path", _read_path, str)

_HOST = re.compile(r"[A-Za-z0-9._-]*")
_ADDRESS = re.compile(r"(?:\[([0-9A-Fa-f:.%a-zA-Z]+)\]|([^:\[\]]*)):([0-9]{1,5})")


def _read_address(text: str) -> Address:
    """`:8080` means every IPv4 address of this machine, as in the Go system."""
    match = _ADDRESS.fullmatch(text.strip())
    if match is None or int(match[3]) > 65535 or not _HOST.fullmatch(match[2] or ""):
        raise ValueError(f"expected {ADDRESS.expected}")
    return Address(match[1] or match[2] or "0.0.0.0", int(match[3]))  # noqa: S104


ADDRESS = Form("host:port such as 127.0.0.1:8080", _read_address, str)


def _read_key(text: str) -> bytes:
    """Either alphabet of base64 (RFC 4648, sections 4 and 5), with or without padding."""
    try:
        standard = text.strip().translate(str.maketrans("-_", "+/")).rstrip("=")
        key = base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise ValueError(f"expected {KEY.expected}; make one with: openssl rand -base64 32")
    return key


KEY = Form("base64 of 32 bytes", _read_key, lambda key: base64.b64encode(key).decode("ascii"))


def _read_time(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"expected {TIME.expected}") from None
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


TIME = Form(
    "a time such as 2026-11-23T18:00:00Z (UTC unless it says otherwise)",
    _read_time,
    rfc3339,
)


def did_you_mean(word: str, known: Sequence[str], likeness: float = 0.7) -> str:
    """`; did you mean X?`, or nothing when nothing is near."""
    import difflib

    near = difflib.get_close_matches(word, known, n=1, cutoff=likeness)
    return f"; did you mean {near[0]}?" if near else ""
