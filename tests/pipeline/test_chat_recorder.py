"""A recorder against the sandbox's chat server and a real database."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.postgres import AwayDatabase
from tests.sandbox.world import World
from vodtender import metrics
from vodtender.clients.twitch.irc import ChatLogin, Patience
from vodtender.errors import DatabaseUnavailable, Locked
from vodtender.model.backoff import Backoff
from vodtender.pipeline import chat_journal, chat_pieces
from vodtender.pipeline.chat_flush import store_left_behind
from vodtender.pipeline.chat_journal import Journal
from vodtender.pipeline.chat_recorder import RECONNECT, ChatRecorder, Manner
from vodtender.pipeline.chat_target import Stream, Target
from vodtender.pipeline.directory import DataDirectory, open_directory
from vodtender.store import chat_recordings
from vodtender.store.chat import Batch
from vodtender.store.chat_recordings import RecordedGap, Recording
from vodtender.store.database import Database

HASTY = Manner(
    Patience(join_seconds=1, idle_seconds=0.3, answer_seconds=0.3),
    Backoff(10**9, timedelta(milliseconds=50), timedelta(milliseconds=200)),
    overlap_seconds=0.3,
)


@pytest.fixture
def database(database_dsn: str) -> Iterator[Database]:
    opened = Database(lambda: database_dsn, pool_size=4)
    yield opened
    opened.close()


class Chat:
    """The channel `alice`, what is said there, and what of it is stored."""

    def __init__(self, world: World, database: Database, root: Path) -> None:
        world.add_channel("alice")
        self.server = world.chat
        self.database = database
        self.directory: DataDirectory = open_directory(root)
        with database.transaction() as connection:
            self.recording = chat_recordings.begin(
                connection, "alice", "7", mode="manual", began_at=datetime.now(UTC)
            )

    @contextmanager
    def recorded(
        self, manner: Manner = HASTY, login: Callable[[], ChatLogin | None] = lambda: None
    ) -> Iterator[ChatRecorder]:
        recorder = ChatRecorder(
            self.database,
            self.directory,
            Target.of(self.recording),
            address=self.server.plain_url,
            manner=manner,
            login=login,
        )
        stopping, failures = threading.Event(), list[BaseException]()

        def run() -> None:
            try:
                recorder.run(stopping)
            except BaseException as error:
                failures.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            self.server.wait_joined("alice")
            yield recorder
        finally:
            stopping.set()
            thread.join(20)
        assert not thread.is_alive()
        assert not failures

    def stored(self) -> dict[str, str]:
        with self.database.transaction() as connection:
            return {
                row["message_id"]: row["message"]
                for row in connection.execute("SELECT message_id, message FROM chat_messages")
            }

    def said(self) -> dict[str, str]:
        """What was said while somebody listened."""
        single = {said.id: said.text for said in self.server.said if said.heard}
        return single | {
            one: text
            for flood in self.server.floods
            for one, text in zip(
                flood.ids(), (f"flood {n}" for n in range(flood.first, 10**9)), strict=False
            )
        }

    def wait_stored(self, *, timeout_seconds: float = 30) -> None:
        """Until all that was said is there, word for word, and nothing else."""
        self.wait(lambda: self.stored() == self.said(), timeout_seconds)

    def wait(self, condition: Callable[[], bool], timeout_seconds: float = 20) -> None:
        deadline = time.monotonic() + timeout_seconds
        while True:
            with contextlib.suppress(DatabaseUnavailable):
                if condition():
                    return
            assert time.monotonic() < deadline
            time.sleep(0.02)

    @property
    def now(self) -> Recording:
        with self.database.transaction() as connection:
            found = chat_recordings.get(connection, self.recording.id)
        assert found is not None
        return found

    @property
    def gaps(self) -> list[RecordedGap]:
        """But for the time before the recording began."""
        with self.database.transaction() as connection:
            found = chat_recordings.gaps(connection, "7")
        return [gap for gap in found if gap.why != "before the recording began"]

    @property
    def left_on_disk(self) -> list[str]:
        return chat_journal.left_behind(self.directory)


@pytest.fixture
def chat(in_world: World, database: Database, tmp_path: Path) -> Chat:
    return Chat(in_world, database, tmp_path)


def test_all_that_is_said_is_stored_within_a_second_and_nothing_stays_on_the_disk(
    chat: Chat,
) -> None:
    before = metrics.chat_messages.labels("alice")._value.get()
    with chat.recorded():
        for number in range(20):
            chat.server.say("alice", f"message {number} \\ \t x", user=f"user{number}")
        chat.wait_stored()
        chat.wait(lambda: chat.now.identity is not None)
    assert metrics.chat_messages.labels("alice")._value.get() == before + 20
    assert chat.left_on_disk == []
    assert chat.now.messages == 20
    assert chat.now.connected_since is None
    assert chat.gaps == []


def test_marks_and_notices_are_stored_too(chat: Chat) -> None:
    with chat.recorded():
        first = chat.server.say("alice", "bad", user="bob")
        chat.server.say("alice", "worse", user="carol")
        chat.server.delete(first)
        chat.server.clear("alice", "carol", 600)
        chat.server.event("alice", "USERNOTICE", "thanks", id="n-1", login="dave", msg_id="sub")
        chat.wait(lambda: len(chat.stored()) == 3)
    with chat.database.transaction() as connection:
        rows = {row["username"]: row for row in chat_recordings.messages(connection, "7")}
    assert [rows[name]["deleted_at"] is not None for name in ("bob", "carol", "dave")] == [
        True,
        True,
        False,
    ]
    assert (rows["dave"]["kind"], rows["dave"]["notice"]) == ("usernotice", "sub")


def test_what_is_broken_on_the_wire_hurts_nothing(chat: Chat) -> None:
    with chat.recorded():
        chat.server.piece_bytes = 7
        chat.server.say("alice", "in pieces")
        chat.server.piece_bytes = None
        chat.server.raw("alice", b":x!x@x PRIVMSG #alice :\xff\xfe bad \0 bytes\r\n\r\n@;;= :\r\n")
        chat.server.raw("alice", b"".join(b":u%d!u@x JOIN #alice\r\n" % n for n in range(20_000)))
        long = chat.server.say("alice", "y" * 8000)
        chat.wait(lambda: long.id in chat.stored())
    stored = chat.stored()
    assert set(stored.values()) == {"in pieces", "�� bad � bytes", "y" * 8000}


def test_reconnect_hands_over_without_a_gap_and_without_doubles(chat: Chat) -> None:
    with chat.recorded():
        talking = threading.Event()

        def talk() -> None:
            while not talking.wait(0.002):
                chat.server.say("alice", "on and on")

        talker = threading.Thread(target=talk)
        talker.start()
        chat.server.reconnect()
        chat.server.wait_joined("alice", 2)
        chat.server.wait_joined("alice", 1)
        talking.set()
        talker.join()
        chat.wait_stored()
        chat.wait(lambda: chat.now.reconnections == 1)
    assert any(said.heard == 2 for said in chat.server.said)
    assert all(said.heard for said in chat.server.said)
    assert chat.gaps == []


def test_a_cut_is_mended_and_noted(chat: Chat) -> None:
    with chat.recorded():
        chat.server.say("alice", "before")
        chat.wait_stored()
        chat.server.refusing = True
        chat.server.cut()
        chat.wait(lambda: [gap.to_at for gap in chat.gaps] == [None])
        chat.wait(lambda: chat.now.connected_since is None)
        chat.server.say("alice", "to nobody")
        chat.server.refusing = False
        chat.server.wait_joined("alice")
        chat.server.say("alice", "after")
        chat.wait_stored()
        chat.wait(lambda: all(gap.to_at is not None for gap in chat.gaps))
    (gap,) = chat.gaps
    assert "ended the connection" in gap.why or "broke" in gap.why
    said = {
        said.text: datetime.fromtimestamp(said.sent_ms / 1000, UTC) for said in chat.server.said
    }
    assert gap.to_at is not None
    assert gap.from_at <= said["to nobody"] <= gap.to_at


def test_a_server_that_has_gone_silent_is_left(chat: Chat) -> None:
    with chat.recorded():
        chat.server.say("alice", "before")
        chat.wait_stored()
        chat.server.frozen = True
        chat.server.wait(lambda server: server.connections >= 2)
        chat.server.frozen = False
        chat.server.wait_joined("alice")
        chat.server.say("alice", "after")
        chat.wait_stored()
    assert ["no sign of life" in gap.why for gap in chat.gaps] == [True]


def test_a_refused_login_is_told_and_reading_goes_on_without_it(chat: Chat) -> None:
    asked: list[ChatLogin] = [ChatLogin("bot", "wrong")]
    with chat.recorded(login=lambda: asked[-1]):
        chat.server.say("alice", "hello")
        chat.wait_stored()
        chat.wait(lambda: (chat.now.identity or "").startswith("justinfan"))
        assert "refuses the login as bot" in (chat.now.problem or "")
        chat.server.cut()
        chat.server.wait_joined("alice")
    assert sum(line.startswith("NICK bot") for line in chat.server.received) == 1


def test_nothing_is_lost_while_the_database_is_away(
    chat: Chat, database_away: AwayDatabase
) -> None:
    with chat.recorded():
        chat.server.say("alice", "before")
        chat.wait_stored()
        with database_away():
            chat.server.flood("alice", per_second=2000, seconds=0.5)
            chat.wait(lambda: chat.left_on_disk == [str(chat.recording.id)])
        chat.wait_stored()
    assert chat.gaps == []
    assert chat.left_on_disk == []


def test_what_a_stopped_recorder_could_not_store_another_one_stores(
    chat: Chat, database_away: AwayDatabase
) -> None:
    with database_away(), chat.recorded():
        chat.server.say("alice", "nobody can store me")
        files = chat_journal.chat_directory(chat.directory)
        chat.wait(lambda: any(b"nobody" in one.read_bytes() for one in files.rglob("*.log")))
    assert chat.left_on_disk == [str(chat.recording.id)]
    chat.wait(lambda: store_left_behind(chat.database, chat.directory) == 1)
    assert chat.stored() == chat.said()
    assert chat.left_on_disk == []


def test_a_stream_that_began_and_ended_without_the_database_is_stored_by_another_process(
    chat: Chat,
) -> None:
    began_at = datetime.now(UTC) - timedelta(seconds=100)
    target = Target.begun(Stream("alice", "42", began_at))
    lines = [b"@id=1;tmi-sent-ts=%d :a PRIVMSG #alice :hello" % (began_at.timestamp() * 1000)]
    with Journal(chat.directory, target.journal_name, note=target.note) as journal:
        journal.resumed(began_at)
        journal.lines(lines, time.time(), "c", 0)
    assert store_left_behind(chat.database, chat.directory) == 1
    with chat.database.transaction() as connection:
        (found,) = chat_recordings.of_vod(connection, "live-42")
    assert (found.channel, found.stream_id, found.began_at) == ("alice", "42", began_at)
    assert found.messages == 1
    assert found.ended_at is not None
    assert chat.left_on_disk == []


def test_what_gathers_leaves_the_reserve_free_and_says_what_was_lost(
    chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat_journal, "_SEGMENT_BYTES", 1000)
    monkeypatch.setattr(chat_journal, "_MEMORY_BYTES", 1000)
    with Journal(chat.directory, "5", reserve_bytes=10**18) as journal:
        for number in range(10):
            assert (journal.trouble is None) == (number < 4)
            journal.lines([b":a PRIVMSG #alice :%d" % number + b"x" * 300], number, "c", number)
        assert "being lost" in (journal.trouble or "")
        assert sum(path.stat().st_size for path in journal.root.glob("*.log")) < 2000
    # What was in memory, and that something is missing, goes to the disk in the end.
    with Journal(chat.directory, "5") as journal:
        batches = list[Batch]()
        while (piece := journal.take()) is not None:
            batches += chat_pieces.batches_of(piece)
            journal.done(piece)
    texts = [message.message.rstrip("x") for batch in batches for message in batch.messages]
    assert texts == ["0", "1", "2", "3", "4"]
    assert [gap.why for batch in batches for gap in batch.gaps] == [
        "neither the database nor the disk took it"
    ]


def test_a_server_that_never_ends_its_handshake_does_not_keep_the_recorder_from_stopping(
    chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    stopping = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)
        recorder = ChatRecorder(
            chat.database,
            chat.directory,
            Target.of(chat.recording),
            address=f"ircs://127.0.0.1:{server.getsockname()[1]}",
        )
        thread = threading.Thread(target=recorder.run, args=(stopping,))
        thread.start()
        accepted, _ = server.accept()
        with accepted:
            stopping.set()
            thread.join(10)
            assert not thread.is_alive()


def test_killing_the_recorder_loses_nothing_that_it_had_heard(
    chat: Chat, database_dsn: str, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "tests.pipeline.chat_worker", database_dsn, str(tmp_path)]
    command += [str(chat.recording.id), chat.server.plain_url]
    for number in range(2):
        with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
            chat.server.wait_joined("alice", timeout_seconds=30)
            chat.server.flood("alice", per_second=4000, seconds=0.5, text="flood")
            chat.server.wait(lambda server: not any(client.unsent for client in server.clients))
            last = chat.server.say("alice", f"end of {number}")
            chat.wait(lambda last=last: last.id in chat.stored(), 30)  # type: ignore[misc]
            chat.server.flood("alice", per_second=4000, seconds=0.1, text="flood")
            process.kill()
        chat.server.wait_joined("alice", 0)
    late = {one for flood in chat.server.floods[1::2] for one in flood.ids()}
    store_left_behind(chat.database, chat.directory)
    stored, said = chat.stored(), chat.said()
    assert stored.items() <= said.items()
    # What was on its way in the very moment of the kill may be missing.
    assert set(said) - set(stored) <= late
    assert [gap.why for gap in chat.gaps] == ["nobody recorded"]


def test_a_recording_is_in_one_processs_hands(chat: Chat) -> None:
    with Journal(chat.directory, "5"), pytest.raises(Locked):
        Journal(chat.directory, "5")
    Journal(chat.directory, "5").close()


def test_what_the_disk_does_not_take_is_kept_in_memory_up_to_a_limit(
    chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat_journal, "_MEMORY_BYTES", 300)
    with Journal(chat.directory, "5") as journal:
        journal.root = chat.directory.root / "gone"
        journal.lines([b":a PRIVMSG #alice :" + b"x" * 200], 1.0, "c", 0)
        journal.lines([b":a PRIVMSG #alice :" + b"y" * 200], 2.0, "c", 1)
        first = journal.take()
        assert first is not None
        assert b"xxx" in first.data
        journal.done(first)
        journal.lines([b":a PRIVMSG #alice :z"], 3.0, "c", 2)
        second = journal.take()
        assert second is not None
        journal.done(second)
        batches = list(chat_pieces.batches_of(second))
        assert [m.message for b in batches for m in b.messages] == ["z"]
        assert [gap.why for b in batches for gap in b.gaps] == [
            "neither the database nor the disk took it"
        ]
        assert journal.take() is None


def test_tries_of_a_connection_grow_from_a_second_to_a_minute_without_end() -> None:
    waits = [RECONNECT.wait(failures, 0.0).total_seconds() for failures in (1, 2, 3, 7, 10**6)]
    assert waits == [1, 2, 4, 60, 60]
    assert RECONNECT.wait(1, 0.99) > timedelta(milliseconds=500)
