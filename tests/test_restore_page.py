"""The page on restoring, followed to the letter by somebody who knows nothing else."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from scripts.outside import ROOT
from tests.restoring import Place
from tests.s3 import S3

_PAGE = (ROOT / "runbooks" / "database-restore.md").read_text(encoding="utf-8")
_BLOCK = re.compile(r"^( *)```sh\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)

_ASKING = (
    "vodtender restore latest --replace",
    "vodtender reprocess --since '2026-11-23 02:00:00'",
)
"""What wants --yes where nobody can be asked, as the page says."""


def _lines(heading: str) -> list[str]:
    """What is to be typed under a heading."""
    _, _, rest = _PAGE.partition(f"\n## {heading}\n")
    section = rest.partition("\n## ")[0]
    return [line.strip() for _, block in _BLOCK.findall(section) for line in block.splitlines()]


def test_a_database_that_lost_tables_is_restored_from_s3_by_the_page_alone(
    place: Place, s3: S3, tmp_path: Path
) -> None:
    bin_directory = tmp_path / "bin"
    bin_directory.mkdir()
    command = bin_directory / "vodtender"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m vodtender "$@"\n')
    command.chmod(0o755)
    url = f"s3://{s3.bucket}/database/"
    environ = {**place.environ, **s3.environ, "BACKUP_S3_URL": url}
    environ["PATH"] = f"{bin_directory}:{environ['PATH']}"
    assert place.type_in("backup", **{**s3.environ, "BACKUP_S3_URL": url}).status == 0
    for path in (place.backups / "manifests").iterdir():  # another machine
        path.unlink()
    for path in place.backups.glob("vod_*"):
        path.unlink()
    place.leave_only("vod_history", "workers", "kv", "backup_runs", "schema_migrations")

    typed = [*_lines("Look"), *_lines("Act"), *_lines("Verify"), *_lines("Afterwards")]
    assert len(typed) == 7
    for line in typed:
        done = subprocess.run(
            ["bash", "-c", f"{line} --yes" if line in _ASKING else line],
            env=environ,
            cwd=place.directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    assert place.vods() == [1, 2, 3]
