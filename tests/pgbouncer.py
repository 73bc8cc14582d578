"""Fixture: PgBouncer in transaction mode before a database, as many sites have it."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.clients.ytdlp.fetches import wait_until
from tests.soak.relay import Badness, Relay

_CONFIGURATION = """
[databases]
vod = host=127.0.0.1 port={port} user={user} dbname={database}
[pgbouncer]
pool_mode = transaction
auth_type = any
listen_addr =
listen_port = 6432
unix_socket_dir = {directory}
default_pool_size = 4
"""


@pytest.fixture
def pooled_dsn(database_dsn: str) -> Iterator[str]:
    """The way to `database_dsn` through PgBouncer: no session is one's own for longer than a
    transaction, and `options`, LISTEN and prepared statements are not to be had."""
    target = conninfo_to_dict(database_dsn)
    host, port = str(target["host"]), target["port"]

    def to_server() -> socket.socket:
        server = socket.socket(socket.AF_UNIX)
        server.connect(f"{host}/.s.PGSQL.{port}")
        return server

    # PgBouncer refuses to be root, and the server's socket can be reached by its owner only.
    relay = Relay(to_server, Badness(), Random(0))
    directory = Path(tempfile.mkdtemp(prefix="pgbouncer-"))
    configuration = directory / "pgbouncer.ini"
    configuration.write_text(
        _CONFIGURATION.format(
            port=relay.port, user=target["user"], database=target["dbname"], directory=directory
        )
    )
    user = pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else os.geteuid()
    os.chown(directory, user, -1)
    os.chown(configuration, user, -1)
    with subprocess.Popen(
        ["/usr/sbin/pgbouncer", "-q", str(configuration)],
        stderr=subprocess.DEVNULL,
        user=None if user == os.geteuid() else user,
    ) as process:
        dsn = f"host={directory} port=6432 user=vod dbname=vod"
        try:
            wait_until(lambda: _answers(dsn))
            yield dsn
        finally:
            process.terminate()
            process.wait(10)
            relay.close()
            shutil.rmtree(directory)


def _answers(dsn: str) -> bool:
    try:
        with psycopg.connect(dsn, connect_timeout=2):
            return True
    except psycopg.OperationalError:
        return False
