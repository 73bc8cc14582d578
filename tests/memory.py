"""Tests' temporary directories lie in memory, where there is room for them: on a disk the making
and removing of so many files and databases takes longer than all that is tested with them.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import psutil
import pytest

_MEMORY = Path("/dev/shm")
_ROOM_BYTES = 6 << 30
_PREFIX = "vodtender-tests-"


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Workers of pytest-xdist have been told a directory already, within this one's."""
    if config.option.basetemp is None and _is_roomy():
        _remove_those_of_the_dead()
        config.option.basetemp = str(_directory())


def pytest_unconfigure() -> None:
    shutil.rmtree(_directory(), ignore_errors=True)


def _directory() -> Path:
    return _MEMORY / f"{_PREFIX}{os.getpid()}"


def _is_roomy() -> bool:
    if not os.access(_MEMORY, os.W_OK):
        return False
    free = shutil.disk_usage(_MEMORY).free
    return min(free, psutil.virtual_memory().available) > _ROOM_BYTES


def _remove_those_of_the_dead() -> None:
    for left in _MEMORY.glob(f"{_PREFIX}*"):
        if not psutil.pid_exists(int(left.name.removeprefix(_PREFIX))):
            shutil.rmtree(left, ignore_errors=True)
