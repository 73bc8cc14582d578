"""What a chat is recorded into: a row of `chat_recordings`.

A stream may begin while the database is away. Then the row is made when it is back; until then
`recording.json`, beside the journal, says what is to be made.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from vodtender.model.liveness import OnAir, placeholder
from vodtender.store import chat_recordings
from vodtender.store.chat_recordings import Recording
from vodtender.store.database import Connection, Database

NOTE_NAME = "recording.json"
_SECONDS_TO_WAIT = 2.0


@dataclass(frozen=True, slots=True)
class Stream:
    """Whose chat is recorded, without a row of its own."""

    channel: str
    stream_id: str | None
    began_at: datetime

    @property
    def vod_id(self) -> str:
        """What stands for its VOD."""
        return placeholder(self.channel, OnAir(self.stream_id, self.began_at, self.began_at))

    @property
    def note(self) -> bytes:
        """To be read by `noted`."""
        return json.dumps(
            {
                "channel": self.channel,
                "stream_id": self.stream_id,
                "began_at": self.began_at.isoformat(),
            }
        ).encode()


class Target:
    """One recorder's; asked by several threads."""

    def __init__(self, channel: str, *, known: Recording | None, stream: Stream | None) -> None:
        self.channel = channel
        self.known = known
        """The row, if it is there."""
        self._stream = stream
        self._lock = threading.Lock()

    @classmethod
    def of(cls, recording: Recording) -> Target:
        """A row that is there."""
        return cls(recording.channel, known=recording, stream=None)

    @classmethod
    def begun(cls, stream: Stream) -> Target:
        """A stream's. A stream that comes back after it was taken to be over goes on where it
        was, also when it has its VOD by now."""
        return cls(stream.channel, known=None, stream=stream)

    @property
    def vod_id(self) -> str:
        """The VOD's, or what stands for it."""
        if self.known is not None:
            return self.known.vod_id
        assert self._stream is not None
        return self._stream.vod_id

    @property
    def journal_name(self) -> str:
        """What its journal is called if it is begun now."""
        if self.known is not None:
            return str(self.known.id)
        assert self._stream is not None
        return f"new-{self.channel}-{int(self._stream.began_at.timestamp())}"

    @property
    def note(self) -> bytes | None:
        """What has to lie beside its journal, if that is begun now."""
        return self._stream.note if self.known is None and self._stream is not None else None

    def recording(self, database: Database) -> Recording:
        """The row, made if need be. Raises DatabaseUnavailable."""
        with self._lock:
            if self.known is None:
                assert self._stream is not None
                with database.transaction(wait_seconds=_SECONDS_TO_WAIT) as connection:
                    self.known = _begin(connection, self._stream)
            return self.known


def _begin(connection: Connection, stream: Stream) -> Recording:
    there = None
    if stream.stream_id is not None:
        there = chat_recordings.of_stream(connection, stream.channel, stream.stream_id)
    return chat_recordings.begin(
        connection,
        stream.channel,
        there.vod_id if there else stream.vod_id,
        mode="auto",
        began_at=there.began_at if there else stream.began_at,
        stream_id=stream.stream_id,
    )


def begin_left_behind(connection: Connection, stream: Stream, heard_until: datetime) -> Recording:
    """The row of a stream whose recorder has died before it could make one. If it has to be
    made, the recording is over; if somebody goes on with it, so be it."""
    there = chat_recordings.of_vod(connection, stream.vod_id)
    if not there and stream.stream_id is not None:
        found = chat_recordings.of_stream(connection, stream.channel, stream.stream_id)
        there = [found] if found else []
    if there:
        return there[-1]
    made = _begin(connection, stream)
    chat_recordings.end(connection, made.id, heard_until)
    return made


def noted(journal: Path) -> Stream | None:
    """What lies beside a journal; None if that belongs to a row, or to nothing any more."""
    try:
        found = json.loads((journal / NOTE_NAME).read_bytes())
        began_at = datetime.fromisoformat(found["began_at"]).astimezone(UTC)
        return Stream(str(found["channel"]), found["stream_id"], began_at)
    except (OSError, ValueError, KeyError, TypeError):
        return None
