"""How commands print: data to stdout, everything else to stderr.

Foreign text (titles, error messages) passes `printable`, so that it cannot move a terminal's
cursor, and is never taken for markup. Off a terminal there is no colour and no wrapping.
"""

from __future__ import annotations

import json
import os
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any

from vodtender.log import printable, redact
from vodtender.model.timestamp import rfc3339

_USUAL_COLUMNS = 80
"""For terminals that do not say how wide they are, such as those of `script` and of CI."""
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def write_json(document: Any) -> None:
    """One document on stdout, as the contract has it: UTC with `Z`, snake_case, UTF-8."""
    sys.stdout.write(json.dumps(plain(document), ensure_ascii=False, indent=2) + "\n")


def write_json_line(document: Any) -> None:
    """One line of JSON on stdout."""
    sys.stdout.write(json.dumps(plain(document), ensure_ascii=False) + "\n")


def plain(value: Any) -> Any:
    """The value in JSON's own types."""
    if is_dataclass(value) and not isinstance(value, type):
        value = {f.name: getattr(value, f.name) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(entry) for entry in value]
    return _plain_scalar(value)


def _plain_scalar(value: Any) -> Any:
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Enum):
        return value.value
    return str(value) if isinstance(value, (date, Path)) else value


def write_line(text: str = "") -> None:
    """One line on stdout."""
    sys.stdout.write(printable(text) + "\n")


def note(text: str) -> None:
    """One line for the person on stderr."""
    sys.stderr.write(printable(redact(text)) + "\n")


def write_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], below: Sequence[str] = ()
) -> None:
    """Aligned columns; what is to stand `below` each row, if anything is, gets a line of its
    own. On a terminal lines are cut where they end."""
    table = [tuple(columns), *(tuple(printable(cell) for cell in row) for row in rows)]
    widths = [max(width(row[n]) for row in table) for n in range(len(columns))]
    room = terminal_columns()
    for number, row in enumerate(table):
        line = fit("  ".join(map(padded, row, widths)).rstrip(), room)
        if number == 0 and colours():
            line = f"\x1b[1m{line}\x1b[0m"
        sys.stdout.write(line + "\n")
        if number and below and below[number - 1]:
            sys.stdout.write(fit(f"    {printable(below[number - 1])}", room) + "\n")


def width(text: str) -> int:
    """How many columns of a terminal the text takes."""
    return len(text) if text.isascii() else sum(map(_width, text))


def padded(text: str, columns: int) -> str:
    """The text with spaces up to so many columns."""
    return text + " " * (columns - width(text))


def fit(text: str, columns: int | None) -> str:
    """The text, cut where a line of so many columns ends; None: not at all."""
    if columns is None or width(text) <= columns:
        return text
    taken, kept = 1, 0
    for kept, character in enumerate(text):  # noqa: B007
        taken += _width(character)
        if taken > columns:
            break
    return text[:kept] + "…"


def wrapped(text: str, columns: int, lines: int) -> list[str]:
    """The text in at most so many lines, broken between words; the last one is cut."""
    found: list[str] = []
    words = text.split(" ")
    while words:
        line = words.pop(0)
        while words and (len(found) + 1 == lines or width(line) + 1 + width(words[0]) <= columns):
            line += f" {words.pop(0)}"
        found.append(fit(line, columns))
    return found


def _width(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def colours() -> bool:
    """Whether stdout takes colours and the person wants them (https://no-color.org)."""
    wanted = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return wanted and sys.stdout.isatty()


def size(size_bytes: float | None) -> str:
    """`1.5 GB`; decimal, as disks are sold."""
    if size_bytes is None:
        return "?"
    number, unit = float(size_bytes), 0
    while number >= 999.5 and unit < len(_UNITS) - 1:
        number, unit = number / 1000, unit + 1
    return f"{number:.0f} {_UNITS[unit]}" if unit == 0 else f"{number:.1f} {_UNITS[unit]}"


def duration(seconds: float | None) -> str:
    """`3 d 4 h`, `5 min`, `12 s`."""
    if seconds is None:
        return "?"
    whole = max(0, round(seconds))
    if whole < 90:
        return f"{whole} s"
    if whole < 90 * 60:
        return f"{round(whole / 60)} min"
    if whole < 48 * 3600:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def moment(at: datetime | None, now: datetime | None = None) -> str:
    """`2026-11-23 10:00 UTC`, with how long ago or from now."""
    if at is None:
        return "never"
    text = f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    if now is None:
        return text
    away = (at - now).total_seconds()
    return f"{text} (in {duration(away)})" if away > 0 else f"{text} ({duration(-away)} ago)"


def terminal_columns() -> int | None:
    """How wide the terminal is; None when stdout is none."""
    if not sys.stdout.isatty():
        return None
    try:
        told = os.get_terminal_size(sys.stdout.fileno()).columns
    except OSError:
        return None
    return max(40, told or _USUAL_COLUMNS)
