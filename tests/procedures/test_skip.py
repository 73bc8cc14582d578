"""`skip` and `cancel`: nothing is done with a VOD any more, and what is being done ends."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.archive import VIDEO, Archive
from vodtender.config.settings import Settings
from vodtender.errors import Transient
from vodtender.model.outcome import (
    Failed,
    Fetched,
    Interrupted,
    OnYouTube,
    Outcome,
    Processed,
    Processing,
)
from vodtender.model.vod import FileRecord
from vodtender.pipeline.accounts import Accounts
from vodtender.pipeline.claimed_vod import ClaimedVod
from vodtender.pipeline.directory import open_directory
from vodtender.pipeline.room import DownloadRoom
from vodtender.pipeline.work import Lane, Result, work_on_next
from vodtender.pipeline.workplace import Workplace
from vodtender.procedures import skip as procedure
from vodtender.procedures.change import Change
from vodtender.procedures.vod_change import Tally
from vodtender.store import breaker, claims, queue
from vodtender.store.database import Database

Ending = Callable[..., Tally]
BOTH = pytest.mark.parametrize("ending", [procedure.skip, procedure.cancel])


def end(archive: Archive, ending: Ending, *, reason: str | None = "boring") -> Change:
    tally = ending(archive.database, ["1"], actor="alice@host", reason=reason, dry_run=False)
    tally.raise_failures()
    (change,) = tally.changes
    return change


@BOTH
@pytest.mark.parametrize(
    "stage", ["live", "queued", "downloaded", "uploading", "finalizing", "verifying", "failed"]
)
def test_what_nobody_works_on_is_skipped_at_once(
    archive: Archive, ending: Ending, stage: str
) -> None:
    archive.add("1", stage, problem="it broke", problem_code="quota")
    archive.hold_account()
    change = end(archive, ending)
    vod = archive.get("1")
    assert change.changed
    assert (vod.stage, vod.problem, vod.download_state) == ("skipped", "boring", "skipped")
    assert (vod.next_try_at, vod.waiting_for, vod.problem_code) == (None, None, "operator")
    assert vod.processed
    assert archive.held_accounts() == ["default"]


@BOTH
def test_the_file_and_the_session_stay(archive: Archive, ending: Ending) -> None:
    archive.add("1", "uploading")
    session = archive.open_session("1")
    assert end(archive, ending).note == "its file stays"
    assert archive.get("1").downloaded_path == "/data/title_1.mp4"
    assert archive.sessions("1") == [session]


def test_without_a_reason_it_says_who(archive: Archive) -> None:
    archive.add("1")
    archive.add("2")
    end(archive, procedure.skip, reason=None)
    assert archive.get("1").problem == "skipped by alice@host"
    procedure.cancel(archive.database, ["2"], actor="bob", reason=" \n", dry_run=False)
    assert archive.get("2").problem == "cancelled by bob"


def test_no_secret_and_no_control_character_of_a_reason_is_stored(archive: Archive) -> None:
    archive.add("1")
    end(archive, procedure.skip, reason="token=hunter2hunter2\x1b[2J\nfails")
    problem = archive.get("1").problem
    assert problem is not None
    assert "hunter2" not in problem
    assert problem.isprintable()


@BOTH
@pytest.mark.parametrize(
    ("stage", "says"), [("published", "it is on YouTube"), ("skipped", "skipped already: dull")]
)
def test_what_is_at_rest_is_left_alone(
    archive: Archive, ending: Ending, stage: str, says: str
) -> None:
    archive.add("1", stage, problem="dull" if stage == "skipped" else None)
    before = archive.get("1")
    change = end(archive, ending)
    assert not change.changed
    assert says in change.note
    assert archive.get("1") == before
    assert archive.audit() == []


@BOTH
def test_a_worker_is_asked_to_stop_and_asked_once(archive: Archive, ending: Ending) -> None:
    archive.add("1")
    archive.claim("1")
    change = end(archive, ending)
    assert change.after == {"state": "downloading", "cancel_reason": "boring"}
    assert change.note == "its worker stops within seconds"
    assert archive.get("1").worker_id == "worker-1"
    again = end(archive, ending)
    assert not again.changed
    assert again.note == "it is being cancelled already"
    assert len(archive.audit()) == 1


def test_a_dry_run_asks_no_worker(archive: Archive) -> None:
    archive.add("1")
    archive.claim("1")
    before = archive.get("1")
    tally = procedure.cancel(archive.database, ["1"], actor="a", reason="x", dry_run=True)
    assert tally.changes[0].after["cancel_reason"] == "x"
    assert archive.get("1") == before
    assert archive.audit() == []


def test_a_worker_that_has_died_is_not_waited_for(archive: Archive) -> None:
    archive.add("1")
    archive.claim("1", lease_seconds=-1)
    end(archive, procedure.cancel)
    assert archive.stage("1") == "skipped"


def test_a_worker_that_dies_before_it_hears_leaves_the_vod_skipped(archive: Archive) -> None:
    archive.add("1")
    archive.claim("1")
    end(archive, procedure.cancel)
    archive.set("1", lease_expires_at=archive.get("1").created_at)
    with archive.connection() as connection:
        queue.wake(connection)
    vod = archive.get("1")
    assert (vod.stage, vod.problem, vod.problem_code) == ("skipped", "boring", "cancelled")
    assert (vod.worker_id, vod.cancel_reason) == (None, None)


def test_a_worker_that_leaves_before_it_hears_leaves_the_vod_skipped(archive: Archive) -> None:
    archive.add("1", "uploading")
    archive.claim("1")
    end(archive, procedure.cancel)
    with archive.connection() as connection:
        claims.release_all(connection, "worker-1")
    assert (archive.stage("1"), archive.get("1").problem) == ("skipped", "boring")


# --- with a worker at work --------------------------------------------------------------


class Worker:
    """One worker in this process, with real heartbeats, whose work ends as the test says."""

    def __init__(self, archive: Archive, tmp_path: Path) -> None:
        settings = Settings(lease_seconds=2)
        directory = open_directory(tmp_path)
        self.database = Database(lambda: archive.dsn, pool_size=3)
        self.at_work = threading.Event()
        self.go_on = threading.Event()
        self.place = Workplace(
            settings=settings,
            database=self.database,
            directory=directory,
            worker_id="worker-1",
            accounts=Accounts(settings, self.database),
            room=DownloadRoom(directory, 0),
            chance=random.Random(1),
        )

    def begin(self, direction: str, outcome: Outcome, *, heeds_stop: bool = True) -> None:
        lanes = {"download": queue.DOWNLOADS, "upload": queue.UPLOADS, "verify": queue.CHECKS}

        def work(_place: Workplace, claimed: ClaimedVod) -> Result:
            self.at_work.set()
            while not (heeds_stop and claimed.should_stop()) and not self.go_on.wait(0.02):
                pass
            return Result(outcome)

        lane = Lane("test", "upload", lanes[direction], guarded=True, work=work)
        self._thread = threading.Thread(target=work_on_next, args=(self.place, lane), daemon=True)
        self._thread.start()
        assert self.at_work.wait(10)

    def finish(self) -> None:
        self.go_on.set()
        self.wait()

    def wait(self) -> None:
        self._thread.join(10)
        assert not self._thread.is_alive()
        self.database.close()


@pytest.fixture
def worker(archive: Archive, tmp_path: Path) -> Worker:
    return Worker(archive, tmp_path)


def test_running_work_ends_within_seconds_and_the_vod_is_skipped(
    archive: Archive, worker: Worker
) -> None:
    archive.add("1")
    worker.begin("download", Interrupted())
    tally = procedure.cancel(archive.database, ["1"], actor="a", reason="boring", dry_run=False)
    assert procedure.still_ending(archive.database, tally, timeout_seconds=10) == []
    worker.wait()
    vod = archive.get("1")
    assert (vod.stage, vod.problem, vod.problem_code) == ("skipped", "boring", "cancelled")
    assert (vod.worker_id, vod.cancel_reason, vod.next_try_at) == (None, None, None)


FILE = FileRecord("/data/x.mp4", "d", 5, "ab" * 32, 77, 60.0)


@pytest.mark.parametrize(
    ("stage", "lane", "outcome"),
    [
        ("queued", "download", Fetched(FILE)),
        ("queued", "download", Failed(Transient("it broke", code="network"))),
        ("uploading", "upload", OnYouTube(VIDEO)),
        ("uploading", "upload", Failed(Transient("it broke", code="network"))),
        ("verifying", "verify", Processing()),
    ],
)
def test_a_cancel_wins_over_work_that_ended_in_the_same_moment(
    archive: Archive, worker: Worker, stage: str, lane: str, outcome: Outcome
) -> None:
    """Else the next lane would go on with the VOD, and the operator's word would be lost."""
    archive.add("1", stage)
    worker.begin(lane, outcome, heeds_stop=False)
    end(archive, procedure.cancel)
    worker.finish()
    vod = archive.get("1")
    assert (vod.stage, vod.problem, vod.next_try_at) == ("skipped", "boring", None)
    assert vod.downloaded_path == (
        "/data/x.mp4" if outcome == Fetched(FILE) else vod.downloaded_path
    )
    assert vod.video_id == (VIDEO if isinstance(outcome, (OnYouTube, Processing)) else None)
    with archive.connection() as connection:
        assert breaker.get(connection, vod.channel).failures == 0


def test_what_youtube_has_processed_meanwhile_is_done_all_the_same(
    archive: Archive, worker: Worker
) -> None:
    archive.add("1", "verifying")
    worker.begin("verify", Processed(), heeds_stop=False)
    end(archive, procedure.cancel)
    worker.finish()
    assert archive.stage("1") == "published"


def test_waiting_for_a_worker_has_an_end(archive: Archive) -> None:
    archive.add("1")
    archive.claim("1")
    tally = procedure.cancel(archive.database, ["1"], actor="a", reason="x", dry_run=False)
    assert procedure.still_ending(archive.database, tally, timeout_seconds=0) == ["1"]
