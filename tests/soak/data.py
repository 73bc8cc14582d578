"""Backups and restores that are killed at random moments, while others write.

After each death: whatever counts as a backup is one, here and in S3; nothing old has gone unless
a newer good one is in its place; and the database is the old one or the restored one, whole.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random

import psycopg

from tests.backups import shelve
from tests.s3 import KEY_ID, SECRET, settings_for
from tests.soak.campaign import working_in
from vodtender.clients.postgres.server import EmbeddedServer, acquire
from vodtender.config.settings import Settings
from vodtender.model.s3_location import S3Location
from vodtender.pipeline.backup_shelf import Entry, LocalShelf
from vodtender.procedures.backup_list import shelves
from vodtender.store.migrate import migrate

_ROOT = Path(__file__).parents[2]
_BUCKET = S3Location("soaked-backups", "db/")
_OLD = 5
_MIN_KEEP = 3
_SHORTER = 0.9
"""The machine has become faster than when it was timed."""
_FILL = """
    INSERT INTO vods (twitch_vod_id, channel, title)
    SELECT n::text, 'c', 'Stream ' || n FROM generate_series(1, 500) AS n;
    INSERT INTO chat_messages ("timestamp", message_id, vod_id, channel, username, message)
    SELECT timestamptz '2026-01-01' + n * interval '1 s', gen_random_uuid()::text, '1', 'c',
        'user' || n % 100, md5(n::text) FROM generate_series(1, {messages}) AS n
"""
_CONTENTS = """
    SELECT (SELECT md5(string_agg(twitch_vod_id || title, ',' ORDER BY id)) FROM vods),
        (SELECT count(*) FROM chat_messages),
        (SELECT count(*) FROM pg_index JOIN pg_class c ON c.oid = indexrelid
            WHERE relnamespace = 'public'::regnamespace AND indisvalid),
        (SELECT count(*) FROM pg_constraint WHERE connamespace = 'public'::regnamespace
            AND convalidated),
        (SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal)
