"""What lies in a chat's journal, and what it says.

A file holds chunks: a line that begins with NUL and says when and where they were heard, then
the lines as they came. NUL is in none of those. A chunk may also be an event, as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from vodtender.model.chat import ChatMessage, Gap, Heard
from vodtender.model.chat_patterns import ChatReader
from vodtender.store.chat import Batch

_BATCH_MESSAGES = 1000


@dataclass(frozen=True, slots=True)
class Piece:
    """Some of what was heard. `segment` is None for what lies in memory only."""

    data: bytes
    segment: Path | None
    end: int


def chunk_of(lines: Sequence[bytes], at: float, connection: str, first: int) -> bytes:
    """Lines that were heard at `at` (Unix time). `first` is the first one's number."""
    head = b"\0c %d %s %d\n" % (int(at * 1_000_000), connection.encode(), first)
    return head + b"\n".join(lines) + b"\n"


def event(said: dict[str, str | None]) -> bytes:
    """Something that was no line: `gap` with `until` and `why`, `resumed`, or `heard`."""
    return b"\0e " + json.dumps(said).encode() + b"\n"


def batches_of(piece: Piece) -> Iterator[Batch]:
    """What a piece says, some of it at a time."""
    batch, reader = Batch(), ChatReader()
    for chunk in piece.data.removeprefix(b"\0").split(b"\n\0"):
        head, _, body = chunk.decode("utf-8", "replace").partition("\n")
        if head.startswith("e "):
            _read_event(batch, head[2:])
        elif head.startswith("c "):
            _read_lines(batch, reader, head, body)
        if len(batch.plain) + len(batch.messages) >= _BATCH_MESSAGES:
            yield batch
            batch = Batch()
    yield batch


def _read_lines(batch: Batch, reader: ChatReader, head: str, body: str) -> None:
    try:
        _, microseconds, connection, first = head.split(" ")
        at, number = datetime.fromtimestamp(int(microseconds) / 1_000_000, UTC), int(first)
    except (ValueError, OverflowError):
        return  # the rest of a file that a crash of the machine has torn
    plain, others = reader.read(body.split("\n"), Heard(at, connection, number))
    batch.plain += plain
    for said in others:
        if isinstance(said, ChatMessage):
            batch.messages.append(said)
        else:
            batch.marks.append(said)
    batch.heard_until = max(batch.heard_until or at, at)
    batch.heard_at.append(at)


def _read_event(batch: Batch, text: str) -> None:
    try:
        event = {name: value for name, value in json.loads(text).items() if value is not None}
        why = event.pop("why", "")
        times = {name: datetime.fromisoformat(value) for name, value in event.items()}
    except (ValueError, AttributeError, TypeError):
        return
    if "gap" in times:
        batch.gaps.append(Gap(times["gap"], times.get("until"), why))
    if "resumed" in times:
        batch.resumed.append(times["resumed"])
    if "heard" in times:
        batch.heard_until = max(batch.heard_until or times["heard"], times["heard"])
