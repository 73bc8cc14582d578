"""Keeps one recorder alive until it is told to stop."""

from __future__ import annotations

import threading
from collections.abc import Callable

from vodtender import log
from vodtender.clients.twitch.irc import ChatLogin
from vodtender.pipeline.chat_recorder import RECONNECT, ChatRecorder
from vodtender.pipeline.chat_target import Target
from vodtender.pipeline.workplace import Workplace

_log = log.get("chat")


def lease_of(channel: str) -> str:
    """What the lease on recording a channel is called."""
    return f"chat {channel}"


class ChatSession(threading.Thread):
    """Records into `target`. A recorder that dies is started again, at the pace of its own
    connections."""

    def __init__(
        self, place: Workplace, target: Target, login: Callable[[], ChatLogin | None]
    ) -> None:
        super().__init__(name=f"chat of {target.channel}", daemon=True)
        self._target = target
        self._place = place
        self._login = login
        self._stopping = threading.Event()

    def stop(self) -> None:
        """To be followed by `join`: what was heard is stored before it ends."""
        self._stopping.set()

    def run(self) -> None:
        deaths = 0
        while not self._stopping.is_set():
            try:
                self._recorder().run(self._stopping)
            except Exception as error:
                deaths += 1
                _log.error("chat recorder stopped", channel=self._target.channel, exc=error)
                wait = RECONNECT.wait(deaths, self._place.chance.random())
                self._stopping.wait(wait.total_seconds())

    def _recorder(self) -> ChatRecorder:
        return ChatRecorder(
            self._place.database,
            self._place.directory,
            self._target,
            address=self._place.settings.twitch_irc_url,
            login=self._login,
            worker_id=self._place.worker_id,
            reserve_bytes=self._place.room.reserve_bytes,
        )
