"""The chat's campaign, short."""

from __future__ import annotations

from pathlib import Path

from tests.soak.chat import ChatPlan, run


def test_a_flood_survives_kills_and_a_database_that_is_stopped(tmp_path: Path) -> None:
    figures = run(ChatPlan("chat", 2000, kills=1, life_seconds=0.3, away_seconds=1.5), tmp_path)
    assert figures.complaints == [], figures.line()
    assert figures.unheard
    assert figures.journal_bytes
