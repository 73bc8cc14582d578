"""Directories on the disk, and on file systems that cannot put them there."""

from __future__ import annotations

from pathlib import Path

import pytest

from vodtender.clients.fsync import sync_directory

CANNOT = Path("/proc")


def test_a_file_system_that_cannot_is_an_error_only_where_it_is_required(tmp_path: Path) -> None:
    sync_directory(tmp_path, required=True)
    sync_directory(CANNOT, required=False)
    with pytest.raises(OSError, match="Invalid argument"):
        sync_directory(CANNOT, required=True)


@pytest.mark.parametrize("required", [True, False])
def test_a_directory_that_is_not_there_is_an_error(required: bool, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        sync_directory(tmp_path / "none", required=required)
