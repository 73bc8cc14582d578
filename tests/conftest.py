"""What every test can ask for."""

from __future__ import annotations

import signal

pytest_plugins = [
    "tests.memory",
    "tests.postgres",
    "tests.world",
    "tests.archive",
    "tests.maintained",
    "tests.s3",
    "tests.cold",
    "tests.pgbouncer",
    "tests.cli.commands",
    "tests.restoring",
]

# Of a shell's background job, which this may be, Ctrl-C is ignored, and so by all that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)
