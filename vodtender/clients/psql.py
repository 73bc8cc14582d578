"""PostgreSQL's own shell, started on a database without a password among its arguments."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from vodtender.clients.postgres import binaries
from vodtender.errors import DatabaseUnavailable, VodtenderError

_OUR_NAME = "application_name"
"""Not passed on: by it the triggers would take a person for the daemon."""


def find(*, embedded: bool) -> Path:
    """The embedded server's own psql, or for any other the system's: only that one has TLS.

    Raises:
        VodtenderError: there is none.
    """
    found = None if embedded else shutil.which("psql")
    if found is not None:
        return Path(found)
    try:
        return binaries.find() / "psql"
    except DatabaseUnavailable:
        raise VodtenderError(
            "There is no psql on this machine.",
            hint="install it: apt-get install postgresql-client, or pip install"
            " 'vodtender[standalone]'",
            code="psql_missing",
        ) from None


def run(program: Path, dsn: str, arguments: Sequence[str]) -> int:
    """Runs it to its end with this process's terminal; returns its exit status."""
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    known = conninfo_to_dict(dsn)
    environ = dict(os.environ)
    password = known.pop("password", None)
    if password is not None:
        environ["PGPASSWORD"] = str(password)
    known.pop("sslpassword", None)  # libpq asks for it
    known.pop(_OUR_NAME, None)
    # A Ctrl-C is meant for psql, which only breaks off the statement. Not ignored, which psql
    # would inherit.
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        return subprocess.Popen(
            [program, "--dbname", make_conninfo("", **known), *arguments], env=environ
        ).wait()
    finally:
        signal.signal(signal.SIGINT, before)
