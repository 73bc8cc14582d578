"""Backups on a schedule."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from vodtender.daemon.backup_chore import trigger


@pytest.mark.parametrize(
    ("expression", "after", "due"),
    [
        ("0 2 * * *", "2026-11-23 01:59", "2026-11-23 02:00"),
        ("0 2 * * *", "2026-11-23 02:01", "2026-11-24 02:00"),
        ("*/15 * * * *", "2026-11-23 02:01", "2026-11-23 02:15"),
        # 2026-11-23 is a Monday; in cron Sunday is 0 and 7.
        ("30 4 * * 0", "2026-11-23 00:00", "2026-11-29 04:30"),
        ("30 4 * * 7", "2026-11-23 00:00", "2026-11-29 04:30"),
        ("30 4 * * 1", "2026-11-23 00:00", "2026-11-23 04:30"),
        ("30 4 * * 5-7", "2026-11-23 00:00", "2026-11-27 04:30"),
        ("30 4 * * 1-5", "2026-11-28 00:00", "2026-11-30 04:30"),
        ("30 4 * * */3", "2026-11-23 00:00", "2026-11-25 04:30"),
        # A day of the month and one of the week: either.
        ("0 3 15 * 3", "2026-11-23 00:00", "2026-11-25 03:00"),
        ("0 3 24 * 3", "2026-11-23 00:00", "2026-11-24 03:00"),
        ("0 3 1 1,7 *", "2026-11-23 00:00", "2027-01-01 03:00"),
    ],
)
def test_a_cron_expression_is_due_when_cron_says(expression: str, after: str, due: str) -> None:
    at = datetime.fromisoformat(after).replace(tzinfo=UTC)
    found = trigger(expression).get_next_fire_time(None, at)
    assert found == datetime.fromisoformat(due).replace(tzinfo=UTC)
