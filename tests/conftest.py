"""What every test can ask for."""

from __future__ import annotations

pytest_plugins = [
    "tests.postgres",
    "tests.world",
    "tests.archive",
    "tests.maintained",
    "tests.s3",
    "tests.pgbouncer",
    "tests.cli.commands",
    "tests.restoring",
]
