"""Recordings and messages, put into a database as the recorder would."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.archive import Archive
from vodtender.model.chat import ChatMessage, Gap, Mark
from vodtender.store import chat, chat_recordings
from vodtender.store.chat import Batch
from vodtender.store.chat_recordings import Recording, Report

BEGAN = datetime(2026, 3, 1, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """So long after the stream's beginning."""
    return BEGAN + timedelta(seconds=seconds)


def message(number: int, text: str = "hello", **more: Any) -> ChatMessage:
    """Said so many seconds after the beginning."""
    known: dict[str, Any] = {"timestamp": at(number), "username": "bob", "kind": "privmsg"}
    return ChatMessage(**(known | {"message_id": f"m{number}", "message": text} | more))


class Recorded:
    """A recording of one channel."""

    def __init__(
        self,
        archive: Archive,
        vod_id: str = "live-42",
        *,
        channel: str = "alice",
        mode: str = "auto",
        stream_id: str | None = "42",
        began_at: datetime = BEGAN,
    ) -> None:
        self.archive = archive
        with archive.connection() as connection:
            self.id = chat_recordings.begin(
                connection, channel, vod_id, mode=mode, began_at=began_at, stream_id=stream_id
            ).id

    def store(
        self,
        messages: Sequence[ChatMessage] = (),
        *,
        marks: Sequence[Mark] = (),
        gaps: Sequence[Gap] = (),
    ) -> None:
        with self.archive.connection() as connection:
            chat.store(connection, self.id, [Batch(list(messages), list(marks), list(gaps))])

    def report(self, **more: Any) -> None:
        known: dict[str, Any] = {
            "worker_id": "worker-1",
            "connected_since": at(5),
            "identity": "justinfan1",
            "problem": None,
            "reconnections": 2,
            "messages_per_minute": 12.0,
            "latency_seconds": 0.2,
        }
        with self.archive.connection() as connection:
            chat_recordings.report(connection, self.id, Report(**(known | more)))

    def end(self, seconds: float = 3600) -> None:
        with self.archive.connection() as connection:
            chat_recordings.end(connection, self.id, at(seconds))

    @property
    def row(self) -> Recording:
        with self.archive.connection() as connection:
            found = chat_recordings.get(connection, self.id)
        assert found is not None
        return found
