"""A flood of chat while its recorder is killed and its database is stopped, and the comparison of
what was sent with what is stored, message by message."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

from tests.sandbox.certificates import Certificates
from tests.sandbox.irc import Chat
from tests.sandbox.irc_lines import message_id
from tests.sandbox.vods import Catalog
from vodtender.clients.postgres.server import EmbeddedServer, acquire
from vodtender.errors import DatabaseUnavailable
from vodtender.store import chat_recordings
from vodtender.store.chat_recordings import Recording
from vodtender.store.database import Database
from vodtender.store.migrate import migrate

_CHANNEL = "soak"
_END_SECONDS = 300.0
_LOST_SECONDS = 1.0
"""What was said so shortly before a kill may be lost, and is no fault."""


@dataclass(frozen=True, slots=True)
class ChatPlan:
    """How much trouble. The recorder is killed so often, each time after it has listened for
    `life_seconds`; then the database's processes are stopped for `away_seconds`."""

    name: str
    per_second: int
    kills: int
    life_seconds: float
    away_seconds: float


@dataclass(frozen=True, slots=True)
class ChatFigures:
    """What came of it. `complaints` is empty if all was well."""

    plan: ChatPlan
    sent: int
    unheard: int
    near_kills: int
    back_seconds: float
    journal_bytes: int
    memory_bytes: int
    complaints: list[str]

    def line(self) -> str:
        return (
            f"{self.plan.name}: {self.sent:,} sent at {self.plan.per_second:,}/s,"
            f" {self.plan.kills} kills, {self.unheard:,} while nobody listened,"
            f" {self.near_kills} lost within {_LOST_SECONDS:g} s before a kill;"
            f" database stopped {self.plan.away_seconds:g} s,"
            f" all stored {self.back_seconds:.1f} s after it was back,"
            f" journal {self.journal_bytes / 1e6:.0f} MB, memory {self.memory_bytes / 1e6:.0f} MB;"
            f" {len(self.complaints)} complaints"
        )


def run(plan: ChatPlan, directory: Path) -> ChatFigures:
    """Runs it all; takes as long as the plan says, and a while."""
    chat = Chat(Catalog(), Certificates(), {})
    chat.catalog.add_channel(_CHANNEL)
    chat.start()
    try:
        # Durable: what a server that does not wait for its disk has taken may go with it.
        with acquire(directory / "postgres") as server:
            migrate(server.dsn)
            database = Database(lambda: server.dsn)
            try:
                return _Campaign(plan, directory, chat, server, database).run()
            finally:
                database.close()
    finally:
        chat.stop()


