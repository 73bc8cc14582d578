"""What follows from a piece of work on a download."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.model.a_vod import vod
from vodtender.errors import (
    AuthExpired,
    CredentialsMissing,
    Locked,
    RateLimited,
    Rejected,
    Stopped,
    Transient,
    VodtenderError,
)
from vodtender.model.backoff import Backoff
from vodtender.model.decision import after, cancelled
from vodtender.model.outcome import (
    Adopted,
    Failed,
    Fetched,
    FileGone,
    Held,
    Interrupted,
    Missing,
    OnYouTube,
    Outcome,
    Processed,
    Recording,
    Vanished,
)
from vodtender.model.settlement import Policy, Settlement, Signal
from vodtender.model.vod import FileRecord, Stage, Vod, Waiting

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
BACKOFF = Backoff(5, timedelta(seconds=2), timedelta(minutes=10))
POLICY = Policy(download=BACKOFF, upload=BACKOFF, absence_wait=HOUR)
FILE = FileRecord("/data/a_1.mp4", "d", 10, "00", 0, 1.0)


def coming_down(**more: object) -> Vod:
    return vod(Stage.DOWNLOADING, downloaded_path=None, **more)


def decided(of: Vod, outcome: Outcome, now: datetime = NOW) -> Settlement:
    return after(of, outcome, POLICY, now, jitter=0.0)


# --- it is there ------------------------------------------------------------------------


def test_a_fetched_file_is_recorded_and_its_upload_is_next() -> None:
    of = coming_down(download_attempts=3, missing_since=NOW, problem="x", problem_code="y")
    settlement = decided(of, Fetched(FILE))
    standing = settlement.standing
    assert (standing.stage, settlement.file, settlement.signal) == (
        Stage.DOWNLOADED,
        FILE,
        Signal.SUCCESS,
    )
    assert (standing.download_attempts, standing.missing_since) == (0, None)
    assert (standing.problem, standing.problem_code, standing.next_try_at) == (None, None, None)


def test_a_file_that_was_there_already_says_nothing_about_twitch() -> None:
    settlement = decided(coming_down(recheck=True), Adopted())
    assert (settlement.standing.stage, settlement.file, settlement.signal) == (
        Stage.DOWNLOADED,
        None,
        Signal.NOTHING,
    )
    assert not settlement.standing.recheck


def test_a_video_that_was_found_says_nothing_about_twitch() -> None:
    settlement = decided(coming_down(recheck=True), OnYouTube("V"))
    assert (settlement.standing.stage, settlement.signal) == (Stage.VERIFYING, Signal.NOTHING)


def test_a_vod_that_is_still_recorded_waits_and_is_looked_at_again_whatever_is_listed() -> None:
    settlement = decided(coming_down(download_attempts=4), Recording())
    standing = settlement.standing
    assert (standing.stage, standing.waiting_for) == (Stage.LIVE, Waiting.RECORDING)
    assert standing.next_try_at is not None
    assert not Waiting.RECORDING.is_short
    assert (standing.problem, settlement.signal) == (None, Signal.NOTHING)


# --- it is not there --------------------------------------------------------------------


def test_that_it_is_missing_needs_a_second_witness() -> None:
    first = decided(coming_down(), Missing("no such video", confirmed=None))
    assert (first.standing.stage, first.standing.waiting_for) == (
        Stage.QUEUED,
        Waiting.SECOND_LOOK,
    )
    assert first.standing.missing_since == NOW
    again = coming_down(missing_since=NOW)
    early = decided(again, Missing("no such video", confirmed=None), NOW + timedelta(seconds=29))
    assert early.standing.stage is Stage.QUEUED
    assert early.standing.missing_since == NOW
    late = decided(again, Missing("no such video", confirmed=None), NOW + timedelta(seconds=30))
    assert (late.standing.stage, late.standing.problem_code) == (Stage.FAILED, "vod_missing")
    confirmed = Missing("no such video", confirmed=True)
    at_once = decided(coming_down(), confirmed)
    assert at_once.standing.waiting_for is Waiting.SECOND_LOOK, "one moment may strike both"
    soon = decided(again, confirmed, NOW + timedelta(seconds=5))
    assert soon.standing.stage is Stage.FAILED
    for settlement in (first, early, late, at_once, soon):
        assert settlement.signal is Signal.NOTHING


def test_what_twitch_lists_and_does_not_give_is_tried_again() -> None:
    settlement = decided(coming_down(missing_since=NOW), Missing("no such video.", confirmed=False))
    standing = settlement.standing
    assert (standing.stage, standing.problem_code) == (Stage.QUEUED, "vod_hidden")
    assert standing.problem == "no such video, but Twitch's API lists it"
    assert (standing.missing_since, settlement.signal) == (None, Signal.NOTHING)
    still = decided(coming_down(download_attempts=99), Missing("no such video", confirmed=False))
    assert still.signal is Signal.FAILURE, "a moment is no failure of the channel, but hours are"


# --- it went wrong ----------------------------------------------------------------------


def test_trouble_that_passes_is_tried_again_soon_and_then_more_and_more_rarely() -> None:
    of, waits, reasons = coming_down(), [], []
    for _ in range(8):
        settlement = decided(of, Failed(Transient("Twitch answered 503", code="server_error")))
        standing = settlement.standing
        assert (standing.stage, settlement.signal) == (Stage.QUEUED, Signal.FAILURE)
        assert standing.next_try_at is not None
        waits.append(standing.next_try_at - NOW)
        reasons.append(standing.waiting_for)
        of = replace(of, download_attempts=standing.download_attempts)
    assert waits[0] == timedelta(seconds=2)
    assert waits == sorted(waits)
    assert reasons == [Waiting.BACKOFF] * 4 + [Waiting.COOLDOWN] * 4


def test_there_is_no_last_try_while_it_can_still_be_had() -> None:
    of = coming_down(download_attempts=10_000, vanishes_at=NOW - HOUR)
    assert decided(of, Failed(Transient("503"))).standing.stage is Stage.QUEUED
    forever = coming_down(download_attempts=10_000, vanishes_at=None)
    assert decided(forever, Failed(Transient("503"))).standing.stage is Stage.QUEUED


def test_when_it_must_have_vanished_the_quick_tries_are_the_last() -> None:
    gone = NOW - DAY - HOUR
    tried = coming_down(download_attempts=4, vanishes_at=gone)
    settlement = decided(tried, Failed(Transient("503.", code="server_error")))
    assert (settlement.standing.stage, settlement.standing.problem_code) == (
        Stage.FAILED,
        "server_error",
    )
    assert settlement.standing.problem == "503. Twitch has deleted the VOD by now."
    fresh = coming_down(download_attempts=0, vanishes_at=gone)
    assert decided(fresh, Failed(Transient("503"))).standing.stage is Stage.QUEUED


def test_a_refusal_is_for_good_and_trips_no_breaker() -> None:
    error = Rejected("subscribers only", hint="then: vodtender retry VOD", code="subscriber_only")
    settlement = decided(coming_down(), Failed(error))
    assert (settlement.standing.stage, settlement.signal) == (Stage.FAILED, Signal.NOTHING)
    assert settlement.standing.problem == "subscribers only. then: vodtender retry 1001"


@pytest.mark.parametrize(
    ("outcome", "signal"),
    [
        (Failed(Rejected("subscribers only", code="subscriber_only")), Signal.NOTHING),
        (Missing("no such video", confirmed=True), Signal.NOTHING),
        (Failed(Transient("503")), Signal.FAILURE),
    ],
)
def test_what_twitch_does_not_give_any_more_stays_done_if_it_is_on_youtube(
    outcome: Outcome, signal: Signal
) -> None:
    of = coming_down(
        video_id="V",
        recheck=True,
        download_attempts=9,
        vanishes_at=NOW - 2 * DAY,
        missing_since=NOW - HOUR,
    )
    settlement = decided(of, outcome)
    standing = settlement.standing
    assert (standing.stage, standing.video_id) == (Stage.VERIFYING, "V")
    assert (standing.next_try_at, standing.recheck, settlement.signal) == (None, False, signal)


def test_a_full_disk_is_not_the_vods_fault() -> None:
    settlement = decided(coming_down(), Failed(Transient("no room", code="disk_full")))
    standing = settlement.standing
    assert (standing.stage, standing.problem, standing.next_try_at) == (Stage.QUEUED, None, None)
    assert (standing.download_attempts, settlement.signal) == (0, Signal.NOTHING)


@pytest.mark.parametrize(
    "error", [Locked("somebody is in it"), Transient("busy", code="work_directory_busy")]
)
def test_a_directory_in_which_somebody_works_is_waited_for(error: VodtenderError) -> None:
    settlement = decided(coming_down(), Failed(error))
    standing = settlement.standing
    assert standing.waiting_for is Waiting.BACKOFF
    assert (standing.next_try_at, settlement.signal) == (NOW + timedelta(seconds=5), Signal.NOTHING)
    assert standing.download_attempts == 0


@pytest.mark.parametrize(
    ("error", "reason", "code"),
    [
        (AuthExpired("the token is dead"), Waiting.LOGIN, "login"),
        (CredentialsMissing("nobody has logged in"), Waiting.LOGIN, "login"),
        (VodtenderError("odd", code="odd"), Waiting.COOLDOWN, "odd"),
        (RateLimited("slower", until=NOW - HOUR), Waiting.BACKOFF, "rate_limited"),
        (RateLimited("slower", until=NOW + 2 * HOUR), Waiting.QUOTA, "rate_limited"),
    ],
)
def test_what_needs_something_first_waits_for_it_and_is_nobodys_failure(
    error: VodtenderError, reason: Waiting, code: str
) -> None:
    settlement = decided(coming_down(), Failed(error))
    standing = settlement.standing
    assert (standing.waiting_for, standing.problem_code) == (reason, code)
    assert standing.next_try_at is not None
    assert standing.next_try_at > NOW
    assert (standing.download_attempts, settlement.signal) == (0, Signal.NOTHING)


# --- whatever the work ------------------------------------------------------------------


@pytest.mark.parametrize("stage", [s for s in Stage if s.wants_upload or s is Stage.DOWNLOADING])
def test_work_that_was_ended_on_request_leaves_no_mark(stage: Stage) -> None:
    of = vod(stage, problem="an old one", problem_code="x", upload_attempts=3)
    resting = Stage.QUEUED if stage is Stage.DOWNLOADING else stage
    for outcome in (Interrupted(), Failed(Stopped("asked to"))):
        settlement = decided(of, outcome)
        assert (settlement.standing.stage, settlement.signal) == (resting, Signal.NOTHING)
        assert (settlement.standing.problem, settlement.standing.next_try_at) == (None, None)
        assert settlement.standing.upload_attempts == 3
        assert settlement == Settlement(settlement.standing), "nothing is forgotten"


@pytest.mark.parametrize("said", ["used up", "die Quote ist erschöpft", "QUOTA", "", "x" * 2000])
def test_what_a_quota_holds_says_quota(said: str) -> None:
    for of in (vod(Stage.DOWNLOADED), vod(Stage.UPLOADING), vod(Stage.FINALIZING)):
        limited = Failed(RateLimited(said, until=NOW + HOUR, code="quota"))
        held = Held(said, "quota", NOW + HOUR, Waiting.QUOTA)
        for outcome in (limited, held):
            problem = decided(of, outcome).standing.problem or ""
            assert "quota" in problem
            assert len(problem) <= 1000


@pytest.mark.parametrize(
    "text", ["two\nlines", "a\0b", "half \ud83d of a pair", "\x1b[31mred", "x" * 5000]
)
def test_whatever_went_wrong_can_be_stored_on_one_line(text: str) -> None:
    outcomes: list[Outcome] = [
        Failed(Transient(text, hint=text)),
        Failed(Rejected(text)),
        Missing(text, confirmed=True),
        FileGone(text),
        Held(text, "login", NOW + HOUR, Waiting.LOGIN),
        Vanished((text,)),
    ]
    for outcome in outcomes:
        for settlement in (
            decided(vod(Stage.DOWNLOADED), outcome),
            decided(coming_down(), outcome),
        ):
            problem = (settlement.standing.problem or "").encode().decode()
            assert problem.isprintable()
            assert len(problem) <= 1000 + len("; it is fetched again")
    problem = cancelled(decided(coming_down(), Interrupted()), text).standing.problem or ""
    assert problem.isprintable()


def test_a_cancel_wins_over_whatever_the_work_came_to_but_publication() -> None:
    failed = decided(coming_down(), Failed(Transient("503")))
    settlement = cancelled(failed, "not wanted")
    standing = settlement.standing
    assert (standing.stage, standing.problem, standing.next_try_at) == (
        Stage.SKIPPED,
        "not wanted",
        None,
    )
    assert settlement.signal is Signal.NOTHING
    fetched = cancelled(decided(coming_down(), Fetched(FILE)), "not wanted")
    assert (fetched.standing.stage, fetched.file, fetched.signal) == (
        Stage.SKIPPED,
        FILE,
        Signal.SUCCESS,
    )
    done = decided(vod(Stage.VERIFYING, video_id="V"), Processed())
    assert cancelled(done, "not wanted") == done
