"""What follows from an upload's outcome. The rule above all: a session is given up only when it
certainly has not become a video."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from tests.model.a_vod import NOW, vod
from vodtender.errors import (
    Answer,
    AuthExpired,
    CredentialsMissing,
    Locked,
    RateLimited,
    Rejected,
    Stopped,
    Transient,
    Uncertain,
    VodtenderError,
)
from vodtender.model.backoff import Backoff
from vodtender.model.decision import after
from vodtender.model.outcome import (
    Absent,
    Failed,
    FileGone,
    Held,
    Interrupted,
    OnYouTube,
    Outcome,
    Processed,
    Processing,
    Refused,
    Unfinished,
    Vanished,
)
from vodtender.model.settlement import Policy, Settlement, Signal
from vodtender.model.vod import Stage, Vod, Waiting

HOUR = timedelta(hours=1)
BACKOFF = Backoff(5, timedelta(seconds=2), timedelta(minutes=10))
POLICY = Policy(download=BACKOFF, upload=BACKOFF, absence_wait=HOUR)
UPLOADING = (Stage.DOWNLOADED, Stage.UPLOADING, Stage.FINALIZING, Stage.VERIFYING)
ERRORS: tuple[VodtenderError, ...] = (
    Transient("internal error", code="internal"),
    Transient("503", code="server_error"),
    Transient("away", code="unreachable"),
    RateLimited("slower", until=NOW + timedelta(seconds=30)),
    RateLimited("quota", until=NOW + HOUR, code="quota"),
    AuthExpired("revoked"),
    CredentialsMissing("another key"),
    Locked("busy", code="work_directory_busy"),
    VodtenderError("no room", code="no_room"),
    Stopped("asked to"),
    Uncertain("who knows"),
    Rejected("refused", code="invalid_title"),
)


def decided(of: Vod, outcome: Outcome, now: datetime = NOW) -> Settlement:
    return after(of, outcome, POLICY, now, jitter=0.0)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.code)
@pytest.mark.parametrize("stage", UPLOADING)
def test_no_failure_gives_up_a_session_unless_it_is_known_to_be_over(
    stage: Stage, error: VodtenderError
) -> None:
    settlement = decided(vod(stage), Failed(error))
    assert not settlement.forget_session
    assert settlement.forget_videos == ()
    if not isinstance(error, Rejected):
        assert settlement.standing.stage in (stage, Stage.FINALIZING)


def test_a_session_that_is_over_makes_the_upload_begin_anew() -> None:
    error = Transient("gone", code="session_gone")
    settlement = decided(vod(), Failed(error, session_over=True))
    assert (settlement.standing.stage, settlement.forget_session) == (Stage.DOWNLOADED, True)
    assert settlement.standing.waiting_for is Waiting.BACKOFF


@pytest.mark.parametrize("stage", [Stage.DOWNLOADED, Stage.UPLOADING, Stage.FINALIZING])
def test_uncertain_waits_in_finalizing_and_asks_more_and_more_rarely(stage: Stage) -> None:
    of = vod(stage)
    pauses = []
    for _ in range(7):
        settlement = decided(of, Failed(Uncertain("who knows")))
        standing = settlement.standing
        assert standing.stage is Stage.FINALIZING
        assert standing.uncertain_since == NOW
        assert standing.next_try_at is not None
        pauses.append(standing.next_try_at - NOW)
        of = replace(
            of, stage=standing.stage, upload_attempts=standing.upload_attempts, uncertain_since=NOW
        )
    assert pauses[0] == timedelta(seconds=5)
    assert pauses == sorted(pauses)
    assert pauses[-1] > timedelta(minutes=10)


def test_absence_means_something_only_after_the_wait() -> None:
    first = decided(vod(Stage.FINALIZING), Absent())
    assert (first.standing.stage, first.forget_session) == (Stage.FINALIZING, False)
    assert first.standing.uncertain_since == NOW
    waiting = vod(Stage.FINALIZING, uncertain_since=NOW)
    almost = decided(waiting, Absent(), NOW + HOUR - timedelta(seconds=1))
    assert almost.standing.stage is Stage.FINALIZING
    assert almost.standing.next_try_at == NOW + HOUR
    over = decided(waiting, Absent(), NOW + HOUR)
    assert (over.standing.stage, over.forget_session) == (Stage.DOWNLOADED, True)
    assert over.standing.uncertain_since is None


def test_run_drain_waits_for_the_first_looks_only() -> None:
    waiting = vod(Stage.FINALIZING, uncertain_since=NOW)
    soon = decided(waiting, Absent(), NOW + timedelta(seconds=30)).standing.waiting_for
    late = decided(waiting, Absent(), NOW + timedelta(minutes=2)).standing.waiting_for
    assert soon is not None
    assert soon.is_short
    assert late is not None
    assert not late.is_short


def test_a_session_that_is_open_goes_on() -> None:
    settlement = decided(vod(Stage.FINALIZING, uncertain_since=NOW), Unfinished())
    assert (settlement.standing.stage, settlement.standing.uncertain_since) == (
        Stage.UPLOADING,
        None,
    )
    assert not settlement.forget_session


def test_progress_starts_the_count_of_tries_anew() -> None:
    of = vod(upload_attempts=9)
    stuck = decided(of, Failed(Transient("503")))
    moved = decided(of, Failed(Transient("503"), progressed=True))
    assert stuck.standing.waiting_for is Waiting.COOLDOWN
    assert (moved.standing.waiting_for, moved.standing.upload_attempts) == (Waiting.BACKOFF, 1)
    assert moved.signal is Signal.FAILURE


def test_tries_that_cost_an_upload_of_the_day_are_few() -> None:
    failed = Failed(Transient("503"), costly=True)
    reasons = [
        decided(vod(Stage.DOWNLOADED, upload_attempts=n), failed).standing.waiting_for
        for n in range(4)
    ]
    assert reasons == [Waiting.BACKOFF, Waiting.BACKOFF, Waiting.COOLDOWN, Waiting.COOLDOWN]


@pytest.mark.parametrize(
    ("error", "reason", "signal"),
    [
        (Transient("503"), Waiting.BACKOFF, Signal.FAILURE),
        (RateLimited("x", until=NOW + timedelta(seconds=30)), Waiting.BACKOFF, Signal.NOTHING),
        (RateLimited("quota", until=NOW + HOUR, code="quota"), Waiting.QUOTA, Signal.NOTHING),
        (AuthExpired("revoked"), Waiting.LOGIN, Signal.NOTHING),
        (CredentialsMissing("nobody"), Waiting.LOGIN, Signal.NOTHING),
        (VodtenderError("no room", code="no_room"), Waiting.COOLDOWN, Signal.NOTHING),
    ],
)
def test_what_it_waits_for_and_what_the_breaker_learns(
    error: Answer, reason: Waiting, signal: Signal
) -> None:
    settlement = decided(vod(), Failed(error))
    assert (settlement.standing.waiting_for, settlement.signal) == (reason, signal)


def test_a_refusal_ends_it_and_names_the_command() -> None:
    error = Rejected("no", hint="correct it, then: vodtender retry VOD", code="invalid_title")
    settlement = decided(vod(Stage.DOWNLOADED), Failed(error))
    assert (settlement.standing.stage, settlement.standing.problem_code) == (
        Stage.FAILED,
        "invalid_title",
    )
    assert settlement.standing.problem == "no. correct it, then: vodtender retry 1001"


@pytest.mark.parametrize("stage", [Stage.DOWNLOADED, Stage.UPLOADING])
def test_a_file_that_is_gone_is_fetched_again_after_asking_youtube(stage: Stage) -> None:
    settlement = decided(vod(stage), FileGone("its file was deleted"))
    assert (settlement.standing.stage, settlement.standing.recheck) == (Stage.QUEUED, True)
    assert settlement.forget_file
    assert not settlement.forget_session


def test_a_file_that_is_gone_does_not_matter_once_youtube_has_the_video() -> None:
    settlement = decided(vod(Stage.DOWNLOADED, video_id="v"), FileGone("its file was deleted"))
    assert (settlement.standing.stage, settlement.standing.video_id) == (Stage.VERIFYING, "v")


def test_what_is_on_youtube_is_verified() -> None:
    settlement = decided(vod(upload_attempts=3, uncertain_since=NOW), OnYouTube("v"))
    standing = settlement.standing
    assert (standing.stage, standing.video_id) == (Stage.VERIFYING, "v")
    assert (standing.upload_attempts, standing.uncertain_since) == (0, None)
    assert standing.waiting_for is Waiting.PROCESSING
    assert settlement.signal is Signal.SUCCESS


def test_processed_is_the_end() -> None:
    standing = decided(vod(Stage.VERIFYING, video_id="v"), Processed()).standing
    assert (standing.stage, standing.next_try_at, standing.problem) == (
        Stage.PUBLISHED,
        None,
        None,
    )


def test_a_refused_video_is_forgotten_and_no_other() -> None:
    settlement = decided(vod(Stage.VERIFYING, video_id="v"), Refused(("w",), "duplicate"))
    assert (settlement.standing.stage, settlement.standing.video_id) == (Stage.FAILED, None)
    assert settlement.forget_videos == ("w",)
    problem = settlement.standing.problem or ""
    assert problem.startswith("YouTube does not accept the video w: duplicate, the channel has")
    assert problem.endswith(f"vodtender resolve {vod().twitch_vod_id} --uploaded VIDEO")


def test_however_long_it_was_processed_one_missing_answer_is_nothing() -> None:
    settlement = decided(vod(Stage.VERIFYING, video_id="v", upload_attempts=99), Vanished(("v",)))
    assert (settlement.standing.stage, settlement.standing.video_id) == (Stage.VERIFYING, "v")
    assert settlement.standing.missing_since == NOW


def test_seen_again_it_is_missing_no_more() -> None:
    settlement = decided(vod(Stage.VERIFYING, video_id="v", missing_since=NOW), Processing())
    assert settlement.standing.missing_since is None


@pytest.mark.parametrize(
    ("stage", "then"),
    [(Stage.VERIFYING, Stage.FAILED), (Stage.DOWNLOADED, Stage.DOWNLOADED)],
)
def test_what_stays_away_was_deleted(stage: Stage, then: Stage) -> None:
    of = vod(stage, video_id="v", missing_since=NOW)
    settlement = decided(of, Vanished(("v",)), NOW + HOUR)
    assert (settlement.standing.stage, settlement.standing.video_id) == (then, None)
    assert settlement.forget_videos == ("v",)


@pytest.mark.parametrize("stage", UPLOADING)
def test_what_was_not_tried_stays_where_it_is(stage: Stage) -> None:
    held = decided(vod(stage), Held("the quota", "quota", NOW + HOUR, Waiting.QUOTA))
    assert (held.standing.stage, held.standing.next_try_at) == (stage, NOW + HOUR)
    assert decided(vod(stage), Interrupted()).standing.stage is stage


# --- asking -----------------------------------------------------------------------------


def test_a_hiccup_after_many_polls_is_a_first_failure() -> None:
    of = vod(Stage.VERIFYING, video_id="v", polls=50)
    settlement = decided(of, Failed(Transient("503")))
    assert (settlement.standing.stage, settlement.standing.waiting_for) == (
        Stage.VERIFYING,
        Waiting.BACKOFF,
    )
    assert (settlement.standing.upload_attempts, settlement.standing.polls) == (1, 50)
    seen = decided(replace(of, upload_attempts=4), Processing())
    assert (seen.standing.upload_attempts, seen.standing.polls) == (0, 51)


def test_polls_come_more_and_more_rarely_and_go_on_for_ever() -> None:
    of, pauses = vod(Stage.VERIFYING, video_id="v"), []
    for _ in range(40):
        standing = decided(of, Processing()).standing
        assert (standing.stage, standing.waiting_for) == (Stage.VERIFYING, Waiting.PROCESSING)
        assert standing.next_try_at is not None
        pauses.append(standing.next_try_at - NOW)
        of = replace(of, polls=standing.polls)
    assert pauses[0] == timedelta(seconds=3)
    assert pauses == sorted(pauses)
    assert pauses[-1] == timedelta(minutes=10)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.code)
@pytest.mark.parametrize("stage", [Stage.FINALIZING, Stage.VERIFYING])
def test_what_asking_meets_tells_the_breaker_nothing(stage: Stage, error: VodtenderError) -> None:
    settlement = decided(vod(stage, video_id="v"), Failed(error))
    assert settlement.signal is Signal.NOTHING
    assert settlement.standing.video_id == "v"


def test_who_cannot_understand_youtubes_answer_goes_on_asking() -> None:
    settlement = decided(vod(Stage.VERIFYING, video_id="v"), Failed(Uncertain("garbled")))
    assert settlement.standing.stage is Stage.VERIFYING


def test_an_upload_that_was_uncertain_and_is_there_is_a_success() -> None:
    assert decided(vod(Stage.FINALIZING), OnYouTube("v")).signal is Signal.SUCCESS
    assert decided(vod(Stage.VERIFYING, video_id="v"), Processed()).signal is Signal.NOTHING
