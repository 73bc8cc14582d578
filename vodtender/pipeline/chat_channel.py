"""One channel's chat in automatic mode: which stream is on the air, and its recording.

Used by one thread.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from vodtender import log
from vodtender.clients.twitch.irc import ChatLogin
from vodtender.model.discovery import LiveStream
from vodtender.model.liveness import OnAir, after_look
from vodtender.pipeline.chat_session import ChatSession
from vodtender.pipeline.chat_target import Stream, Target
from vodtender.pipeline.workplace import Workplace
from vodtender.store import chat_recordings

_STOP_SECONDS = 15.0
_SECONDS_TO_WAIT = 2.0
_log = log.get("chat")


@dataclass(slots=True)
class ChannelChat:
    """To be used only while this worker holds the channel's lease. While the database is away
    streams are recorded all the same: `settle` tells it what has begun and ended."""

    place: Workplace
    channel: str
    login: Callable[[], ChatLogin | None]
    on_air: OnAir | None = None
    restored: bool = False
    _target: Target | None = None
    _over: list[tuple[Target, datetime]] = field(default_factory=list)
    _session: ChatSession | None = field(default=None, repr=False)

    def restore(self) -> None:
        """Takes up what another process, or an earlier one, has left. Raises
        DatabaseUnavailable."""
        if self.restored:
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
            self._target = Target.of(last)
        self.restored = True

    def looked(self, seen: LiveStream | None, now: datetime) -> None:
        """What a look at the channel has shown."""
        step = after_look(self.on_air, seen, now, self.place.settings.chat_offline_after)
        if step.ended is not None:
            self._end(step.ended)
        if step.on_air is not None and (self.on_air is None or step.ended is not None):
            stream = Stream(self.channel, step.on_air.stream_id, step.on_air.began_at)
            self._target = Target.begun(stream)
            _log.info("a stream has begun", channel=self.channel, vod=stream.vod_id)
        self.on_air = step.on_air

    def settle(self) -> None:
        """Tells the database what it does not know yet. Raises DatabaseUnavailable: it still
        does not, and is to be told again."""
        while self._over:
            target, at = self._over[0]
            recording = target.recording(self.place.database)
            with self.place.database.transaction(wait_seconds=_SECONDS_TO_WAIT) as connection:
                chat_recordings.end(connection, recording.id, at)
            self._over.pop(0)
        if self._target is not None:
            self._target.recording(self.place.database)

    def record(self) -> None:
        """Records if there is something to record."""
        if self._session is None and self._target is not None:
            self._session = ChatSession(self.place, self._target, self.login)
            self._session.start()

    def let_go(self) -> None:
        """Stops, so that another worker may go on with it."""
        self.ask_to_stop()
        self._join()
        self.on_air, self._target, self.restored = None, None, False
        self._over.clear()

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
        if self._target is not None:
            self._over.append((self._target, ended.seen_at))
            _log.info("the stream is over", channel=self.channel, vod=self._target.vod_id)
        self._target, self.on_air = None, None


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
        self._session = ChatSession(self.place, Target.of(recording), self.login)
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
