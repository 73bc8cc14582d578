"""What follows from an outcome: the next stage, when to try again, what the breaker learns.

Pure. The store applies a `Change` in one transaction that checks that the worker still holds
the VOD.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

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
from vodtender.model import outcome as o
from vodtender.model.backoff import Backoff
from vodtender.model.discovery import SETTLED_AFTER
from vodtender.model.legal_text import one_line
from vodtender.model.vod import FileRecord, Stage, Standing, Vod, Waiting

_PROBLEM_MAX = 1000
_POLL_FIRST = timedelta(seconds=3)
_POLL_LONGEST = timedelta(minutes=10)
_BUSY_WAIT = timedelta(seconds=5)
_SHORT_PAUSE = timedelta(minutes=2)
_AFTER_VANISHING = timedelta(days=1)
_FIRST_LOOKS = timedelta(minutes=1)
"""So long `run --drain` waits for a video that YouTube does not show."""
_THIS_VOD = re.compile(r"\b(vodtender [a-z]+) VOD\b")
_FILE_ERRORS = ("file_changed", "file_missing")


class Signal(Enum):
    """What the channel's circuit breaker learns."""

    NOTHING = "nothing"
    FAILURE = "failure"
    SUCCESS = "success"


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings that decisions depend on."""

    download: Backoff
    upload: Backoff
    absence_wait: timedelta
    second_look: timedelta = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be stored. `file`: a new file to record; `forget_file`: the recorded one is
    no more; `forget_session`: what is not on YouTube yet begins anew with a session of its own;
    `forget_videos`: these are not, or no longer, to be counted on."""

    standing: Standing
    signal: Signal = Signal.NOTHING
    file: FileRecord | None = None
    forget_file: bool = False
    forget_session: bool = False
    forget_videos: tuple[str, ...] = ()


def after(vod: Vod, outcome: o.Outcome, policy: Policy, now: datetime, jitter: float) -> Change:
    """The change that an outcome of work on `vod` brings. `jitter` is in [0, 1)."""
    standing = replace(
        vod.standing, problem=None, problem_code=None, waiting_for=None, next_try_at=None
    )
    step = _Step(vod, standing, policy, now, jitter)
    match outcome:
        case o.Fetched() | o.Adopted() | o.Recording() | o.Missing() | o.FileGone():
            return step.about_the_file(outcome)
        case (
            o.OnYouTube()
            | o.Absent()
            | o.Unfinished()
            | o.Processed()
            | o.Processing()
            | o.Refused()
        ):
            return step.about_the_video(outcome)
        case o.Vanished():
            return step.vanished(outcome.video_ids)
        case o.Held() | o.Interrupted():
            return step.not_tried(outcome)
        case o.Failed():
            return step.failed(outcome)


def cancelled(change: Change, reason: str) -> Change:
    """What becomes of it instead when an operator has ended the work: whatever came of it, the
    VOD is skipped, and nothing counts as a failure. What is on YouTube, processed, stays done."""
    if change.standing.stage is Stage.PUBLISHED:
        return change
    standing = replace(
        change.standing,
        stage=Stage.SKIPPED,
        problem=reason[:_PROBLEM_MAX],
        problem_code="cancelled",
        waiting_for=None,
        next_try_at=None,
        missing_since=None,
        uncertain_since=None,
    )
    signal = Signal.NOTHING if change.signal is Signal.FAILURE else change.signal
    return replace(change, standing=standing, signal=signal)


def _storable(problem: str, reason: Waiting | None = None) -> str:
    """Operators find what a quota holds by that very word."""
    said = one_line(problem)[:_PROBLEM_MAX]
    if reason is Waiting.QUOTA and "quota" not in said:
        return f"quota: {said}"[:_PROBLEM_MAX]
    return said


def problem_text(error: VodtenderError) -> str:
    """An error as it is stored: what happened and what to type, on one line."""
    said = one_line(error.message)
    if error.hint:
        said = f"{said.rstrip('.')}. {one_line(error.hint)}"
    return said[:_PROBLEM_MAX]


