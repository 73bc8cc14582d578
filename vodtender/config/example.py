"""Writes `vodtender.yaml` with every setting, made from the declarations."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from vodtender.config.declaration import Declared
from vodtender.config.settings import DECLARED

_HEAD = """\
# Settings of vodtender: remove the # in front of a name to change what it says.
# A line shows the default, or where nothing is set by default, an example.
# Environment variables of the same names count more than this file.
# Durations: 90s 5m 1h30m 14d or seconds. Sizes: 500M 20GiB (1024), 500MB (1000) or bytes.
# A secret is better kept in a file of its own, which NAME_FILE names.
"""
_NEEDS_NO_QUOTES = re.compile(r"[A-Za-z0-9/][A-Za-z0-9_./:@+-]*(?: [A-Za-z0-9][A-Za-z0-9_.:/-]*)*")


def example() -> str:
    """The whole file; it can be loaded as it is, and sets nothing."""
    return "\n".join([_HEAD, *_lines()]) + "\n"


def _lines() -> Iterator[str]:
    title = ""
    for name, declared in DECLARED.items():
        if declared.group != title:
            title = declared.group
            yield f"# --- {title} ---\n"
        yield f"# {declared.meaning}"
        yield from (f"#{line}" for line in _settings(name, declared))
        yield ""


def _settings(name: str, declared: Declared) -> Iterator[str]:
    if declared.example or not declared.secret:
        yield f"{name}: {_quoted(declared.example)}"
    if declared.secret:
        yield f"{name}_FILE: /run/secrets/{name.lower()}"


def _quoted(value: str) -> str:
    if _NEEDS_NO_QUOTES.fullmatch(value):
        return value
    return json.dumps(value, ensure_ascii=False)
