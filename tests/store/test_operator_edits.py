"""What operators type into psql has the effect that they meant, wherever the VOD is.

The promises are those of the contract, "Tables that operators edit".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from tests.store import rows
from tests.store.rows import SITUATIONS, URL, WORKER
from tests.store.statement import Statement
from vodtender.errors import LeaseLost
from vodtender.model.breaker import BreakerPolicy
from vodtender.model.settlement import Settlement, Signal
from vodtender.model.vod import Stage, Standing
from vodtender.store import breaker, claims, queue, uploads, vods
from vodtender.store.database import Connection, clock

Psql = psycopg.Connection[dict[str, Any]]

EDITS = {
    "again": "processed=false",
    "done": "processed=true",
    "pending": "download_state='pending'",
    "skipped": "download_state='skipped'",
    "failed": "download_state='failed'",
    "complete": "download_state='complete'",
    "url": "youtube_url='https://youtu.be/OTHER'",
    "no url": "youtube_url=NULL",
    "error": "processing_error='no good'",
    "no error": "processing_error=NULL",
    "end": "processed=true, processing_error='VOD unavailable'",
    "retry": "processing_error=NULL, download_state='pending'",
    "reprocess": "processed=false, processing_error=NULL",
    "by hand": "processed=true, youtube_url='https://youtu.be/OTHER'",
}

# What becomes of a VOD in each situation by each edit: the stage, "=" for nothing at all,
# "refused" for an error message; "+text" where a processing_error remains.
OUTCOMES = (
    """
             | again  | done     | pending | skipped  | failed  | complete   | url
live         | =      | skipped+ | =       | skipped+ | queued+ | refused    | verifying
queued       | =      | skipped+ | =       | skipped+ | queued+ | refused    | verifying
retrying     | =      | failed+  | queued  | skipped+ | =       | refused    | verifying
downloading  | =      | skipped+ | queued  | skipped+ | queued+ | refused    | verifying
downloaded   | queued | =        | queued  | skipped+ | failed+ | =          | verifying
held         | queued | =        | queued  | skipped+ | failed+ | =          | verifying
kept         | queued | =        | queued  | skipped+ | failed+ | =          | verifying
uploading    | queued | =        | queued  | skipped+ | failed+ | =          | verifying
finalizing   | queued | =        | queued  | skipped+ | failed+ | =          | verifying
verifying    | queued | =        | queued  | skipped+ | failed+ | =          | verifying
published    | queued | =        | queued  | skipped+ | failed+ | =          | verifying
pruned       | queued | =        | queued  | skipped+ | failed+ | =          | verifying
failed       | queued | =        | queued  | skipped+ | =       | refused    | verifying
failed+file  | queued | =        | queued  | skipped+ | =       | downloaded | verifying
failed+video | queued | =        | queued  | skipped+ | =       | verifying  | verifying
skipped      | queued | =        | queued  | =        | failed+ | refused    | verifying
skipped+file | queued | =        | queued  | =        | failed+ | downloaded | verifying
""",
    """
             | no url     | error    | no error   | end      | retry  | reprocess | by hand
live         | =          | live+    | =          | failed+  | =      | =         | verifying
queued       | =          | queued+  | =          | failed+  | =      | =         | verifying
retrying     | =          | queued+  | queued     | failed+  | queued | queued    | verifying
downloading  | =          | queued+  | =          | failed+  | queued | =         | verifying
downloaded   | =          | failed+  | =          | failed+  | queued | queued    | verifying
held         | =          | failed+  | downloaded | failed+  | queued | queued    | verifying
kept         | =          | failed+  | =          | failed+  | queued | queued    | verifying
uploading    | =          | failed+  | =          | failed+  | queued | queued    | verifying
finalizing   | =          | failed+  | finalizing | failed+  | queued | queued    | verifying
verifying    | downloaded | failed+  | =          | failed+  | queued | queued    | verifying
published    | downloaded | failed+  | =          | failed+  | queued | queued    | verifying
pruned       | queued     | failed+  | =          | failed+  | queued | queued    | verifying
failed       | =          | failed+  | queued     | failed+  | queued | queued    | verifying
failed+file  | =          | failed+  | downloaded | failed+  | queued | queued    | verifying
failed+video | failed+    | failed+  | verifying  | failed+  | queued | queued    | verifying
skipped      | =          | skipped+ | skipped    | skipped+ | queued | queued    | verifying
skipped+file | =          | skipped+ | skipped    | skipped+ | queued | queued    | verifying
""",
)


def _cells() -> Iterator[tuple[str, str, str]]:
    edits: list[str] = []
    for table in OUTCOMES:
        header, *lines = [
            [cell.strip() for cell in line.split("|")] for line in table.strip("\n").splitlines()
        ]
        assert [line[0] for line in lines] == list(SITUATIONS)
        edits += header[1:]
        for line in lines:
            for edit, outcome in zip(header[1:], line[1:], strict=True):
                yield line[0], edit, outcome
    assert edits == list(EDITS)


@pytest.fixture
def psql(database_dsn: str) -> Iterator[Psql]:
    """An operator's own session, which knows nothing of ours."""
    with psycopg.connect(
        database_dsn, autocommit=True, row_factory=dict_row, application_name="psql"
    ) as session:
        yield session


