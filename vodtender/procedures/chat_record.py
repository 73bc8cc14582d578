"""Records one channel's chat by hand, in the foreground."""

from __future__ import annotations

import os
import random
import secrets
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

from vodtender.config.settings import Settings
from vodtender.errors import DatabaseUnavailable, Locked, UsageError
from vodtender.pipeline.chat_flush import store_left_behind
from vodtender.pipeline.chat_login import ChatLogins
from vodtender.pipeline.chat_recorder import ChatRecorder
from vodtender.pipeline.chat_session import lease_of
from vodtender.pipeline.chat_target import Target
from vodtender.pipeline.directory import open_directory
from vodtender.pipeline.room import DownloadRoom
from vodtender.store import chat_recordings, leases, vods
from vodtender.store.chat_recordings import Recording
from vodtender.store.database import Database


def channel_for(database: Database, settings: Settings, vod_id: str, channel: str | None) -> str:
    """Whose chat belongs to a VOD: as said, else as the catalog has it, else the only channel
    that is set.

    Raises:
        UsageError: it cannot be told.
    """
    if channel is not None:
        return channel
    with database.transaction() as connection:
        vod = vods.get(connection, vod_id)
    if vod is not None and vod.channel:
        return vod.channel
    if settings.twitch_channel or len(settings.channels) == 1:
        return settings.channels[0]
    raise UsageError(
        f"Whose chat is VOD {vod_id}'s?", hint="give --channel NAME", code="channel_needed"
    )


def record(
    database: Database,
    settings: Settings,
    *,
    channel: str,
    vod_id: str,
    start: datetime | None,
    stopping: threading.Event,
    on_begin: Callable[[Recording], None],
) -> Recording:
    """Records until `stopping` is set; returns the recording as it is then.

    Raises:
        Locked: somebody records this channel already.
        SettingsError: TWITCH_IRC_URL or SSL_CERT_FILE cannot be used.
        DatabaseUnavailable: it cannot begin. Once it has begun, it waits for the database.
    """
    worker_id = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
    with _Lease(database, lease_of(channel), worker_id, settings.lease_seconds) as lease:
        if lease.claim is None:
            raise Locked(
                f"The chat of {channel} is being recorded already.",
                hint="vodtender chat status; vodtender chat export gives what there is",
                code="chat_recorded",
            )
        with database.transaction() as connection:
            recording = chat_recordings.begin_manual(
                connection, channel, vod_id, start, datetime.now(UTC)
            )
        on_begin(recording)
        directory = open_directory(settings.data_dir)
        logins = ChatLogins(settings, database, lambda: datetime.now(UTC))
        recorder = ChatRecorder(
            database,
            directory,
            Target.of(recording),
            address=settings.twitch_irc_url,
            login=logins.login,
            worker_id=worker_id,
            reserve_bytes=DownloadRoom(directory, settings.disk_reserve).reserve_bytes,
            chance=random.Random(),  # noqa: S311
        )
        recorder.run(stopping)
        store_left_behind(database, directory)
        with database.transaction() as connection:
            chat_recordings.end(connection, recording.id, datetime.now(UTC))
            return chat_recordings.get(connection, recording.id) or recording


class _Lease:
    """Held, and renewed by a thread of its own, for as long as the block lasts."""

    def __init__(self, database: Database, name: str, worker_id: str, seconds: float) -> None:
        self.claim: int | None = None
        self._database = database
        self._key = (name, worker_id)
        self._seconds = seconds
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="chat lease", daemon=True)

    def __enter__(self) -> _Lease:
        with self._database.transaction() as connection:
            self.claim = leases.take(connection, *self._key, self._seconds)
        if self.claim is not None:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.claim is None:
            return
        self._done.set()
        self._thread.join()
        with suppress(DatabaseUnavailable), self._database.transaction() as connection:
            leases.release(connection, *self._key, self.claim)

    def _keep(self) -> None:
        while not self._done.wait(self._seconds / 4):
            with suppress(DatabaseUnavailable), self._database.transaction() as connection:
                self.claim = leases.take(connection, *self._key, self._seconds) or self.claim