@dataclass(frozen=True, slots=True)
class _Step:
    vod: Vod
    standing: Standing
    policy: Policy
    now: datetime
    jitter: float

    def said(self, error: VodtenderError) -> str:
        """`problem_text`, in which commands name this VOD."""
        return _THIS_VOD.sub(rf"\1 {self.vod.twitch_vod_id}", problem_text(error))

    # --- kinds of standing --------------------------------------------------------------

    def at_rest(self) -> Standing:
        """Where it waits when nobody works on it."""
        resting = {Stage.DOWNLOADING: Stage.QUEUED}.get(self.vod.stage, self.vod.stage)
        return replace(self.standing, stage=resting)

    def waiting(
        self, standing: Standing, problem: str, code: str, reason: Waiting, until: datetime
    ) -> Standing:
        return replace(
            standing,
            problem=_storable(problem, reason),
            problem_code=code,
            waiting_for=reason,
            next_try_at=until,
        )

    def ended(self, stage: Stage, problem: str, code: str) -> Standing:
        return replace(
            self.standing,
            stage=stage,
            problem=_storable(problem),
            problem_code=code,
            missing_since=None,
            uncertain_since=None,
            recheck=False,
        )

    def not_tried(self, outcome: o.Held | o.Interrupted) -> Change:
        match outcome:
            case o.Held(reason, code, until, waiting_for):
                return Change(self.waiting(self.at_rest(), reason, code, waiting_for, until))
            case o.Interrupted():
                return Change(self.at_rest())

    # --- downloads ----------------------------------------------------------------------

    def about_the_file(
        self, outcome: o.Fetched | o.Adopted | o.Recording | o.Missing | o.FileGone
    ) -> Change:
        match outcome:
            case o.Recording():
                return Change(self.recording())
            case o.Missing():
                return self.missing(outcome)
            case o.FileGone():
                return self.file_gone(outcome.why)
            case o.Adopted() | o.Fetched():
                have = replace(
                    self.standing,
                    stage=Stage.DOWNLOADED,
                    download_attempts=0,
                    upload_attempts=0,
                    missing_since=None,
                    recheck=False,
                )
                if isinstance(outcome, o.Adopted):
                    return Change(have)
                return Change(have, Signal.SUCCESS, file=outcome.file)

    def recording(self) -> Standing:
        """The listing of its channel says when it has ended. Where that is not looked at, or
        errs, the VOD itself is asked again after a while."""
        return replace(
            self.standing,
            stage=Stage.LIVE,
            download_attempts=0,
            missing_since=None,
            waiting_for=Waiting.RECORDING,
            next_try_at=self.now + SETTLED_AFTER,
        )

    def not_to_be_had(self, problem: str, code: str, signal: Signal = Signal.NOTHING) -> Change:
        """Twitch will not give it any more. What is on YouTube stays done."""
        if self.standing.video_id is not None:
            known = replace(self.standing, stage=Stage.VERIFYING, missing_since=None)
            return Change(replace(known, recheck=False), signal)
        return Change(self.ended(Stage.FAILED, problem, code), signal)

    def missing(self, outcome: o.Missing) -> Change:
        """Twitch's API returns null for a moment now and then, so one answer is not enough."""
        said = outcome.message.rstrip(".")
        since = self.standing.missing_since
        said_again = since is not None and self.now - since >= self.policy.second_look
        if outcome.confirmed or (outcome.confirmed is None and said_again):
            why = "The VOD does not exist at Twitch any more"
            return self.not_to_be_had(f"{why} ({said})", "vod_missing")
        if outcome.confirmed is False:
            error = Transient(f"{said}, but Twitch's API lists it", code="vod_hidden")
            return self.try_again(replace(self.at_rest(), missing_since=None), error, download=True)
        standing = replace(self.at_rest(), missing_since=since or self.now)
        problem = f"{said}; looking once more before it is believed"
        until = (since or self.now) + self.policy.second_look
        return Change(self.waiting(standing, problem, "vod_missing", Waiting.SECOND_LOOK, until))

    def file_gone(self, why: str) -> Change:
        """What is on YouTube stays done; anything else has to be fetched again, unless YouTube
        turns out to have it."""
        if self.standing.video_id is not None:
            return Change(replace(self.standing, stage=Stage.VERIFYING), forget_file=True)
        anew = replace(
            self.standing,
            stage=Stage.QUEUED,
            problem=f"{why}; it is fetched again",
            problem_code="file_gone",
            download_attempts=0,
            recheck=True,
        )
        return Change(anew, forget_file=True)

    # --- uploads ------------------------------------------------------------------------

    def about_the_video(
        self,
        outcome: o.OnYouTube | o.Absent | o.Unfinished | o.Processed | o.Processing | o.Refused,
    ) -> Change:
        match outcome:
            case o.OnYouTube():
                return self.on_youtube(outcome.video_id)
            case o.Absent():
                return self.absent()
            case o.Unfinished():
                return Change(replace(self.standing, stage=Stage.UPLOADING, uncertain_since=None))
            case o.Processed():
                done = replace(
                    self.standing,
                    stage=Stage.PUBLISHED,
                    upload_attempts=0,
                    missing_since=None,
                    recheck=False,
                )
                return Change(done, Signal.SUCCESS)
            case o.Processing():
                return Change(self.poll_again())
            case o.Refused(video_ids, why):
                problem = f"YouTube does not accept the video {', '.join(video_ids)}: {why}"
                refused = self.ended(Stage.FAILED, problem, "video_refused")
                return Change(replace(refused, video_id=None), forget_videos=video_ids)

    def on_youtube(self, video_id: str) -> Change:
        standing = replace(
            self.standing,
            stage=Stage.VERIFYING,
            video_id=video_id,
            missing_since=None,
            uncertain_since=None,
            upload_attempts=0,
            recheck=False,
            waiting_for=Waiting.PROCESSING,
            next_try_at=self.now + _POLL_FIRST,
        )
        return Change(standing, Signal.SUCCESS)

    def poll_again(self) -> Standing:
        """YouTube may need hours, and each question costs a unit of its quota."""
        polls = self.standing.upload_attempts
        return replace(
            self.standing,
            missing_since=None,
            upload_attempts=polls + 1,
            waiting_for=Waiting.PROCESSING,
            next_try_at=self.now + min(_POLL_FIRST * 2 ** min(polls, 12), _POLL_LONGEST),
        )

    def absent(self) -> Change:
        """Presence proves an upload; absence only after a wait."""
        since = self.standing.uncertain_since or self.now
        settled_at = since + self.policy.absence_wait
        if self.now >= settled_at:
            anew = replace(self.standing, stage=Stage.DOWNLOADED, uncertain_since=None)
            return Change(anew, forget_session=True)
        problem = (
            "The upload may have taken effect, but YouTube does not show it yet; it is uploaded "
            f"again if it has not appeared by {settled_at:%Y-%m-%d %H:%M} UTC. "
            f"To settle it now: vodtender resolve {self.vod.twitch_vod_id} "
            "--uploaded ID | --not-uploaded"
        )
        standing = replace(self.standing, stage=Stage.FINALIZING, uncertain_since=since)
        return Change(self.look_again(standing, problem, "uncertain", since))

    def vanished(self, video_ids: tuple[str, ...]) -> Change:
        """One that stays away was deleted: then the VOD has failed, or, if an operator had
        asked for it anew anyway, is uploaded again."""
        since = self.standing.missing_since or self.now
        settled_at = since + self.policy.absence_wait
        shown = f"YouTube does not show the video {', '.join(video_ids)}"
        wants_it_anew = self.vod.stage is not Stage.VERIFYING
        if self.now < settled_at:
            then = "it is uploaded again" if wants_it_anew else "it counts as deleted"
            problem = f"{shown}; {then} if it has not appeared by {settled_at:%Y-%m-%d %H:%M} UTC"
            standing = replace(self.at_rest(), missing_since=since)
            return Change(self.look_again(standing, problem, "video_missing", since))
        if wants_it_anew:
            anew = replace(self.at_rest(), missing_since=None)
        else:
            hint = f"To upload it again: vodtender retry {self.vod.twitch_vod_id}"
            anew = self.ended(Stage.FAILED, f"{shown} any more. {hint}", "video_missing")
        return Change(replace(anew, video_id=None), forget_videos=video_ids)

    def look_again(self, standing: Standing, problem: str, code: str, since: datetime) -> Standing:
        """A fresh video can be missing for a while; looks come more and more rarely."""
        looked = self.now - since
        pause = min(max(looked / 2, _BUSY_WAIT), _POLL_LONGEST)
        until = min(self.now + pause, since + self.policy.absence_wait)
        reason = Waiting.SECOND_LOOK if looked < _FIRST_LOOKS else Waiting.ABSENCE
        return self.waiting(standing, problem, code, reason, until)

    # --- failures -----------------------------------------------------------------------

    def failed(self, outcome: o.Failed) -> Change:
        if isinstance(outcome.error, Stopped):
            return Change(self.at_rest())
        if self.vod.stage.wants_upload:
            return self.upload_failed(outcome)
        return self.download_failed(outcome.error)

    def download_failed(self, error: VodtenderError) -> Change:
        if error.code == "disk_full":
            return Change(self.at_rest())  # the worker waits for room; the VOD did nothing wrong
        if isinstance(error, Locked) or error.code == "work_directory_busy":
            return self.busy(error)
        if isinstance(error, Rejected):
            return self.not_to_be_had(self.said(error), error.code)
        if isinstance(error, Transient):
            return self.try_again(self.at_rest(), error, download=True)
        return self.needs_something(self.at_rest(), error)

    def upload_failed(self, outcome: o.Failed) -> Change:
        error = outcome.error
        if error.code in _FILE_ERRORS:
            return replace(self.file_gone(error.message), forget_session=outcome.session_over)
        if isinstance(error, Uncertain):
            return self.uncertain(error)
        if isinstance(error, Rejected):
            ended = self.ended(Stage.FAILED, self.said(error), error.code)
            return Change(ended, forget_session=outcome.session_over)
        standing = self.at_rest()
        if outcome.session_over:
            standing = replace(standing, stage=Stage.DOWNLOADED)
        if outcome.progressed:
            standing = replace(standing, upload_attempts=0)
        if isinstance(error, Transient):
            change = self.try_again(standing, error, download=False)
        else:
            change = self.needs_something(standing, error)
        return replace(change, forget_session=outcome.session_over)

    def uncertain(self, error: Uncertain) -> Change:
        """YouTube is asked soon, and after that the more rarely the more often this comes."""
        attempts = self.standing.upload_attempts + 1
        backoff = self.policy.upload
        reason = Waiting.BACKOFF if backoff.is_quick(attempts) else Waiting.COOLDOWN
        until = self.now + max(_BUSY_WAIT, backoff.wait(attempts, self.jitter))
        standing = replace(
            self.standing,
            stage=Stage.FINALIZING,
            upload_attempts=attempts,
            uncertain_since=self.standing.uncertain_since or self.now,
        )
        return Change(self.waiting(standing, self.said(error), "uncertain", reason, until))

    def try_again(self, standing: Standing, error: Answer, *, download: bool) -> Change:
        """A failure that passes by itself, or so one hopes; the breaker counts it."""
        backoff = self.policy.download if download else self.policy.upload
        failures = 1 + (standing.download_attempts if download else standing.upload_attempts)
        if download and not backoff.is_quick(failures) and self.should_have_vanished():
            why = f"{self.said(error).rstrip('.')}. Twitch has deleted the VOD by now."
            return self.not_to_be_had(why, error.code, Signal.FAILURE)
        standing = (
            replace(standing, download_attempts=failures)
            if download
            else replace(standing, upload_attempts=failures)
        )
        reason = Waiting.BACKOFF if backoff.is_quick(failures) else Waiting.COOLDOWN
        until = self.now + backoff.wait(failures, self.jitter)
        waiting = self.waiting(standing, self.said(error), error.code, reason, until)
        return Change(waiting, Signal.FAILURE)

    def should_have_vanished(self) -> bool:
        """Whether Twitch has deleted it by now, by its age. Some accounts keep theirs for longer
        than TWITCH_VOD_RETENTION_DAYS, so this alone is no reason not to try."""
        gone_at = self.vod.vanishes_at
        return gone_at is not None and self.now > gone_at + _AFTER_VANISHING

    def needs_something(self, standing: Standing, error: VodtenderError) -> Change:
        """A pause, a login, a setting: not this VOD's failure and not counted."""
        until = self.now + self.policy.upload.cooldown
        reason = Waiting.COOLDOWN
        if isinstance(error, RateLimited):
            until = max(error.until, self.now + timedelta(seconds=1))
            reason = Waiting.BACKOFF if until - self.now <= _SHORT_PAUSE else Waiting.QUOTA
            reason = Waiting.QUOTA if error.code == "quota" else reason
        elif isinstance(error, (AuthExpired, CredentialsMissing)):
            reason = Waiting.LOGIN
        code = "login" if reason is Waiting.LOGIN else error.code
        return Change(self.waiting(standing, self.said(error), code, reason, until))

    def busy(self, error: VodtenderError) -> Change:
        soon = self.now + _BUSY_WAIT
        problem = self.said(error)
        return Change(self.waiting(self.at_rest(), problem, "busy", Waiting.BACKOFF, soon))