def edit(psql: Psql, assignments: str, number: int = 1) -> None:
    done = psql.execute(f"UPDATE vods SET {assignments} WHERE twitch_vod_id = '{number}'")
    assert done.rowcount == 1


def said_since(connection: Connection, number: int, lines: int) -> list[vods.HistoryLine]:
    return vods.history(connection, rows.get(connection, number))[lines:]


@pytest.mark.parametrize("name", list(SITUATIONS))
def test_each_edit_has_its_effect_in_each_situation(
    name: str, connection: Connection, psql: Psql
) -> None:
    cells = [(what, outcome) for situation, what, outcome in _cells() if situation == name]
    for number, (what, outcome) in enumerate(cells, 1):
        rows.situation(connection, name, number)
        before = rows.raw(connection, number)
        if outcome == "refused":
            with pytest.raises(psycopg.errors.InvalidParameterValue):
                edit(psql, EDITS[what], number)
        else:
            edit(psql, EDITS[what], number)
        after = rows.raw(connection, number)
        said = said_since(connection, number, 1)
        if outcome in ("=", "refused"):
            assert after == before, what
            assert not said, what
            continue
        stage, has_error, _ = outcome.partition("+")
        assert after["stage"] == stage, what
        assert (after["processing_error"] is not None) == bool(has_error), what
        rows.assert_shown_as_promised(after)
        assert rows.can_move(after), what
        assert after["worker_id"] is None, what
        assert after["claim"] == before["claim"] + 1, what
        assert after["created_at"] == before["created_at"], what
        assert after["updated_at"] > before["updated_at"], what
        assert [(line.actor, line.from_stage, line.to_stage) for line in said] == [
            ("operator", before["stage"], stage)
        ], what


# --- what holds for all edits that change something -------------------------------------


@pytest.mark.parametrize("assignments", [EDITS["retry"], EDITS["error"], EDITS["by hand"]])
@pytest.mark.parametrize("name", ["downloading", "uploading", "verifying"])
def test_whoever_works_on_it_loses_it_and_can_write_nothing_more(
    name: str, assignments: str, connection: Connection, psql: Psql
) -> None:
    vod = rows.situation(connection, name)
    claim = rows.claim_of(vod)
    edit(psql, assignments)
    after = rows.raw(connection)
    attempts: list[Callable[[], object]] = [
        lambda: claims.renew(connection, claim, 60, None),
        lambda: claims.lock(connection, claim),
        lambda: claims.advance(connection, claim, Stage.UPLOADING),
        lambda: claims.settle(connection, claim, vod.stage, Settlement(Standing(Stage.PUBLISHED))),
    ]
    for attempt in attempts:
        with pytest.raises(LeaseLost):
            attempt()
    assert rows.raw(connection) == after


def test_the_workers_are_woken_once_for_a_statement_and_not_for_one_without_effect(
    connection: Connection, psql: Psql, database_dsn: str
) -> None:
    for number, name in enumerate(SITUATIONS, 1):
        rows.situation(connection, name, number)
    with psycopg.connect(database_dsn, autocommit=True) as listener:
        listener.execute("LISTEN vodtender")
        psql.execute("UPDATE vods SET processed = processed, download_state = download_state")
        psql.execute("UPDATE vods SET title = 'another', priority = 9")
        psql.execute("UPDATE vods SET processing_error = NULL")
        assert len(list(listener.notifies(timeout=5, stop_after=1))) == 1
        assert not list(listener.notifies(timeout=0.2))


