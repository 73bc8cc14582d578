"""One channel's chat in automatic mode: which stream is on the air, and its recording.

Used by one thread. Every change is in the database before it counts here, so that a step that
fails because the database is away is simply taken again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from vodtender import log
from vodtender.clients.twitch.irc import ChatLogin
from vodtender.model.discovery import LiveStream
from vodtender.model.liveness import OnAir, after_look, placeholder
from vodtender.pipeline.chat_session import ChatSession
from vodtender.pipeline.workplace import Workplace
from vodtender.store import chat_recordings
from vodtender.store.chat_recordings import Recording
from vodtender.store.database import Connection

_STOP_SECONDS = 15.0
_log = log.get("chat")


@dataclass(slots=True)
class ChannelChat:
    """To be used only while this worker holds the channel's lease."""

    place: Workplace
    channel: str
    login: Callable[[], ChatLogin | None]
    on_air: OnAir | None = None
    _restored: bool = False
    _recording: Recording | None = None
    _session: ChatSession | None = field(default=None, repr=False)

    def restore(self) -> None:
        """Takes up what another process, or an earlier one, has left. Raises
        DatabaseUnavailable."""
        if self._restored:
            return
        with self.place.database.transaction() as connection:
            left = [
                one for one in chat_recordings.unfinished(connection) if one.channel == self.channel
            ]
            last = max(
                (one for one in left if one.mode == "auto"),
                key=lambda one: one.began_at,
                default=None,
            )
            for one in left:
                if one is not last:
                    chat_recordings.end(connection, one.id, one.heard_until or one.began_at)
        if last is not None:
            seen_at = last.heard_until or last.created_at
            self.on_air = OnAir(last.stream_id, last.began_at, seen_at)
            self._recording = last
        self._restored = True

    def looked(self, seen: LiveStream | None, now: datetime) -> None:
        """What a look at the channel has shown. Raises DatabaseUnavailable: nothing counts."""
        step = after_look(self.on_air, seen, now, self.place.settings.chat_offline_after)
        if step.ended is not None:
            self._end(step.ended)
        if step.on_air is not None and (self.on_air is None or step.ended is not None):
            with self.place.database.transaction() as connection:
                self._recording = _recording_of(connection, self.channel, step.on_air)
            _log.info("a stream has begun", channel=self.channel, vod=self._recording.vod_id)
        self.on_air = step.on_air

    def record(self) -> None:
        """Records if there is something to record."""
        if self._session is None and self._recording is not None:
            self._session = ChatSession(self.place, self._recording, self.login)
            self._session.start()

    def let_go(self) -> None:
        """Stops, so that another worker may go on with it."""
        self.ask_to_stop()
        self._join()
        self.on_air, self._recording, self._restored = None, None, False

    def ask_to_stop(self) -> None:
        """The first half of `let_go`, for several at once."""
        if self._session is not None:
            self._session.stop()

    def _join(self) -> None:
        if self._session is not None:
            self._session.join(_STOP_SECONDS)
            self._session = None

    def _end(self, ended: OnAir) -> None:
        self.ask_to_stop()
        self._join()
        recording = self._recording
        if recording is not None:
            with self.place.database.transaction() as connection:
                chat_recordings.end(connection, recording.id, ended.seen_at)
            _log.info("the stream is over", channel=self.channel, vod=recording.vod_id)
        self._recording = None
        self.on_air = None


def _recording_of(connection: Connection, channel: str, stream: OnAir) -> Recording:
    """A stream that comes back after it was taken to be over goes on where it was, also when
    it has its VOD by now."""
    known = None
    if stream.stream_id is not None:
        known = chat_recordings.of_stream(connection, channel, stream.stream_id)
    return chat_recordings.begin(
        connection,
        channel,
        known.vod_id if known else placeholder(channel, stream),
        mode="auto",
        began_at=known.began_at if known else stream.began_at,
        stream_id=stream.stream_id,
    )


@dataclass(slots=True)
class ManualChat:
    """The chat of one channel, recorded for the VOD that TWITCH_VOD_ID names."""

    place: Workplace
    channel: str
    login: Callable[[], ChatLogin | None]
    vod_id: str
    _session: ChatSession | None = field(default=None, repr=False)

    def record(self) -> None:
        """Records from now on. Raises DatabaseUnavailable."""
        if self._session is not None:
            return
        with self.place.database.transaction() as connection:
            for one in chat_recordings.unfinished(connection):
                if one.channel == self.channel and one.vod_id != self.vod_id:
                    chat_recordings.end(connection, one.id, one.heard_until or one.began_at)
            recording = chat_recordings.begin_manual(
                connection,
                self.channel,
                self.vod_id,
                self.place.settings.twitch_vod_start,
                datetime.now(UTC),
            )
        self._session = ChatSession(self.place, recording, self.login)
        self._session.start()

    def ask_to_stop(self) -> None:
        """The first half of `let_go`."""
        if self._session is not None:
            self._session.stop()

    def let_go(self) -> None:
        """Stops; whoever starts with the same settings goes on with it."""
        self.ask_to_stop()
        if self._session is not None:
            self._session.join(_STOP_SECONDS)
            self._session = None
