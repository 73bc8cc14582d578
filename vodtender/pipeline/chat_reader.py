"""Listens to one connection and puts what it hears into the journal."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable

from vodtender import log
from vodtender.clients.twitch.irc import Heard, IrcConnection
from vodtender.errors import Transient
from vodtender.pipeline.chat_journal import Journal

_TICK_SECONDS = 0.5
_SILENCE_NOTED_SECONDS = 5.0
"""How often it is noted that nothing was said."""
_log = log.get("chat")


class Reader(threading.Thread):
    """One connection's. `wake` is called when there is something to be done about it."""

    def __init__(
        self, connection: IrcConnection, journal: Journal, channel: str, wake: Callable[[], None]
    ) -> None:
        super().__init__(name=f"chat {channel}", daemon=True)
        self.wants_reconnect = False
        self.has_ended = False
        self.failed = False
        """Whether it ended without being told to."""
        self.why = ""
        self.joined_at = 0.0
        """Unix time; so is `heard_at`."""
        self._connection = connection
        self._journal = journal
        self._wake = wake
        self._nonce = secrets.token_hex(6)
        self._lines = 0
        self._noted_at = 0.0
        self._retires_at: float | None = None

    @property
    def identity(self) -> str:
        """The name it reads under."""
        return self._connection.identity

    @property
    def heard_at(self) -> float:
        """Up to when it is known to have heard everything."""
        return max(self._connection.heard_at, self.joined_at)

    @property
    def lasted_seconds(self) -> float:
        """For how long it was in the channel, up to the last sign of life."""
        return self.heard_at - self.joined_at

    def join_channel(self, stopping: threading.Event) -> None:
        """Logs in. Raises AuthExpired or Transient."""
        try:
            heard = self._connection.join(stopping.is_set)
        except BaseException:
            self._connection.close()
            raise
        self.joined_at = self._connection.heard_at
        self._keep(heard)

    def retire(self, after_seconds: float) -> None:
        """It is not needed after that."""
        self._retires_at = time.monotonic() + after_seconds

    def run(self) -> None:
        try:
            while not self._is_retired():
                self._keep(self._connection.receive(_TICK_SECONDS))
        except Transient as error:
            self._end(error.message)
        except BaseException as error:
            _log.error("internal error", thread=self.name, exc=error)
            self._end(f"internal error: {type(error).__name__}")
        finally:
            self._connection.close()

    def _is_retired(self) -> bool:
        return self._retires_at is not None and time.monotonic() >= self._retires_at

    def _end(self, why: str) -> None:
        self.why, self.has_ended, self.failed = why, True, True
        self._wake()

    def _keep(self, heard: Heard) -> None:
        if heard.lines:
            self._journal.lines(heard.lines, self._connection.heard_at, self._nonce, self._lines)
            self._lines += len(heard.lines)
            self._noted_at = self._connection.heard_at
        elif self._connection.heard_at > self._noted_at + _SILENCE_NOTED_SECONDS:
            self._journal.heard_until(self._connection.heard_at)
            self._noted_at = self._connection.heard_at
        if heard.wants_reconnect and not self.wants_reconnect:
            _log.info("Twitch asks us to connect anew")
            self.wants_reconnect = True
            self._wake()
