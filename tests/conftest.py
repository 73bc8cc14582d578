"""What every test can ask for."""

from __future__ import annotations

import gc
import signal

import pytest

from vodtender.config import redaction

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

_LONGEST = (
    "tests/test_demo.py",
    "tests/soak/",
    "tests/daemon/test_small_disk.py",
    "tests/pipeline/test_life_of_a_vod.py",
    "tests/daemon/test_publish.py",
    "tests/test_runbook_sql.py",
)


# What is imported and collected stays: to look for garbage in it, again and again, takes a tenth
# of the time.
gc.disable()


def pytest_collection_finish() -> None:
    """Only what the tests make is looked at."""
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest come first, so that none of them is left to one process when all else is done."""
    items.sort(key=lambda item: not item.nodeid.startswith(_LONGEST))


@pytest.fixture(autouse=True)
def _forgotten_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test keeps secret is an ordinary word in the next."""
    monkeypatch.setattr(redaction, "_hidden", redaction._hidden)