@pytest.mark.parametrize("column", ["priority = 5", "skip_upload = true", "allow_gaps = true"])
def test_an_edit_of_what_is_not_the_pipelines_state_takes_nothing_from_anybody(
    column: str, connection: Connection, psql: Psql
) -> None:
    claim = rows.claim_of(rows.situation(connection, "downloading"))
    edit(psql, column)
    claims.renew(connection, claim, 60, None)


def test_a_command_is_named_in_the_history_by_whoever_typed_it(
    connection: Connection,
) -> None:
    vod = rows.situation(connection, "failed")
    connection.execute("SELECT set_config('vodtender.actor', 'eve@ops', false)")
    vods.edit(connection, vod, processed=False)
    assert [line.actor for line in said_since(connection, 1, 1)] == ["eve@ops"]


def test_the_same_edit_again_changes_nothing(connection: Connection, psql: Psql) -> None:
    for number, name in enumerate(SITUATIONS, 1):
        rows.situation(connection, name, number)
        edit(psql, EDITS["end"], number)
        once = rows.raw(connection, number)
        edit(psql, EDITS["end"], number)
        assert rows.raw(connection, number) == once


# --- edits of several columns, and of several rows --------------------------------------


@pytest.mark.parametrize(
    "case",
    [
        # Asking for a fresh try counts, whatever the other columns say.
        (
            "failed",
            "download_state='pending', processed=true, processing_error='x'",
            "queued",
            None,
        ),
        ("published", "download_state='pending', youtube_url=NULL", "queued", None),
        ("failed", "download_state='pending', youtube_url='OTHER'", "queued", None),
        # An end with a reason counts, whatever else is said.
        ("queued", "processed=true, processing_error='x', youtube_url='OTHER'", "failed", "x"),
        ("published", "processing_error='x', youtube_url=NULL", "failed", "x"),
        # A reason of earlier is no wish of now.
        ("retrying", "processed=true, youtube_url='OTHER'", "verifying", None),
        ("held", "youtube_url='OTHER'", "verifying", None),
        ("failed", "processed=true, youtube_url='OTHER', processing_error=NULL", "verifying", None),
        # Uploaded by hand: all that there is to say, or less.
        (
            "queued",
            "processed=true, download_state='complete', youtube_url='OTHER'",
            "verifying",
            None,
        ),
        ("failed", "download_state='complete', youtube_url='OTHER'", "verifying", None),
        # Do it again, and say why.
        ("published", "processed=false, processing_error='bad sound'", "queued", "bad sound"),
        ("published", "processed=false, youtube_url=NULL", "queued", None),
        ("failed+file", "processing_error=NULL, youtube_url=NULL", "downloaded", None),
        ("failed", "processed=true, processing_error=NULL", "queued", None),
        ("retrying", "processed=true, processing_error=NULL", "skipped", "marked as processed"),
        ("published", "processed=false, download_state='failed'", "queued", "marked as failed"),
        ("retrying", "processed=true, download_state='skipped'", "skipped", "Twitch answered 503"),
        ("queued", "download_state='skipped', processing_error='dull'", "skipped", "dull"),
        # An empty text is none.
        ("retrying", "processing_error=''", "queued", None),
        ("published", "youtube_url=' '", "downloaded", None),
        # A better reason for what is decided.
        ("skipped", "processing_error='dull'", "skipped", "dull"),
        ("failed", "processing_error='dull'", "failed", "dull"),
    ],
)
def test_several_columns_at_once_mean_what_they_mean_together(
    case: tuple[str, str, str, str | None], connection: Connection, psql: Psql
) -> None:
    name, assignments, stage, error = case
    rows.situation(connection, name)
    edit(psql, assignments)
    row = rows.raw(connection)
    assert row["stage"] == stage
    assert (row["processing_error"] or "").startswith(error or "")
    assert (row["processing_error"] is None) == (error is None)
    rows.assert_shown_as_promised(row)
    assert rows.can_move(row)


def test_one_statement_for_all_rows_does_for_each_what_it_does_alone(
    connection: Connection, psql: Psql
) -> None:
    for number, name in enumerate(SITUATIONS, 1):
        rows.situation(connection, name, number)
    psql.execute(
        "UPDATE vods SET processed=false, processing_error=NULL"
        " WHERE created_at > NOW() - INTERVAL '24 hours'"
    )
    outcomes = [outcome for _, what, outcome in _cells() if what == "reprocess"]
    for number, (name, outcome) in enumerate(zip(SITUATIONS, outcomes, strict=True), 1):
        row = rows.raw(connection, number)
        untouched = SITUATIONS[name].columns["stage"]
        assert row["stage"] == (untouched if outcome == "=" else outcome), name
        assert (row["worker_id"] is not None) == (name == "downloading"), name
    assert rows.get(connection, 4).worker_id == WORKER, "it was not to be disturbed"


