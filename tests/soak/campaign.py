"""A queue of VODs, daemons that are killed at random moments, and the count afterwards."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random

import psutil

from tests.sandbox.world import World
from tests.soak.daemon import Daemon, command
from tests.soak.relay import Badness, Relay
from tests.soak.verdict import Verdict, judge
from tests.soak.watch import Watch
from vodtender.clients.postgres.place import DATABASE, PORT, ROLE
from vodtender.clients.postgres.server import EmbeddedServer, acquire
from vodtender.errors import Exit

CHANNEL = "soak"
_BYTES_PER_SECOND = 400_000
_OLDEST = timedelta(days=10)
_FEW = 4
_LIFE_SECONDS = (0.3, 3.5)
"""Where a command takes a second or less; longer on a machine that is busy, where all does."""
_LONGEST_COMMAND_SECONDS = 5.0
_DATABASE_LIFE_SECONDS = (3.0, 9.0)
_END_SECONDS = 300.0
_WEB = Badness(cut=0.004, delay=0.02, corrupt=0.002)
_DATABASE = Badness(cut=0.003, delay=0.01)
_SETTINGS = {
    "TWITCH_CHANNEL": CHANNEL,
    "HTTP_ADDR": "127.0.0.1:0",
    "LEASE_SECONDS": "10",
    "VOD_PROCESS_INTERVAL": "5s",
    "UPLOAD_CHUNK_SIZE": "256KiB",
    "UPLOAD_DAILY_LIMIT": "1000000",
    "BACKFILL_UPLOAD_DAILY_LIMIT": "1000000",
    "YT_QUOTA_UNITS_PER_DAY": "1000000000",
    "UPLOAD_ABSENCE_WAIT": "10s",
    "RETAIN_KEEP_NEWER_THAN_DAYS": "0",
    "CIRCUIT_OPEN_COOLDOWN": "2s",
    "PROCESSING_RETRY_COOLDOWN": "3s",
    "DOWNLOAD_BACKOFF_BASE": "500ms",
    "UPLOAD_BACKOFF_BASE": "500ms",
    "DATA_CLEANUP_MAX_AGE": "1s",
    "DISK_RESERVE": "0",
    "LOG_LEVEL": "debug",
}
"""Waits are short, so that hours of trouble take minutes."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is done to the system. `kills` counts daemons; the database is killed besides."""

    name: str
    kills: int
    vods: int = 30
    daemons: int = 1
    kill_database: bool = False
    bad_network: bool = False
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Figures:
    """What came of it."""

    plan: Plan
    vods: int
    database_kills: int
    cuts: int
    hung: int
    longest_recovery_seconds: float
    seconds: float
    verdict: Verdict

    @property
    def clean(self) -> bool:
        return self.verdict.clean and not self.hung

    def line(self) -> str:
        """One line for a person."""
        text = (
            f"{self.plan.name}: {self.plan.kills} kills, {self.vods} VODs,"
            f" {self.verdict.duplicates} duplicates, {self.verdict.losses} losses,"
            f" {self.hung} hung, longest recovery {self.longest_recovery_seconds:.1f} s"
        )
        if self.plan.kill_database:
            text += f", {self.database_kills} kills of the database"
        if self.plan.bad_network:
            text += f", {self.cuts} connections cut"
        return f"{text} (seed {self.plan.seed}, {self.seconds:.0f} s)"


def run(plan: Plan, directory: Path) -> Figures:
    """One campaign in an empty directory."""
    began = time.monotonic()
    with ExitStack() as stack:
        server = stack.enter_context(acquire(directory / "postgres", durable=plan.kill_database))
        campaign = stack.enter_context(_campaign(plan, directory, server))
        campaign.log_in()
        campaign.harass()
        campaign.finish()
        verdict = judge(campaign.world, server.dsn, campaign.data)
        verdict = campaign.with_survivors(verdict)
        return Figures(
            plan=plan,
            vods=len(campaign.world.catalog.vods),
            database_kills=campaign.database_kills,
            cuts=sum(relay.cuts for relay in campaign.relays),
            hung=campaign.hung,
            longest_recovery_seconds=campaign.watch.longest_recovery_seconds,
            seconds=time.monotonic() - began,
            verdict=verdict,
        )


@contextmanager
def _campaign(plan: Plan, directory: Path, server: EmbeddedServer) -> Iterator[Campaign]:
    world = World()
    uploads = directory / "uploads"
    uploads.mkdir()
    world.youtube.save_to = uploads
    campaign = Campaign(plan, directory, server, world, Watch(server.dsn))
    with world:
        for _ in range(plan.vods):
            campaign.add_vod()
        world.faults.delay(0.05, host="youtube.googleapis.com", path="/upload/*", times=None)
        campaign.connect()
        try:
            yield campaign
        finally:
            campaign.end()


