"""Kills `vodtender archive` and `vodtender archive fetch` at random moments, and looks after each
whether every VOD's file is still somewhere: whole on the disk, or where the database says."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.cold import Cold, cold
from tests.s3 import S3, SECRET
from vodtender.clients.postgres.server import acquire
from vodtender.clients.s3 import open_store
from vodtender.config.settings import Settings
from vodtender.errors import VodtenderError
from vodtender.model.s3_location import S3Location
from vodtender.model.vod import Stage
from vodtender.pipeline import prune
from vodtender.store.migrate import migrate

_ROOT = Path(__file__).parents[2]
_FILE_BYTES = 20 << 20
_FILES = 4
_COMMAND = (sys.executable, "-m", "vodtender", "archive")
_LONGEST_SECONDS = 300


@dataclass(slots=True)
class Kills:
    """What a campaign has seen. `complaints` are what must never be."""

    runs: Counter[str] = field(default_factory=Counter)
    complaints: list[str] = field(default_factory=list)

    def line(self) -> str:
        told = ", ".join(f"{number} {what}" for what, number in sorted(self.runs.items()))
        return f"archive: {told}; {len(self.complaints)} complaints"


def run(kills: int, seed: int, directory: Path) -> Kills:
    """Kills so often, and lets the last run end."""
    os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1"
    with (
        acquire(directory / "postgres", durable=False) as server,
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "tests.s3_server"],
            cwd=_ROOT,
            env={
                **os.environ,
                "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
                "AWS_SECRET_ACCESS_KEY": SECRET,
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as moto,
    ):
        migrate(server.dsn)
        assert moto.stdin is not None
        assert moto.stdout is not None
        try:
            endpoint = f"http://127.0.0.1:{int(moto.stdout.readline())}"
            settings = Settings(
                db_dsn=server.dsn,
                data_dir=directory / "data",
                archive_s3_url=S3Location("bucket", "vods/"),
                aws_access_key_id="AKIAIOSFODNN7EXAMPLE",
                aws_secret_access_key=SECRET,
                aws_region="us-east-1",
                aws_endpoint_url=endpoint,
            )
            s3 = S3(endpoint, "bucket", open_store(settings))
            s3.store.client.create_bucket(Bucket="bucket")
            with cold(server.dsn, settings) as place:
                return _Campaign(place, s3, Random(seed)).run(kills)
        finally:
            moto.stdin.close()


class _Campaign:
    def __init__(self, place: Cold, s3: S3, chance: Random) -> None:
        self._place = place
        self._s3 = s3
        self._chance = chance
        self._seen = Kills()
        self._number = 0

    def run(self, kills: int) -> Kills:
        killed = 0
        while killed < kills:
            while len(self._here()) < _FILES:
                self._number += 1
                stage = self._chance.choice((Stage.PUBLISHED, Stage.DOWNLOADED))
                self._place.add(str(self._number), stage, size=_FILE_BYTES)
            self._forget()
            killed += self._do(self._words())
            self._look()
        self._forget()
        if self._do(["--yes", "--include-waiting"], kill=False):
            self._seen.complaints.append("the last run did not end")
        # As a daemon does it: a fetch may have been killed before its file was recorded.
        prune.clean_up(self._place.database, self._place.directory, 0)
        self._look()
        if self._here():
            self._seen.complaints.append(f"the last run has left {self._here()} behind")
        left = self._s3.store.client.list_multipart_uploads(Bucket="bucket").get("Uploads", [])
        if left:
            self._seen.complaints.append(f"{len(left)} unfinished uploads are left")
        return self._seen

    def _words(self) -> list[str]:
        away = [vod_id for vod_id in self._place.contents if vod_id not in self._here()]
        if away and self._chance.random() < 0.3:
            return ["fetch", self._chance.choice(away)]
        return ["--yes", "--include-waiting"]

    def _here(self) -> list[str]:
        return [vod_id for vod_id in self._place.contents if self._place.path(vod_id).exists()]

    def _forget(self) -> None:
        """What was archived long ago is looked at no more, so that memory does not fill; what
        was fetched back is old enough to go again."""
        with self._place.database.transaction() as connection:
            connection.execute("UPDATE vods SET downloaded_at = now() - interval '10 days'")
        away = [vod_id for vod_id in self._place.contents if vod_id not in self._here()]
        for vod_id in away[:-_FILES]:
            del self._place.contents[vod_id]

    def _do(self, words: list[str], *, kill: bool = True) -> bool:
        """Whether it had to be killed."""
        process = subprocess.Popen(
            [*_COMMAND, *words],
            env=self._environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            status = process.wait(self._chance.uniform(0.5, 6.0) if kill else _LONGEST_SECONDS)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            self._seen.runs["killed"] += 1
            return True
        self._seen.runs[f"ended with {status}"] += 1
        if status and "fetch" not in words:
            self._seen.complaints.append(f"{' '.join(words)} ended with {status}")
        return False

    def _environment(self) -> Mapping[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(_ROOT),
            "DB_DSN": self._place.database.dsn,
            "DATA_DIR": str(self._place.settings.data_dir),
            "ARCHIVE_S3_URL": "s3://bucket/vods/",
            **self._s3.environ,
        }

    def _look(self) -> None:
        for vod_id, content in self._place.contents.items():
            path = self._place.path(vod_id)
            if path.exists():
                if path.read_bytes() != content:
                    self._seen.complaints.append(f"the file of {vod_id} is not what it was")
                continue
            copy = self._place.copy(vod_id)
            if copy is None:
                self._seen.complaints.append(f"the file of {vod_id} is nowhere")
                continue
            at = S3Location.parse(copy.place)
            try:
                self._s3.store.ask_for(at, tier="Standard", days=1)
                whole = self._s3.store.get(at) == content
            except VodtenderError as error:
                self._seen.complaints.append(f"the copy of {vod_id}: {error.message}")
                continue
            if not whole:
                self._seen.complaints.append(f"the copy of {vod_id} is not what the file was")