def test_a_statement_that_makes_no_sense_for_one_row_changes_none(
    connection: Connection, psql: Psql
) -> None:
    rows.situation(connection, "skipped+file", 1)
    rows.situation(connection, "queued", 2)
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="VOD 2 has neither a file"):
        psql.execute("UPDATE vods SET download_state='complete'")
    assert rows.get(connection, 1).stage == Stage.SKIPPED


@pytest.mark.parametrize(
    "assignments",
    [
        "download_state='finished'",
        "download_state=''",
        "download_state=NULL",
        "download_state='downloading'",
        "processed=NULL",
        "youtube_url='https://www.twitch.tv/videos/1'",
        "youtube_url='https://www.youtube.com/watch?v='",
        "youtube_url='https://www.youtube.com/'",
        "youtube_url='see the other channel'",
        "stage='finished'",
        "twitch_vod_id='../../etc'",
        "twitch_vod_id=NULL",
        "twitch_vod_id='2'",
    ],
)
def test_what_makes_no_sense_is_refused_with_a_message_and_changes_nothing(
    assignments: str, connection: Connection, psql: Psql
) -> None:
    rows.situation(connection, "queued", 1)
    rows.situation(connection, "queued", 2)
    before = rows.raw(connection)
    with pytest.raises(psycopg.DatabaseError) as raised:
        edit(psql, assignments)
    if isinstance(raised.value, psycopg.errors.InvalidParameterValue):
        assert raised.value.diag.message_hint
    assert rows.raw(connection) == before


@pytest.mark.parametrize(
    "url",
    [
        "OTHER",
        "https://www.youtube.com/watch?v=OTHER",
        "http://youtube.com/watch?v=OTHER&t=10s",
        "https://m.youtube.com/watch?list=PL1&v=OTHER",
        "https://youtu.be/OTHER?si=abc",
        "https://www.youtube.com/live/OTHER",
        "https://www.youtube.com/shorts/OTHER",
        " https://youtu.be/OTHER ",
    ],
)
def test_a_video_may_be_named_by_any_address_that_it_has(
    url: str, connection: Connection, psql: Psql
) -> None:
    rows.situation(connection, "finalizing")
    edit(psql, f"youtube_url='{url}'")
    vod = rows.get(connection)
    assert (vod.video_id, vod.youtube_url) == ("OTHER", URL.replace("VIDEO", "OTHER"))


# --- what an edit leaves as it is -------------------------------------------------------


@pytest.mark.parametrize("name", ["published", "pruned", "verifying", "failed+video"])
@pytest.mark.parametrize("what", ["again", "pending", "reprocess", "retry"])
def test_asking_for_the_whole_way_again_loses_no_confirmed_video(
    name: str, what: str, connection: Connection, psql: Psql
) -> None:
    rows.situation(connection, name)
    edit(psql, EDITS[what])
    vod = rows.get(connection)
    assert vod.youtube_url == URL
    assert vod.recheck, "YouTube is to be asked before anything is fetched"


@pytest.mark.parametrize("what", ["again", "pending", "end", "no url", "url", "failed", "skipped"])
def test_no_edit_forgets_an_upload_session_or_where_the_file_lies(
    what: str, connection: Connection, psql: Psql
) -> None:
    vod = rows.situation(connection, "uploading")
    known = upload_of(vod.id)
    uploads.put(connection, known)
    edit(psql, EDITS[what])
    after = rows.get(connection)
    assert uploads.of_vod(connection, vod.id) == [known]
    assert (after.downloaded_path, after.file_sha256) == (vod.downloaded_path, vod.file_sha256)


def test_an_uncertain_upload_stays_uncertain_since_then_however_often_it_is_asked_about(
    connection: Connection, psql: Psql
) -> None:
    rows.situation(connection, "finalizing")
    edit(psql, EDITS["no error"])
    assert rows.get(connection).uncertain_since == rows.NOW
    edit(psql, EDITS["pending"])
    assert rows.get(connection).uncertain_since is None