class _Campaign:
    def __init__(
        self,
        plan: ChatPlan,
        directory: Path,
        chat: Chat,
        server: EmbeddedServer,
        database: Database,
    ) -> None:
        self.plan = plan
        self.directory = directory
        self.chat = chat
        self.server = server
        self.database = database
        self.kills: list[tuple[int, int]] = []
        """The messages that were next to be sent just before, and once the server knew of it."""
        self.journal_bytes = self.memory_bytes = 0
        with database.transaction() as connection:
            self.recording: Recording = chat_recordings.begin(
                connection, _CHANNEL, "7", mode="manual", began_at=datetime.now(UTC)
            )

    def run(self) -> ChatFigures:
        recorder = self._start()
        try:
            with self._talk():
                for _ in range(self.plan.kills):
                    self._listen()
                    before = self._number
                    recorder.kill()
                    recorder.wait()
                    self._wait_unheard()
                    self.kills.append((before, self._number))
                    recorder = self._start()
                self._listen()
                self._stop_database(recorder.pid)
                back_at = time.monotonic()
                self._listen()
            while not self._is_stored():
                assert time.monotonic() < back_at + _END_SECONDS
                time.sleep(0.1)
            back_seconds = time.monotonic() - back_at
        finally:
            recorder.kill()
            recorder.wait()
        return self._judged(back_seconds)

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.pipeline.chat_worker", self.server.dsn]
        command += [str(self.directory), str(self.recording.id), self.chat.plain_url]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL)

    def _listen(self) -> None:
        self.chat.wait_joined(_CHANNEL, timeout_seconds=120)
        time.sleep(self.plan.life_seconds)

    def _wait_unheard(self) -> None:
        """Until the server has said something that it knows nobody heard."""
        deadline = time.monotonic() + 30
        while self.chat.floods[-1].heard[-1:] != [0]:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    @contextmanager
    def _talk(self) -> Iterator[None]:
        enough = threading.Event()

        def talk() -> None:
            while not enough.is_set():
                self.chat.flood(_CHANNEL, per_second=self.plan.per_second, seconds=0.5)

        talker = threading.Thread(target=talk)
        talker.start()
        try:
            yield
        finally:
            enough.set()
            talker.join()

    @property
    def _number(self) -> int:
        last = self.chat.floods[-1]
        return last.first + len(last.heard)

    def _stop_database(self, recorder: int) -> None:
        path = self.directory / "postgres" / "data" / "postmaster.pid"
        postmaster = psutil.Process(int(path.read_text().split()[0]))
        os.kill(postmaster.pid, signal.SIGQUIT)
        postmaster.wait(30)
        until = time.monotonic() + self.plan.away_seconds
        while time.monotonic() < until:
            kept = (self.directory / "in-progress").rglob("*.log")
            self.journal_bytes = max(self.journal_bytes, sum(p.stat().st_size for p in kept))
            memory = psutil.Process(recorder).memory_info().rss
            self.memory_bytes = max(self.memory_bytes, memory)
            time.sleep(0.05)
        self.server.ensure_running()

    def _is_stored(self) -> bool:
        """Whether the last message that was heard is there, and nothing is on its way."""
        if any(client.unsent for client in self.chat.clients):
            return False
        last = max(number for number, heard in self._sent() if heard)
        try:
            with self.database.transaction() as connection:
                found = connection.execute(
                    "SELECT FROM chat_messages WHERE vod_id = '7' AND message_id = %s",
                    (message_id(last),),
                ).fetchone()
                return found is not None
        except DatabaseUnavailable:
            return False

    def _sent(self) -> Iterator[tuple[int, int]]:
        """Each message's number, and by how many it was heard."""
        for flood in self.chat.floods:
            yield from enumerate(flood.heard, flood.first)

    def _judged(self, back_seconds: float) -> ChatFigures:
        with self.database.transaction() as connection:
            rows = connection.execute("SELECT message_id, message FROM chat_messages").fetchall()
            gaps = chat_recordings.gaps(connection, "7")
        stored = {row["message_id"]: row["message"] for row in rows}
        sent = dict(self._sent())
        complaints, near = [], 0
        for number, heard in sent.items():
            text = stored.pop(message_id(number), None)
            if text is None and heard:
                if self._is_near_a_kill(number):
                    near += 1
                else:
                    complaints.append(f"message {number} is lost")
            elif text is not None and text != f"flood {number}":
                complaints.append(f"message {number} has become {text!r}")
        complaints += [f"{one} was never sent" for one in stored]
        unheard = sum(not heard for heard in sent.values())
        told = sum((gap.to_at - gap.from_at).total_seconds() for gap in gaps if gap.to_at)
        if told < unheard / self.plan.per_second - 1:
            complaints.append(f"gaps of {told:.1f} s do not tell of {unheard} unheard messages")
        if len(rows) != len({row["message_id"] for row in rows}):
            complaints.append("messages are stored twice")
        return ChatFigures(
            self.plan,
            len(sent),
            unheard,
            near,
            back_seconds,
            self.journal_bytes,
            self.memory_bytes,
            complaints[:20],
        )

    def _is_near_a_kill(self, number: int) -> bool:
        before = self.plan.per_second * _LOST_SECONDS
        return any(at - before <= number <= known for at, known in self.kills)
