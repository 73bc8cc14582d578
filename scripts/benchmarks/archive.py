"""Archiving 2 GB: `vodtender archive` against a plain `boto3.upload_file` to the same store.

Both as whole processes, from the start of Python to the end. Ours compares the file with the
CRC32 of its download, proves the object, writes to the database and removes the file besides.

The store (`s3_sink`) reads and drops what it is given: moto needs longer for 2 GB than both clients
together, so that a figure taken from it would be its own.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg

from scripts.benchmarks.daemon import VODTENDER, megabytes
from scripts.benchmarks.figures import Effort, Figure, Peak, alternating, ratio, told
from scripts.outside import ROOT
from vodtender.clients.postgres.server import acquire
from vodtender.pipeline.directory import DataDirectory, open_directory
from vodtender.store.migrate import migrate

_TIME_LIMIT = 1.0
_MEMORY_LIMIT_MEGABYTES = 200.0
_SAMPLE_SECONDS = 0.05
_BLOCK_BYTES = 1 << 22
_PLAIN = """
import sys, boto3
store = boto3.client("s3", endpoint_url=sys.argv[1], region_name="us-east-1")
store.upload_file(sys.argv[2], "bucket", "vods/plain.mp4", ExtraArgs={"StorageClass": "GLACIER"})
"""


def measure(directory: Path, effort: Effort) -> Iterator[Figure]:
    size_bytes = effort.choose(256 << 20, 2_000_000_000)
    made = _made(directory, size_bytes)
    with acquire(directory / "postgres", durable=False) as server:
        migrate(server.dsn)
        with _store() as port:
            environment = _environment(port, server.dsn, directory)
            bench = _Bench(made, environment, server.dsn, directory)
            found = alternating(
                effort.choose(1, 5), {"vodtender": bench.ours, "upload_file": bench.plain}
            )
    taken = ratio(found, "vodtender", "upload_file")
    yield Figure("archive, wall time against upload_file", taken, _TIME_LIMIT, "", told(found))
    yield Figure(
        "archive, memory",
        bench.most_megabytes,
        _MEMORY_LIMIT_MEGABYTES,
        " MB",
        f"upload_file {bench.most_megabytes_plain:.0f} MB",
    )


def _environment(port: int, dsn: str, directory: Path) -> dict[str, str]:
    return {
        **os.environ,
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
        "DB_DSN": dsn,
        "DATA_DIR": str(directory / "data"),
        "ARCHIVE_S3_URL": "s3://bucket/vods/",
        "VODTENDER_CONFIG": os.devnull,
        "PYTHONPATH": str(ROOT),
    }


class _Bench:
    """Uploads the same file again and again."""

    def __init__(
        self,
        made: _Made,
        environment: Mapping[str, str],
        dsn: str,
        directory: Path,
    ) -> None:
        self.most_megabytes = self.most_megabytes_plain = 0.0
        self._made = made
        self._environment = environment
        self._dsn = dsn
        self._data: DataDirectory = open_directory(directory / "data")
        self._number = 0

    def ours(self) -> float:
        """`vodtender archive` of the one file that there is."""
        self._number += 1
        vod_id = str(self._number)
        path = self._data.root / f"title_{vod_id}.mp4"
        os.link(self._made.path, path)
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            connection.execute("DELETE FROM vods")
            connection.execute("DELETE FROM archived_files")
            connection.execute(
                "INSERT INTO vods (twitch_vod_id, channel, stage, video_id, published_at,"
                " created_at, downloaded_path, directory_id, file_size_bytes, file_sha256,"
                " file_crc32)"
                " VALUES (%s, 'c', 'published', 'abc', now(), now() - interval '9 days', %s, %s,"
                " %s, %s, %s)",
                (
                    vod_id,
                    str(path),
                    self._data.id,
                    path.stat().st_size,
                    self._made.sha256,
                    self._made.crc32,
                ),
            )
        seconds, most = self._run([*VODTENDER, "archive", "--yes"])
        self.most_megabytes = max(self.most_megabytes, most)
        if path.exists():
            raise RuntimeError("it was not archived")
        return seconds

    def plain(self) -> float:
        """boto3 as its documentation has it."""
        endpoint = self._environment["AWS_ENDPOINT_URL"]
        seconds, most = self._run([sys.executable, "-c", _PLAIN, endpoint, str(self._made.path)])
        self.most_megabytes_plain = max(self.most_megabytes_plain, most)
        return seconds

    def _run(self, command: list[str]) -> tuple[float, float]:
        began = time.perf_counter()
        process = psutil.Popen(
            command,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        with Peak(lambda: megabytes(process), _SAMPLE_SECONDS) as peak:
            status = process.wait()
        seconds = time.perf_counter() - began
        if status:
            raise RuntimeError(f"{command[:3]} ended with {status}")
        return seconds, peak.value


@dataclass(frozen=True, slots=True)
class _Made:
    path: Path
    sha256: str
    crc32: int


def _made(directory: Path, size_bytes: int) -> _Made:
    """A file of that size, in the page cache, and its checksums."""
    path, digest, crc32, left = directory / "original.mp4", hashlib.sha256(), 0, size_bytes
    with path.open("wb") as file:
        while left:
            block = os.urandom(min(left, _BLOCK_BYTES))
            digest.update(block)
            crc32 = zlib.crc32(block, crc32)
            file.write(block)
            left -= len(block)
        file.flush()
        os.fsync(file.fileno())
    return _Made(path, digest.hexdigest(), crc32)


@contextmanager
def _store() -> Iterator[int]:
    """A store in a process of its own: its port."""
    with subprocess.Popen(
        [sys.executable, "-m", "scripts.benchmarks.s3_sink"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()
