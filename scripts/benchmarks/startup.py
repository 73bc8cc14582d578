"""What a command costs before it does anything, against what it cannot do without."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from scripts.benchmarks.figures import Effort, Figure, alternating, ratio, told
from vodtender.clients.postgres.server import acquire
from vodtender.store.migrate import migrate

_VODTENDER = str(Path(sys.executable).with_name("vodtender"))
_HELP_LIMIT = 1.5
_STATUS_LIMIT = 1.8


def measure(directory: Path, effort: Effort) -> Iterator[Figure]:
    rounds = effort.choose(15, 31)
    found = alternating(
        rounds,
        {
            "--help": lambda: _seconds([_VODTENDER, "--help"]),
            "import typer": lambda: _seconds([sys.executable, "-c", "import typer"]),
        },
    )
    taken = ratio(found, "--help", "import typer")
    yield Figure("vodtender --help against import typer", taken, _HELP_LIMIT, "", told(found))

    imports = "import typer, psycopg, rich.table"
    with acquire(directory / "postgres") as server:
        migrate(server.dsn)
        environment = {**os.environ, "DB_DSN": server.dsn, "DATA_DIR": str(directory)}
        found = alternating(
            rounds,
            {
                "status": lambda: _seconds([_VODTENDER, "status"], environment),
                "imports": lambda: _seconds([sys.executable, "-c", imports]),
            },
        )
    taken = ratio(found, "status", "imports")
    yield Figure("vodtender status against its imports", taken, _STATUS_LIMIT, "", told(found))


def _seconds(command: Sequence[str], environment: Mapping[str, str] | None = None) -> float:
    """How long the command runs."""
    began = time.perf_counter()
    subprocess.run(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return time.perf_counter() - began
