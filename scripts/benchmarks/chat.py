"""Chat: how fast messages get from the wire into the database, and a flood of half a minute."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil

from scripts.benchmarks.figures import Effort, Figure, Peak, alternating, ratio, told
from tests.sandbox.irc_lines import flood_template
from vodtender.clients.postgres_server import acquire
from vodtender.pipeline.chat_flush import Pace, store_piece
from vodtender.pipeline.chat_journal import Journal, Piece, batches_of
from vodtender.pipeline.chat_recorder import ChatRecorder
from vodtender.pipeline.directory import open_directory
from vodtender.store import chat, chat_recordings
from vodtender.store.chat_recordings import Recording
from vodtender.store.database import Database
from vodtender.store.migrate import migrate

_COPY_LIMIT = 2.0
_INSERT_LIMIT = 1 / 20
_MEMORY_LIMIT_MEGABYTES = 100.0
_LATENCY_LIMIT_SECONDS = 5.0
_CHANNEL = "bench"
_PER_SECOND = 20_000
_SERVER = [sys.executable, "-m", "tests.sandbox.irc_flood"]
_LINES_AT_ONCE = 300
"""About as many as one read from the socket brings in a flood."""
_BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def measure(directory: Path, effort: Effort) -> Iterator[Figure]:
    with acquire(directory / "postgres") as server:
        migrate(server.dsn)
        database = Database(lambda: server.dsn, pool_size=4)
        try:
            with database.transaction() as connection:
                recording = chat_recordings.begin(
                    connection, _CHANNEL, "1", mode="manual", began_at=_BEGAN
                )
            yield from _rates(database, directory, recording, effort)
            yield from _flood(database, directory, recording, effort.choose(5, 30))
        finally:
            database.close()


def _rates(
    database: Database, directory: Path, recording: Recording, effort: Effort
) -> Iterator[Figure]:
    count = effort.choose(20_000, 100_000)
    few = count // 100
    lines, few_lines = _lines(count), _lines(few)
    rows, few_rows = _rows(recording, lines), _rows(recording, few_lines)

    def ours() -> float:
        return _stored(database, directory, recording, lines) / count

    def bare() -> float:
        with _timed(database) as connection, connection.cursor() as cursor:
            began = time.perf_counter()
            with cursor.copy(chat.COPY.format("chat_messages")) as copy:
                for start in range(0, len(rows), 1000):
                    copy.write("".join(rows[start : start + 1000]))
        return (time.perf_counter() - began) / count

    def inserts() -> float:
        fields = [row.rstrip("\n").split("\t") for row in few_rows]
        values = [[None if text == chat.NULL else text for text in row] for row in fields]
        statement = (
            f"INSERT INTO chat_messages ({chat.COLUMNS})"
            f" VALUES ({', '.join(['%s'] * len(values[0]))})"
        )
        _empty(database)
        began = time.perf_counter()
        for row in values:
            with database.transaction() as connection:
                connection.execute(statement, row)
        return (time.perf_counter() - began) / few

    found = alternating(
        effort.choose(3, 5), {"ours": ours, "bare COPY": bare, "INSERT each": inserts}
    )
    detail = ", ".join(
        f"{name} {1 / sorted(taken)[len(taken) // 2]:,.0f}/s" for name, taken in found.items()
    )
    yield Figure(
        "chat into Postgres, time against bare COPY",
        ratio(found, "ours", "bare COPY"),
        _COPY_LIMIT,
        "",
        detail,
    )
    yield Figure(
        "chat into Postgres, time against INSERT each",
        ratio(found, "ours", "INSERT each"),
        _INSERT_LIMIT,
        "",
        told({name: [second * 1e6 for second in taken] for name, taken in found.items()}).replace(
            " s", " us"
        ),
    )


def _lines(count: int) -> list[bytes]:
    template = flood_template(_CHANNEL, "1", "how is it going today?")
    now_ms = int(_BEGAN.timestamp() * 1000)
    chance = random.Random(5)  # ids are in no order, as Twitch's
    return [
        (template % {"id": UUID(int=chance.getrandbits(128)), "ms": now_ms + n, "n": n})
        .rstrip("\r\n")
        .encode()
        for n in range(count)
    ]


def _rows(recording: Recording, lines: Sequence[bytes]) -> list[str]:
    """The same messages as COPY takes them."""
    messages = [m for b in batches_of(Piece(_whole(lines), None, 0)) for m in b.messages]
    return chat.rows(messages, recording.vod_id, recording.channel, recording.began_at)


def _whole(lines: Sequence[bytes]) -> bytes:
    return b"\0c 0 bench 0\n" + b"\n".join(lines) + b"\n"


def _stored(
    database: Database, directory: Path, recording: Recording, lines: Sequence[bytes]
) -> float:
    """How long it takes from lines as the socket brings them to rows."""
    _empty(database)
    with Journal(open_directory(directory), recording.id) as journal:
        began = time.perf_counter()
        for start in range(0, len(lines), _LINES_AT_ONCE):
            journal.lines(lines[start : start + _LINES_AT_ONCE], time.time(), "bench", start)
        while (piece := journal.take()) is not None:
            store_piece(database, recording.id, recording.channel, piece, Pace())
            journal.done(piece)
        return time.perf_counter() - began


def _empty(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute("TRUNCATE chat_messages")


@contextmanager
def _timed(database: Database) -> Iterator[Any]:
    _empty(database)
    with database.transaction() as connection:
        yield connection


def _flood(
    database: Database, directory: Path, recording: Recording, seconds: int
) -> Iterator[Figure]:
    """A server that sends as fast as is promised, and a recorder in this process."""
    _empty(database)
    process = psutil.Process()
    before = process.memory_info().rss
    server = subprocess.Popen(
        [*_SERVER, "--channel", _CHANNEL, f"--per-second={_PER_SECOND}", f"--seconds={seconds}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    address = json.loads(server.stdout.readline())["plain_url"]
    recorder = ChatRecorder(database, open_directory(directory), recording, address=address)
    stopping = threading.Event()
    thread = threading.Thread(target=recorder.run, args=(stopping,), daemon=True)
    with Peak(lambda: process.memory_info().rss, 0.1) as peak:
        thread.start()
        sent = json.loads(server.stdout.readline())
        began, stored = time.monotonic(), 0
        while stored < sent["count"] and time.monotonic() - began < 60:
            time.sleep(0.05)
            stored = _count(database)
        late = time.monotonic() - began
    stopping.set()
    thread.join()
    server.communicate()
    pace = f"{sent['count']:,} sent in {sent['seconds']:.1f} s, {_PER_SECOND:,}/s asked"
    yield Figure("chat flood: messages lost", sent["count"] - stored, 0, "", pace)
    yield Figure("chat flood: stored after the last was sent", late, _LATENCY_LIMIT_SECONDS, " s")
    grown = (peak.value - before) / 1e6
    yield Figure("chat flood: memory grown", grown, _MEMORY_LIMIT_MEGABYTES, " MB")


def _count(database: Database) -> int:
    with database.transaction() as connection:
        row = connection.execute("SELECT count(*) AS n FROM chat_messages").fetchone()
    assert row is not None
    return int(row["n"])