def test_a_failure_typed_in_for_a_while_is_tried_again_after_a_while(
    connection: Connection, psql: Psql
) -> None:
    rows.situation(connection, "queued")
    edit(psql, EDITS["failed"])
    vod = rows.get(connection)
    assert vod.next_try_at is not None
    assert vod.next_try_at - clock(connection) > timedelta(minutes=9)
    edit(psql, EDITS["no error"])
    assert rows.get(connection).next_try_at is None


def test_a_cancel_that_was_asked_for_gives_way_to_a_later_wish(
    connection: Connection, psql: Psql
) -> None:
    vod = rows.situation(connection, "downloading")
    vods.request_cancel(connection, vod, "not now")
    edit(psql, EDITS["pending"])
    assert rows.get(connection).cancel_reason is None


# --- quotas -----------------------------------------------------------------------------


def upload_of(vod_id: int) -> uploads.Upload:
    return uploads.Upload(
        vod_id, 1, 1, "default", "project", "marker", "sealed", 1000, "00ff", 10, rows.NOW, None
    )


QUOTA_RESET = "UPDATE vods SET processing_error=NULL WHERE processing_error LIKE '%quota%'"


def test_releasing_what_a_quota_holds_releases_the_account(
    connection: Connection, psql: Psql
) -> None:
    rows.situation(connection, "held")
    later = clock(connection) + timedelta(hours=5)
    uploads.hold_account(connection, "default", later, "the quota is used up", "quota")
    psql.execute(QUOTA_RESET)
    assert not uploads.holds(connection)


def test_releasing_what_an_account_holds_that_was_mended_releases_it_and_no_quota(
    connection: Connection, psql: Psql
) -> None:
    """As when the API was not enabled, and is now."""
    rows.situation(connection, "held")
    connection.execute("UPDATE vods SET problem_code = 'login'")
    later = clock(connection) + timedelta(hours=5)
    uploads.hold_account(connection, "default", later, "the API is not enabled", "login")
    uploads.hold_account(connection, "another", later, "the quota is used up", "quota")
    psql.execute("UPDATE vods SET processing_error = NULL")
    assert [hold.account for hold in uploads.holds(connection)] == ["another"]


def test_a_held_upload_that_goes_on_by_itself_releases_nobody_else(
    connection: Connection,
) -> None:
    vod = rows.situation(connection, "held")
    later = clock(connection) + timedelta(hours=5)
    uploads.hold_account(connection, "another", later, "the quota is used up", "quota")
    connection.execute("UPDATE vods SET next_try_at = now()")
    queue.wake(connection)
    taken = take(connection, queue.UPLOADS)
    assert taken is not None
    claims.advance(connection, rows.claim_of(taken), Stage.UPLOADING)
    assert rows.get(connection).problem is None
    assert vod.problem is not None
    assert [hold.account for hold in uploads.holds(connection)] == ["another"]


def take(connection: Connection, stages: tuple[Stage, ...]) -> Any:
    return queue.take(
        connection,
        stages,
        worker_id=WORKER,
        directory_id=rows.DIRECTORY,
        lease_seconds=60,
        channels=["alice"],
    )


def test_an_operator_who_releases_many_and_a_worker_that_holds_one_do_not_wait_crosswise(
    connection: Connection, another: Callable[[], Connection], psql: Psql
) -> None:
    """The worker locks its VOD before the hold; a statement that took the hold with its first
    row, and then waited for the worker's, would never end."""
    later = clock(connection) + timedelta(hours=5)
    uploads.hold_account(connection, "default", later, "the quota is used up", "quota")
    rows.situation(connection, "held", 1)
    rows.situation(connection, "held", 2)
    worker = another()
    with worker.transaction():
        worker.execute("SELECT FROM vods WHERE twitch_vod_id = '2' FOR UPDATE")
        operator = Statement(psql, QUOTA_RESET)
        operator.wait_until_it_waits(connection)
        uploads.hold_account(worker, "default", later, "used up", "quota")
    assert operator.join().rowcount == 2
    assert not uploads.holds(connection)


