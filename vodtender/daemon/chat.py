"""The thread that keeps the chat of the channels recorded.

One worker records a channel: whoever holds its lease. When that one dies, the lease ends and
another goes on with the recording.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from vodtender import log
from vodtender.config.settings import Settings
from vodtender.daemon.lanes import Gate
from vodtender.errors import Answer, DatabaseUnavailable, RateLimited, Stopped
from vodtender.pipeline.chat_channel import ChannelChat, ManualChat
from vodtender.pipeline.chat_liveness import live_streams
from vodtender.pipeline.chat_login import ChatLogins
from vodtender.pipeline.chat_session import lease_of
from vodtender.pipeline.workplace import Workplace
from vodtender.store import leases

_LONGEST_TICK_SECONDS = 5.0
_SECONDS_TO_WAIT = 2.0
_log = log.get("chat")


def wanted(settings: Settings) -> bool:
    """Whether the daemon is to record any chat."""
    return bool(settings.channels) and (
        settings.chat_auto_start or settings.twitch_vod_id is not None
    )


class Chat(threading.Thread):
    """Records until the daemon stops or drains; what was heard by then is stored."""

    def __init__(self, place: Workplace, gate: Gate) -> None:
        super().__init__(name="chat", daemon=True)
        self.failure: BaseException | None = None
        self._place = place
        self._gate = gate
        self._logins = ChatLogins(place.settings, place.database, lambda: datetime.now(UTC))
        self._channels: dict[str, ChannelChat | ManualChat] = {
            one.channel: one for one in self._wanted()
        }
        self._claims: dict[str, int] = {}
        self._looks_at = 0.0
        settings = place.settings
        self._poll_seconds = settings.chat_auto_poll_interval.total_seconds()
        self._tick_seconds = min(
            _LONGEST_TICK_SECONDS, self._poll_seconds, settings.lease_seconds / 4
        )

    def _wanted(self) -> Sequence[ChannelChat | ManualChat]:
        settings, login = self._place.settings, self._logins.login
        if not wanted(settings):
            return []
        if settings.chat_auto_start:
            return [ChannelChat(self._place, name, login) for name in settings.channels]
        assert settings.twitch_vod_id is not None
        return [ManualChat(self._place, settings.channels[0], login, settings.twitch_vod_id)]

    def run(self) -> None:
        try:
            pause = 0.0
            while not self._place.stopping.wait(pause):
                pause = self._tick_seconds
                if not self._channels or self._gate.draining.is_set():
                    self._let_go(list(self._claims))
                    continue
                try:
                    self._tick()
                except DatabaseUnavailable as error:
                    self._gate.database_failed(error)
        except BaseException as error:
            self.failure = error
        finally:
            self._let_go(list(self._claims))

    def _tick(self) -> None:
        """Raises DatabaseUnavailable, after what can be done without the database: channels
        that were this worker's stay so, and their streams are recorded."""
        away: DatabaseUnavailable | None = None
        try:
            self._hold_leases()
            for channel in self._automatic:
                channel.restore()
        except DatabaseUnavailable as error:
            away = error
        self._look([one for one in self._automatic if one.restored])
        try:
            for channel in self._automatic:
                channel.settle()
        except DatabaseUnavailable as error:
            away = error
        for name in self._claims:
            self._channels[name].record()
        if away is not None:
            raise away

    @property
    def _automatic(self) -> list[ChannelChat]:
        ours = [self._channels[name] for name in self._claims]
        return [one for one in ours if isinstance(one, ChannelChat)]

    def _hold_leases(self) -> None:
        """Which channels are this worker's. While the database is away they stay what they
        were: two recorders of one channel do no harm, and none would."""
        seconds = self._place.settings.lease_seconds
        with self._place.database.transaction(
            timeout_seconds=10, wait_seconds=_SECONDS_TO_WAIT
        ) as connection:
            now_held = {
                name: claim
                for name in self._channels
                if (
                    claim := leases.take(connection, lease_of(name), self._place.worker_id, seconds)
                )
                is not None
            }
        lost = [name for name in self._claims if name not in now_held]
        if lost:
            _log.warning("another daemon records by now", channels=", ".join(lost))
        # A channel that comes to us is looked at before it is recorded.
        if now_held.keys() - self._claims.keys():
            self._looks_at = 0.0
        for name in lost:
            self._channels[name].let_go()
        self._claims = now_held

    def _look(self, channels: Sequence[ChannelChat]) -> None:
        if not channels or time.monotonic() < self._looks_at:
            return
        self._looks_at = time.monotonic() + self._poll_seconds
        try:
            streams = live_streams(self._place, [one.channel for one in channels])
        except Stopped:
            return
        except Answer as error:
            if self._place.is_news("liveness"):
                _log.warning("cannot tell who is live", exc=error)
            if isinstance(error, RateLimited):
                wait = (error.until - datetime.now(UTC)).total_seconds()
                self._looks_at = time.monotonic() + max(wait, self._poll_seconds)
            return
        now = datetime.now(UTC)
        for one in channels:
            one.looked(streams.get(one.channel), now)

    def _let_go(self, names: Sequence[str]) -> None:
        if not names:
            return
        for name in names:
            self._channels[name].ask_to_stop()
        for name in names:
            self._channels[name].let_go()
        try:
            with self._place.database.transaction(
                timeout_seconds=10, wait_seconds=_SECONDS_TO_WAIT
            ) as connection:
                for name in names:
                    claim = self._claims[name]
                    leases.release(connection, lease_of(name), self._place.worker_id, claim)
        except DatabaseUnavailable:
            _log.debug("the leases on chat end by themselves")
        self._claims = {}
