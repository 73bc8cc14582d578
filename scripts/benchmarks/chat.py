"""Chat: how fast messages get from the wire into the database, and a flood of half a minute."""

from __future__ import annotations

import json
import random
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal
from uuid import UUID

import psutil

from scripts.benchmarks.figures import Effort, Figure, Peak, alternating
from tests.sandbox.irc_lines import flood_template
from vodtender.clients.postgres.server import acquire
from vodtender.pipeline.chat_flush import Pace, store_piece
from vodtender.pipeline.chat_journal import Journal
from vodtender.pipeline.chat_pieces import Piece, batches_of
from vodtender.pipeline.chat_recorder import ChatRecorder
from vodtender.pipeline.chat_target import Target
from vodtender.pipeline.directory import open_directory
from vodtender.store import chat_recordings, chat_rows
from vodtender.store.chat_recordings import Recording
from vodtender.store.chat_rows import Home
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
    """The same rows into the same table with its indexes, one way after the other, in rounds:
    ours from the lines that the socket brings, the others from rows that are made already."""
    count = effort.choose(20_000, 100_000)
    few = count // 100
    lines, few_lines = _lines(count), _lines(few)
    rows, few_rows = _rows(recording, lines), _rows(recording, few_lines)
    processor = _Processor(database)

    def ours() -> Spent:
        _empty(database)
        with (
            Journal(open_directory(directory), str(recording.id)) as journal,
            processor.spent() as spent,
        ):
            for start in range(0, len(lines), _LINES_AT_ONCE):
                some = lines[start : start + _LINES_AT_ONCE]
                journal.lines(some, time.time(), "bench", start)
            while (piece := journal.take()) is not None:
                store_piece(database, recording.id, recording.channel, piece, Pace())
                journal.done(piece)
        return spent.per(count)

    def bare() -> Spent:
        _empty(database)
        copying = chat_rows.COPY.format("chat_messages")
        with (
            processor.spent() as spent,
            database.transaction() as connection,
            connection.cursor() as cursor,
            cursor.copy(copying) as copy,
        ):
            for start in range(0, len(rows), 1000):
                copy.write("".join(rows[start : start + 1000]))
        return spent.per(count)

    def inserts() -> Spent:
        fields = [row.rstrip("\n").split("\t") for row in few_rows]
        values = [[None if text == chat_rows.NULL else text for text in row] for row in fields]
        statement = (
            f"INSERT INTO chat_messages ({chat_rows.COLUMNS})"
            f" VALUES ({', '.join(['%s'] * len(values[0]))})"
        )
        _empty(database)
        with processor.spent() as spent:
            for row in values:
                with database.transaction() as connection:
                    connection.execute(statement, row)
        return spent.per(few)

    found = alternating(
        effort.choose(3, 9), {"ours": ours, "bare COPY": bare, "INSERT each": inserts}
    )
    yield _against(found, "bare COPY", "wall", _COPY_LIMIT)
    yield _against(found, "bare COPY", "cpu", _COPY_LIMIT)
    yield _against(found, "INSERT each", "wall", _INSERT_LIMIT)


def _against(
    found: Mapping[str, Sequence[Spent]], theirs: str, what: Literal["wall", "cpu"], limit: float
) -> Figure:
    """Of each round by itself, so that a machine that others load in between is no matter."""
    taken = {name: [getattr(one, what) for one in found[name]] for name in ("ours", theirs)}
    rounds = [a / b for a, b in zip(taken["ours"], taken[theirs], strict=True)]
    micro = ", ".join(
        f"{name} {statistics.median(of) * 1e6:.1f} us a row" for name, of in taken.items()
    )
    return Figure(
        f"chat into Postgres, {'time' if what == 'wall' else 'CPU'} against {theirs}",
        statistics.median(rounds),
        limit,
        "",
        f"{micro}; rounds {min(rounds):.2f}-{max(rounds):.2f};"
        f" {1 / statistics.median(taken['ours']):,.0f} a second",
    )


@dataclass(slots=True)
class Spent:
    """Seconds by the clock, and of processor time: ours and the database server's."""

    wall: float = 0.0
    cpu: float = 0.0

    def per(self, count: int) -> Spent:
        return Spent(self.wall / count, self.cpu / count)


class _Processor:
    """Measures what this process and all of the server's together take."""

    def __init__(self, database: Database) -> None:
        with database.transaction() as connection:
            row = connection.execute("SELECT pg_backend_pid() AS pid").fetchone()
        assert row is not None
        backend = psutil.Process(row["pid"]).parent()
        assert backend is not None
        self._server = backend

    @contextmanager
    def spent(self) -> Iterator[Spent]:
        spent = Spent()
        wall, before = time.perf_counter(), self._so_far()
        yield spent
        after = self._so_far()
        spent.wall = time.perf_counter() - wall
        # What has ended meanwhile has taken next to nothing.
        spent.cpu = sum(max(0.0, after[pid] - before.get(pid, 0.0)) for pid in after)

    def _so_far(self) -> dict[int, float]:
        found = {0: time.process_time()}
        for process in self._server.children():
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                found[process.pid] = times.user + times.system
        return found


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
    home = Home(recording.vod_id, recording.channel, recording.began_at)
    batches = list(batches_of(Piece(_whole(lines), None, 0)))
    made = "".join(chat_rows.of_plain(batch.plain, home) for batch in batches)
    return made.splitlines(keepends=True)


def _whole(lines: Sequence[bytes]) -> bytes:
    return b"\0c 0 bench 0\n" + b"\n".join(lines) + b"\n"


def _empty(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute("TRUNCATE chat_messages")


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
    recorder = ChatRecorder(
        database, open_directory(directory), Target.of(recording), address=address
    )
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
