"""Backup and restore of a database of about 1 GB, nearly all of it chat, against the runbook's
`pg_dump | gzip` and `zcat | psql`: the same server, the same disk, the same moment."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from scripts.benchmarks.figures import Effort, Figure, alternating, ratio, told
from scripts.outside import ROOT
from vodtender.clients.postgres.server import EmbeddedServer, acquire
from vodtender.store.migrate import migrate

_BACKUP_LIMIT = 0.5
_SIZE_LIMIT = 1.0
_RESTORE_LIMIT = 0.8
_MESSAGES = (400_000, 2_800_000)
_PER_VOD = 20_000
_NAME = "vod"
_THEIRS = "theirs"
_VODS = """
    INSERT INTO vods (twitch_vod_id, channel, title, date, duration_seconds, stage, video_id)
    SELECT (2300000000 + n::bigint * 350003)::text, 'channel_' || n %% 5, 'Stream number ' || n,
        timestamptz '2026-01-01' + n * interval '7 hours', 14400, 'published', 'video' || n
    FROM generate_series(1, %s) AS n
"""
# As people write: few words often and most of them seldom, a crowd of whom some say a lot, and
# now and then an emote. Ids of messages are in no order, and those of VODs have ten digits and
# grow, as Twitch's.
_CHAT = """
    INSERT INTO chat_messages ("timestamp", relative_seconds, message_id, vod_id, channel, username,
        message, user_id, display_name, color, badges, emotes, reply_to)
    WITH words AS (SELECT array_agg(left(md5('w' || n), 2 + n %% 7)) AS w
        FROM generate_series(1, 4000) AS n)
    SELECT timestamptz '2026-01-01' + n * interval '0.7 s', n %% {per_vod} * 0.7,
        gen_random_uuid()::text, (2300000000 + (1 + n / {per_vod})::bigint * 350003)::text,
        'channel_' || (n / {per_vod}) %% 5, 'user' || who,
        said, (1000000 + who * 7919)::text, 'User' || who, '#' || upper(left(md5(who::text), 6)),
        CASE WHEN who %% 3 = 0 THEN 'subscriber/' || who %% 24 || ',premium/1' ELSE '' END,
        CASE WHEN chance < 0.15 THEN (300000000 + who %% 50)::text || ':0-' || 4 + who %% 5 END,
        CASE WHEN chance > 0.9 THEN gen_random_uuid()::text END
    FROM (
        SELECT n, (20000 * power(random(), 3))::int AS who, random() AS chance,
            array_to_string(ARRAY(SELECT w[1 + (3999 * power(random(), 3))::int]
                FROM generate_series(1, 1 + (n %% 13 + n %% 5) / 2)), ' ') AS said
        FROM words, generate_series(0, %s) AS n OFFSET 0
    ) AS spoken
"""


def measure(directory: Path, effort: Effort) -> Iterator[Figure]:
    with acquire(directory / "postgres") as server:
        place = _Place(directory, server)
        place.fill(effort.choose(*_MESSAGES))
        rounds = effort.choose(2, 3)
        found = alternating(rounds, {"ours": place.back_up, "pg_dump | gzip": place.dump})
        yield Figure(
            "backup, time against pg_dump | gzip",
            ratio(found, "ours", "pg_dump | gzip"),
            _BACKUP_LIMIT,
            "",
            f"{told(found)}; the database has {place.database_bytes() / 1e6:.0f} MB",
        )
        ours, theirs = (path.stat().st_size for path in (place.backup(), place.plain))
        yield Figure(
            "backup, size against pg_dump | gzip",
            ours / theirs,
            _SIZE_LIMIT,
            "",
            f"{ours / 1e6:.0f} MB, {theirs / 1e6:.0f} MB",
        )
        found = alternating(rounds, {"ours": place.restore, "zcat | psql": place.load})
        yield Figure(
            "restore, time against zcat | psql",
            ratio(found, "ours", "zcat | psql"),
            _RESTORE_LIMIT,
            "",
            told(found),
        )


@dataclass(frozen=True, slots=True)
class _Place:
    directory: Path
    server: EmbeddedServer

    @property
    def plain(self) -> Path:
        return self.directory / "vod_20251020_020000.sql.gz"

    def backup(self) -> Path:
        return max((self.directory / "backups").glob("vod_*.dump.zst"))

    def fill(self, messages: int) -> None:
        migrate(self.server.dsn)
        with psycopg.connect(self.server.dsn, autocommit=True) as connection:
            connection.execute(_VODS.encode(), (1 + messages // _PER_VOD,))
            connection.execute(_CHAT.format(per_vod=_PER_VOD).encode(), (messages - 1,))
            connection.execute("VACUUM ANALYZE")

    def database_bytes(self) -> int:
        return self._number("SELECT pg_database_size(%s)", _NAME)

    def back_up(self) -> float:
        """From the command line, with its reading back and all."""
        return self._vodtender("backup")

    def dump(self) -> float:
        """As the runbook's script does it."""
        return self._script('"$1/pg_dump" -d "$2" | gzip > "$3"', self._dsn(_NAME))

    def restore(self) -> float:
        """Into a server that has lost the database."""
        wanted = self._number("SELECT count(*) FROM chat_messages")
        self._drop(_NAME)
        seconds = self._vodtender("restore", "latest")
        assert self._number("SELECT count(*) FROM chat_messages") == wanted
        return seconds

    def load(self) -> float:
        """As the runbook does it: into a database that was just created."""
        self._drop(_THEIRS)
        self._administer(f"CREATE DATABASE {_THEIRS} OWNER vod")
        script = 'zcat "$3" | "$1/psql" -q -v ON_ERROR_STOP=1 -o /dev/null -d "$2"'
        seconds = self._script(script, self._dsn(_THEIRS))
        self._drop(_THEIRS)
        return seconds

    def _vodtender(self, *command: str) -> float:
        environ = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "DB_DSN": self.server.dsn,
            "DB_ADMIN_DSN": self.server.admin_dsn,
            "BACKUP_DIR": str(self.directory / "backups"),
        }
        return self._timed([sys.executable, "-m", "vodtender", *command], environ)

    def _script(self, script: str, dsn: str) -> float:
        tools = str(self.server.bin_directory)
        command = ["bash", "-o", "pipefail", "-c", script, "-", tools, dsn, str(self.plain)]
        return self._timed(command, dict(os.environ))

    def _timed(self, command: list[str], environ: dict[str, str]) -> float:
        """What one has written is not left for the next one to wait for."""
        self._administer("CHECKPOINT")
        os.sync()
        began = time.perf_counter()
        subprocess.run(
            command, env=environ, cwd=self.directory, check=True, stdout=subprocess.DEVNULL
        )
        return time.perf_counter() - began

    def _dsn(self, name: str) -> str:
        return make_conninfo(self.server.dsn, dbname=name)

    def _number(self, query: str, *parameters: object) -> int:
        with psycopg.connect(self.server.dsn) as connection:
            row = connection.execute(query.encode(), parameters or None).fetchone()
        assert row is not None
        return int(row[0])

    def _drop(self, name: str) -> None:
        self._administer(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def _administer(self, statement: str) -> None:
        with psycopg.connect(self.server.admin_dsn, autocommit=True) as connection:
            connection.execute(statement.encode())
