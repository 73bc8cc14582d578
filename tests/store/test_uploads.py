"""Upload sessions, and the ledger of what was spent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from tests.store import rows
from tests.store.statement import Statement
from vodtender.model.quota import pacific_day
from vodtender.store import uploads
from vodtender.store.database import Connection, clock
from vodtender.store.uploads import Spent, Upload

NOON = datetime(2026, 11, 23, 20, tzinfo=UTC)
DAY = date(2026, 11, 23)


def upload(vod_id: int, part: int = 1) -> Upload:
    return Upload(vod_id, part, 2, "default", "p", "m", "sealed", 100, "00", 0, NOON, None)


def attempt(
    connection: Connection,
    at: datetime = NOON,
    project: str = "p",
    *,
    backfill: bool = False,
) -> None:
    uploads.record_attempt(
        connection,
        now=at,
        quota_day=pacific_day(at),
        project=project,
        account="default",
        twitch_vod_id="1",
        part=1,
        backfill=backfill,
    )


# --- sessions ---------------------------------------------------------------------------


def test_a_session_is_stored_as_it_is_and_replaced_by_a_later_one(connection: Connection) -> None:
    vod = rows.situation(connection, "downloaded")
    second, first = upload(vod.id, 2), upload(vod.id, 1)
    uploads.put(connection, second)
    uploads.put(connection, first)
    assert uploads.of_vod(connection, vod.id) == [first, second]
    later = replace(first, session_uri="another", opened_at=NOON + timedelta(hours=1))
    uploads.put(connection, later)
    assert uploads.of_vod(connection, vod.id) == [later, second]


def test_what_is_on_youtube_needs_no_session(connection: Connection) -> None:
    vod = rows.situation(connection, "uploading")
    uploads.put(connection, upload(vod.id, 1))
    uploads.put(connection, upload(vod.id, 2))
    uploads.finish(connection, vod.id, 1, "VIDEO")
    first, second = uploads.of_vod(connection, vod.id)
    assert (first.video_id, first.session_uri, first.sent_bytes) == ("VIDEO", None, 100)
    assert second == upload(vod.id, 2)


def test_one_part_can_be_forgotten_or_all(connection: Connection) -> None:
    vod = rows.situation(connection, "uploading")
    for part in (1, 2):
        uploads.put(connection, upload(vod.id, part))
    uploads.forget(connection, vod.id, 1)
    assert uploads.of_vod(connection, vod.id) == [upload(vod.id, 2)]
    uploads.forget(connection, vod.id)
    assert uploads.of_vod(connection, vod.id) == []


# --- the ledger -------------------------------------------------------------------------


def test_nothing_is_spent_of_a_day_on_which_nothing_happened(connection: Connection) -> None:
    assert uploads.spent(connection, "p", DAY) == Spent(0, 0, 0, None)


def test_attempts_count_for_the_day_that_it_is_in_california(connection: Connection) -> None:
    """In November its midnight is at 08:00 UTC."""
    before = datetime(2026, 11, 23, 7, 59, 59, tzinfo=UTC)
    after = datetime(2026, 11, 23, 8, 0, 0, tzinfo=UTC)
    for moment in (before, after, NOON):
        attempt(connection, moment)
    assert uploads.spent(connection, "p", DAY - timedelta(days=1)) == Spent(0, 1, 0, before)
    assert uploads.spent(connection, "p", DAY) == Spent(0, 2, 0, NOON)


def test_each_project_has_its_own_quota_and_all_can_be_added_up(connection: Connection) -> None:
    attempt(connection, NOON, "p")
    attempt(connection, NOON + timedelta(hours=1), "q", backfill=True)
    uploads.add_units(connection, "p", DAY, 1600)
    uploads.add_units(connection, "p", DAY, 1)
    uploads.add_units(connection, "q", DAY, 1600)
    uploads.add_units(connection, "q", DAY + timedelta(days=1), 1600)
    assert uploads.spent(connection, "p", DAY) == Spent(1601, 1, 0, NOON)
    whole = Spent(3201, 2, 1, NOON + timedelta(hours=1))
    assert uploads.spent(connection, None, DAY) == whole


def test_no_later_edit_of_a_vod_counts_and_none_takes_an_attempt_back(
    connection: Connection,
) -> None:
    vod = rows.situation(connection, "published")
    attempt(connection)
    before = uploads.spent(connection, "p", DAY)
    connection.execute("UPDATE vods SET title = 'another', updated_at = now()")
    connection.execute("UPDATE vods SET processed = false")
    connection.execute("UPDATE vods SET youtube_url = NULL, processing_error = NULL")
    uploads.forget(connection, vod.id)
    assert uploads.spent(connection, "p", DAY) == before
    connection.execute("DELETE FROM vods")
    assert uploads.spent(connection, "p", DAY) == before


def test_two_workers_decide_one_after_the_other(
    connection: Connection, another: Callable[[], Connection]
) -> None:
    """Each sees what the other has just spent, so no limit is exceeded by one."""
    first, second = another(), another()
    with first.transaction():
        uploads.lock_project(first, "p")
        waiting = Statement(second, "SELECT pg_advisory_xact_lock(hashtext('quota ' || 'p'))")
        waiting.wait_until_it_waits(connection)
        uploads.lock_project(another(), "q")
        attempt(first)
    waiting.join()
    assert uploads.spent(second, "p", DAY).uploads == 1


# --- holds ------------------------------------------------------------------------------


def test_an_account_waits_until_its_time_has_come(connection: Connection) -> None:
    now = clock(connection)
    uploads.hold_account(connection, "one", now + timedelta(hours=1), "used up", "quota")
    uploads.hold_account(connection, "two", now - timedelta(hours=1), "used up", "quota")
    assert [hold.account for hold in uploads.holds(connection)] == ["one"]
    uploads.hold_account(connection, "two", now + timedelta(hours=2), "again", "quota")
    assert [(hold.account, hold.reason) for hold in uploads.holds(connection)] == [
        ("one", "used up"),
        ("two", "again"),
    ]


def test_one_account_can_be_released_or_all(connection: Connection) -> None:
    later = clock(connection) + timedelta(hours=1)
    for account in ("one", "two", "three"):
        uploads.hold_account(connection, account, later, "used up", "quota")
    uploads.release_holds(connection, "two")
    assert [hold.account for hold in uploads.holds(connection)] == ["one", "three"]
    uploads.release_holds(connection)
    assert uploads.holds(connection) == []