# --- rows that come and go by hand ------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "stage", "error"),
    [
        ({}, "queued", None),
        ({"channel": "alice", "title": "a", "processed": False}, "queued", None),
        ({"download_state": "pending"}, "queued", None),
        ({"download_state": "downloading"}, "queued", None),
        ({"processing_error": "503"}, "queued", "503"),
        ({"download_state": "failed", "processing_error": "503"}, "queued", "503"),
        ({"download_state": "failed"}, "queued", "marked as failed"),
        ({"download_state": "failed", "processed": True, "processing_error": "x"}, "failed", "x"),
        ({"processed": True, "processing_error": "x"}, "failed", "x"),
        ({"processed": True}, "skipped", "marked as processed"),
        ({"download_state": "skipped"}, "skipped", "skipped by"),
        ({"youtube_url": URL}, "verifying", None),
        (
            {"youtube_url": URL, "processed": True, "download_state": "complete"},
            "verifying",
            None,
        ),
        (
            {"downloaded_path": "/d/a.mp4", "processed": True, "download_state": "complete"},
            "downloaded",
            None,
        ),
        ({"processed": True, "processing_error": "x", "youtube_url": URL}, "failed", "x"),
    ],
)
def test_a_row_typed_in_is_understood_by_its_visible_columns(
    columns: dict[str, Any],
    stage: str,
    error: str | None,
    connection: Connection,
    psql: Psql,
) -> None:
    names = ", ".join(["twitch_vod_id", *columns])
    marks = ", ".join(["%s"] * (len(columns) + 1))
    psql.execute(f"INSERT INTO vods ({names}) VALUES ({marks})", ["1", *columns.values()])
    row = rows.raw(connection)
    assert row["stage"] == stage
    assert (row["processing_error"] or "").startswith(error or "")
    assert (row["processing_error"] is None) == (error is None)
    rows.assert_shown_as_promised(row)
    assert rows.can_move(row)
    (line,) = vods.history(connection, rows.get(connection))
    assert (line.actor, line.from_stage, line.to_stage) == ("operator", None, stage)


@pytest.mark.parametrize(
    "columns",
    [
        "(twitch_vod_id, download_state) VALUES ('1', 'done')",
        "(twitch_vod_id, download_state) VALUES ('1', 'complete')",
        "(twitch_vod_id, youtube_url) VALUES ('1', 'https://www.twitch.tv/videos/1')",
        "(twitch_vod_id) VALUES ('v1')",
        "(twitch_vod_id) VALUES ('')",
        "(title) VALUES ('a')",
        "(twitch_vod_id) VALUES ('1'), ('1')",
    ],
)
def test_a_row_that_makes_no_sense_is_not_taken(columns: str, psql: Psql) -> None:
    with pytest.raises(psycopg.DatabaseError):
        psql.execute(f"INSERT INTO vods {columns}")
    assert psql.execute("SELECT FROM vods").rowcount == 0


def test_a_row_typed_in_without_a_channel_is_taken_up(connection: Connection, psql: Psql) -> None:
    psql.execute("INSERT INTO vods (twitch_vod_id) VALUES ('1')")
    vod = queue.take(
        connection,
        queue.DOWNLOADS,
        worker_id=WORKER,
        directory_id=rows.DIRECTORY,
        lease_seconds=60,
        channels=[""],
    )
    assert vod is not None
    assert vod.twitch_vod_id == "1"


@pytest.mark.parametrize("name", list(SITUATIONS))
def test_a_deleted_row_takes_everything_with_it_and_stops_its_worker(
    name: str, connection: Connection, psql: Psql
) -> None:
    vod = rows.situation(connection, name)
    uploads.put(connection, upload_of(vod.id))
    breaker.learn(
        connection,
        "alice",
        Signal.FAILURE,
        direction="download",
        vod_id=vod.id,
        policy=BreakerPolicy(5, timedelta(minutes=5)),
    )
    psql.execute("DELETE FROM vods WHERE twitch_vod_id = '1'")
    for table in ("uploads", "vod_history", "breaker_failures", "transfers"):
        assert psql.execute(f"SELECT FROM {table}").rowcount == 0, table
    if vod.worker_id is not None:
        with pytest.raises(LeaseLost):
            claims.renew(connection, rows.claim_of(vod), 60, None)


def test_created_at_is_when_the_row_came_and_may_be_typed_in(
    connection: Connection, psql: Psql
) -> None:
    psql.execute(
        "INSERT INTO vods (twitch_vod_id, created_at) VALUES ('1', '2020-01-01T00:00:00Z')"
    )
    rows.insert(connection, 2)
    assert rows.get(connection, 1).created_at.year == 2020
    assert clock(connection) - rows.get(connection, 2).created_at < timedelta(minutes=1)
