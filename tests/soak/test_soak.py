"""`scripts/soak`, short: everything at once, so that it stays affordable."""

from __future__ import annotations

from pathlib import Path

from tests.soak import data
from tests.soak.campaign import Plan, run


def test_two_daemons_and_their_database_are_killed_over_a_bad_network(tmp_path: Path) -> None:
    plan = Plan("everything", 25, vods=5, daemons=2, kill_database=True, bad_network=True, seed=3)
    figures = run(plan, tmp_path)
    assert figures.clean, "\n".join([figures.line(), *figures.verdict.complaints])
    assert figures.database_kills
    assert figures.cuts


def test_backups_and_restores_are_killed_at_random(tmp_path: Path, s3_endpoint: str) -> None:
    figures = data.run(data.DataPlan(kills=2, messages=1_000, seed=2), tmp_path, s3_endpoint)
    assert figures.clean, "\n".join([figures.line(), *figures.complaints])
    assert (figures.backup_kills, figures.restore_kills) == (2, 2)
