"""What a dump is made of, on its way into a database."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one table, as COPY writes them: the statement that takes them, and they
    themselves, in blocks that end anywhere."""

    statement: bytes
    blocks: Iterator[bytes]


Part = bytes | Rows
"""Whole statements, or rows."""