@dataclass
class Campaign:
    plan: Plan
    directory: Path
    server: EmbeddedServer
    world: World
    watch: Watch
    database_kills: int = 0
    hung: int = 0
    relays: list[Relay] = field(default_factory=list)
    _daemons: list[Daemon] = field(default_factory=list)
    _environ: dict[str, str] = field(default_factory=dict)
    _command_seconds: float = 0.0

    def __post_init__(self) -> None:
        self.chance = Random(self.plan.seed)
        self.data = self.directory / "data"

    def add_vod(self) -> None:
        """Each vanishes later than those before it, so that what was begun also goes on first."""
        age = _OLDEST - timedelta(minutes=len(self.world.catalog.vods))
        vod = self.world.add_vod(CHANNEL, segment_count=self.chance.randint(4, 9), age=age)
        for segment in vod.segments:
            segment.bytes_per_second = _BYTES_PER_SECOND

    def connect(self) -> None:
        """The ways to the outside and to the database, good or bad."""
        env = {**os.environ, **self.world.env(), **self.world.settings(), **_SETTINGS}
        env |= {"DATA_DIR": str(self.data), "DB_DSN": self.server.dsn}
        if self.plan.bad_network:
            web = Relay(self._to_world, _WEB, self.chance)
            database = Relay(self._to_database, _DATABASE, self.chance)
            self.relays = [web, database]
            for name in ("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"):
                env[name] = f"http://127.0.0.1:{web.port}"
            env["DB_DSN"] = f"host=127.0.0.1 port={database.port} user={ROLE} dbname={DATABASE}"
        self._environ = env
        self._daemons = [
            Daemon(env, self.directory, self.directory / f"daemon-{number}.log")
            for number in range(1, self.plan.daemons + 1)
        ]

    def log_in(self) -> None:
        import json

        began = time.monotonic()
        done = command(
            *("auth", "import", "youtube", "-"),
            environ={**self._environ, **self.world.env(), "DB_DSN": self.server.dsn},
            directory=self.directory,
            said=json.dumps(self.world.google.credentials()),
        )
        assert done.returncode == 0, done.stderr
        self._command_seconds = time.monotonic() - began

    def harass(self) -> None:
        """Kills until there were enough kills. The queue is never empty meanwhile."""
        self.watch.start()
        kills_left = self.plan.kills
        now = time.monotonic()
        ends = [now + self._life() for _ in self._daemons]
        database_ends = now + self.chance.uniform(*_DATABASE_LIFE_SECONDS)
        for daemon in self._daemons:
            daemon.start()
        while kills_left > 0:
            number = ends.index(min(ends))
            if self.plan.kill_database and database_ends < ends[number]:
                _until(database_ends)
                self._kill_database()
                database_ends = time.monotonic() + self.chance.uniform(*_DATABASE_LIFE_SECONDS)
                continue
            _until(ends[number])
            kills_left -= self._kill(self._daemons[number])
            if 0 < self.watch.unfinished < _FEW and kills_left:
                self.add_vod()
            if kills_left % 20 == 0:
                self._ask_for_status()
            self._daemons[number].start()
            ends[number] = time.monotonic() + self._life()

    def finish(self) -> None:
        """No more trouble: whatever is left is brought to its end."""
        for relay in self.relays:
            relay.calm()
        for daemon in self._daemons:
            self._stop(daemon)
        for daemon in self._daemons:
            daemon.start("--drain")
        for daemon in self._daemons:
            try:
                daemon.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                self.hung += 1
                daemon.kill()
        self.watch.stop()

    def with_survivors(self, verdict: Verdict) -> Verdict:
        """Adds processes that outlived their daemons."""
        left = working_in(self.data)
        if not left:
            return verdict
        complaint = f"{len(left)} processes are left: {[p.pid for p in left]}"
        return Verdict(verdict.duplicates, verdict.losses, (*verdict.complaints, complaint))

    def end(self) -> None:
        for daemon in self._daemons:
            if daemon.status is None:
                daemon.kill()
        for relay in self.relays:
            relay.close()

    def _life(self) -> float:
        return max(1.0, self._command_seconds) * self.chance.uniform(*_LIFE_SECONDS)

    def _kill(self, daemon: Daemon) -> bool:
        """False if it had ended before."""
        status = daemon.status
        if status is None:
            daemon.kill()
            self.watch.killed(daemon.pid)
            return True
        if status != Exit.DATABASE:
            # Without a database it does not start; then whoever supervises it tries again.
            raise AssertionError(f"the daemon ended by itself with {status}")
        return False

    def _stop(self, daemon: Daemon) -> None:
        """The polite way, which must work in time, too."""
        os.kill(daemon.pid, signal.SIGTERM)
        try:
            status = daemon.wait(60)
        except subprocess.TimeoutExpired:
            self.hung += 1
            daemon.kill()
            return
        # A daemon that has not got so far as to catch the signal has nothing in hand.
        fine: tuple[int, ...] = (0, -signal.SIGTERM)
        if self.plan.kill_database or self.plan.bad_network:
            fine += (Exit.DATABASE,)  # it had just been started, and found none
        assert status in fine, f"SIGTERM ended with {status}"

    def _kill_database(self) -> None:
        self.database_kills += 1
        pid = int((self.directory / "postgres" / "data" / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGKILL)
        self.server.ensure_running()

    def _ask_for_status(self) -> None:
        began = time.monotonic()
        try:
            command("status", "--json", environ=self._environ, directory=self.directory)
        except subprocess.TimeoutExpired:
            self.hung += 1
        self._command_seconds = min(time.monotonic() - began, _LONGEST_COMMAND_SECONDS)

    def _to_world(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.world.proxy.port), timeout=None)

    def _to_database(self) -> socket.socket:
        """Where it always is, also while it is being started again."""
        server = socket.socket(socket.AF_UNIX)
        try:
            server.connect(str(self.directory / "postgres" / "socket" / f".s.PGSQL.{PORT}"))
        except OSError:
            server.close()
            raise
        return server


def _until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))


def working_in(data: Path) -> list[psutil.Process]:
    """Living processes that were started for this DATA_DIR."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("DATA_DIR") == str(data):
                found.append(process)
        except psutil.Error:
            continue
    return found