"""
Contents = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class DataPlan:
    """`kills` of each: of backups, and of restores."""

    kills: int = 50
    messages: int = 20_000
    seed: int = 1


@dataclass
class DataFigures:
    """What came of it. `ends`: how often a killed restore left the old database, and the new."""

    plan: DataPlan
    backup_kills: int = 0
    restore_kills: int = 0
    backups_found: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    complaints: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def clean(self) -> bool:
        return not self.complaints

    def line(self) -> str:
        """One line for a person."""
        ends = ", ".join(f"{count} {what}" for what, count in sorted(self.ends.items()))
        return (
            f"data: {self.backup_kills} backups killed, {self.backups_found} good ones found"
            f" afterwards; {self.restore_kills} restores killed ({ends});"
            f" {len(self.complaints)} complaints (seed {self.plan.seed}, {self.seconds:.0f} s)"
        )


def run(plan: DataPlan, directory: Path, s3_endpoint: str) -> DataFigures:
    """The campaign in an empty directory, and in a store where nobody else has a bucket of its
    name."""
    began = time.monotonic()
    figures = DataFigures(plan)
    with acquire(directory / "postgres") as server:
        campaign = _Campaign(plan, directory, server, s3_endpoint, figures)
        campaign.prepare()
        with campaign.writing():
            campaign.kill_backups()
        campaign.kill_restores()
        campaign.finish()
    figures.seconds = time.monotonic() - began
    return figures


@dataclass
class _Campaign:
    plan: DataPlan
    directory: Path
    server: EmbeddedServer
    endpoint: str
    figures: DataFigures

    def __post_init__(self) -> None:
        self.chance = Random(self.plan.seed)
        self.folder = self.directory / "backups"
        self.data = self.directory / "data"
        self.old: set[str] = set()

    def prepare(self) -> None:
        migrate(self.server.dsn)
        with psycopg.connect(self.server.dsn, autocommit=True) as connection:
            connection.execute(_FILL.replace("{messages}", str(self.plan.messages)).encode())
        shelves(self.settings()).s3.store.client.create_bucket(Bucket=_BUCKET.bucket)  # type: ignore[union-attr]
        for days in range(_OLD):
            self.old.add(shelve(self.folder, timedelta(days=3000 + days)).name)

    # --- backups --------------------------------------------------------------------------------

    def kill_backups(self) -> None:
        longest = self._undisturbed("backup")
        while self.figures.backup_kills < self.plan.kills:
            killed = self._killed(longest, "backup")
            self.figures.backup_kills += killed
            longest *= 1 if killed else _SHORTER
            self._judge_backups()
        self._undisturbed("backup")
        self._judge_backups()

    def _judge_backups(self) -> None:
        here = LocalShelf(self.folder).entries()
        for entry in here:
            self._judge(entry, "local", (self.folder / entry.name).read_bytes)
        good = {entry.name for entry in here if entry.problem is None}
        if len(good) < _MIN_KEEP:
            self.figures.complaints.append(f"only {len(good)} backups are left")
        if not good - self.old and not self.old <= good:
            self.figures.complaints.append("old ones went before there was a new one")
        shelf = shelves(self.settings()).s3
        assert shelf is not None
        for entry in shelf.entries():
            if entry.manifest is None:
                continue  # its manifest comes last: nobody takes it for a backup
            at = shelf.prefix / entry.name
            self._judge(entry, "s3", lambda at=at: b"".join(shelf.store.stream(at)))  # type: ignore[misc]
        self.figures.backups_found = len(good - self.old)

    def _judge(self, entry: Entry, place: str, read: Callable[[], bytes]) -> None:
        if entry.manifest is None or entry.problem is not None:
            self.figures.complaints.append(f"{entry.name} ({place}): {entry.problem}")
        elif hashlib.sha256(read()).hexdigest() != entry.manifest.sha256:
            self.figures.complaints.append(f"{entry.name} ({place}) is not what it was")

    @contextmanager
    def writing(self) -> Iterator[None]:
        """As a daemon does: small things, all the time."""
        stop = threading.Event()

        def write() -> None:
            with psycopg.connect(self.server.dsn, autocommit=True) as connection:
                while not stop.wait(0.01):
                    connection.execute(
                        "INSERT INTO kv VALUES ('soak', 'n', '0') ON CONFLICT (channel, key)"
                        " DO UPDATE SET value = (kv.value::int + 1)::text"
                    )

        writer = threading.Thread(target=write)
        writer.start()
        try:
            yield
        finally:
            stop.set()
            writer.join()

    # --- restores -------------------------------------------------------------------------------

    def kill_restores(self) -> None:
        backup = self._contents()
        name = max(entry.name for entry in LocalShelf(self.folder).entries())
        arguments = ("restore", name, "--replace", "--yes")
        self._change()
        changed = self._contents()
        longest = self._undisturbed(*arguments)
        while self.figures.restore_kills < self.plan.kills:
            if self._contents() == backup:
                self._change()
            wanted = f"{_BUCKET}{name}" if self.chance.random() < 0.5 else name
            killed = self._killed(longest, "restore", wanted, "--replace", "--yes")
            self.figures.restore_kills += killed
            longest *= 1 if killed else _SHORTER
            self._judge_database(backup, changed)
            self._forget_aside()
        self._undisturbed(*arguments)
        if self._contents() != backup:
            self.figures.complaints.append("the last restore has not restored")

    def _judge_database(self, backup: Contents, changed: Contents) -> None:
        try:
            found = self._contents()
        except psycopg.Error as error:
            self.figures.complaints.append(f"the database: {error}")
            return
        known = {backup: "left the new database", changed: "the old one"}
        if found not in known:
            self.figures.complaints.append(f"the database is neither of the two: {found}")
        self.figures.ends[known.get(found, "neither")] += 1

    def _change(self) -> None:
        with psycopg.connect(self.server.dsn, autocommit=True) as connection:
            connection.execute(
                "INSERT INTO vods (id, twitch_vod_id, channel, title) OVERRIDING SYSTEM VALUE"
                " VALUES (100000, '100000', 'c', 'since')"
            )

    def _contents(self) -> Contents:
        with psycopg.connect(self.server.dsn, autocommit=True) as connection:
            row = connection.execute(_CONTENTS.encode()).fetchone()
        assert row is not None
        return row

    def _forget_aside(self) -> None:
        """What restores have put aside, as their user would some day."""
        for name in self._databases():
            if "_before_" in name:
                with psycopg.connect(self.server.admin_dsn, autocommit=True) as connection:
                    connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())

    def _databases(self) -> list[str]:
        with psycopg.connect(self.server.admin_dsn) as connection:
            return [row[0] for row in connection.execute("SELECT datname FROM pg_database")]

    # --- both -----------------------------------------------------------------------------------

    def finish(self) -> None:
        """What deaths have left is gone after the last run."""
        left = [str(path) for path in self.folder.rglob(".tmp-*")]
        left += [str(path) for path in self.temporary.glob("vodtender-*")]
        left += [name for name in self._databases() if "scratch" in name]
        left += [str(process) for process in working_in(self.data)]
        self.figures.complaints += [f"left behind: {what}" for what in left]

    @property
    def temporary(self) -> Path:
        path = self.directory / "tmp"
        path.mkdir(exist_ok=True)
        return path

    def settings(self) -> Settings:
        return settings_for(self.endpoint, backup_dir=self.folder, backup_s3_url=_BUCKET)

    def _environ(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(_ROOT),
            "TMPDIR": str(self.temporary),
            "DATA_DIR": str(self.data),
            "DB_DSN": self.server.dsn,
            "DB_ADMIN_DSN": self.server.admin_dsn,
            "BACKUP_DIR": str(self.folder),
            "BACKUP_MIN_KEEP": str(_MIN_KEEP),
            "BACKUP_S3_URL": str(_BUCKET),
            "AWS_ACCESS_KEY_ID": KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.endpoint,
            "NO_PROXY": "127.0.0.1",
        }

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.directory / "said").open("wb") as said:
            return subprocess.Popen(
                [sys.executable, "-m", "vodtender", *arguments],
                env=self._environ(),
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
            )

    def _undisturbed(self, *arguments: str) -> float:
        """How long it takes."""
        began = time.monotonic()
        status = self._start(*arguments).wait(300)
        if status:
            said = (self.directory / "said").read_text("utf-8", "replace")
            self.figures.complaints.append(f"{arguments[0]} ended with {status}: {said}")
        return time.monotonic() - began

    def _killed(self, longest: float, *arguments: str) -> bool:
        """Killed somewhere on its way; False if it had ended before."""
        process = self._start(*arguments)
        try:
            process.wait(self.chance.uniform(0.15, 1.0) * longest)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            return True
        return False
