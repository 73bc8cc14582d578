"""Where a VOD can stand after a piece of work, whichever work it was."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from vodtender.errors import AuthExpired, CredentialsMissing, RateLimited, VodtenderError
from vodtender.model import outcome as o
from vodtender.model.backoff import Backoff
from vodtender.model.legal_text import one_line
from vodtender.model.settlement import Policy, Settlement, Signal
from vodtender.model.vod import Stage, Standing, Vod, Waiting

BUSY_WAIT = timedelta(seconds=5)
_PROBLEM_MAX = 1000
_SHORT_PAUSE = timedelta(minutes=2)
_THIS_VOD = re.compile(r"\b(vodtender [a-z]+) VOD\b")


def storable(problem: str, reason: Waiting | None = None) -> str:
    """A problem as it is stored. Operators find what a quota holds by that very word."""
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
class Step:
    """One VOD after one piece of work. `standing` is its own without the problem that it had."""

    vod: Vod
    standing: Standing
    policy: Policy
    now: datetime
    jitter: float

    def said(self, error: VodtenderError) -> str:
        """`problem_text`, in which commands name this VOD."""
        return _THIS_VOD.sub(rf"\1 {self.vod.twitch_vod_id}", problem_text(error))

    def at_rest(self) -> Standing:
        """Where it waits when nobody works on it."""
        resting = {Stage.DOWNLOADING: Stage.QUEUED}.get(self.vod.stage, self.vod.stage)
        return replace(self.standing, stage=resting)

    def waiting(
        self, standing: Standing, problem: str, code: str, reason: Waiting, until: datetime
    ) -> Standing:
        """The same, but not before `until`."""
        return replace(
            standing,
            problem=storable(problem, reason),
            problem_code=code,
            waiting_for=reason,
            next_try_at=until,
        )

    def ended(self, stage: Stage, problem: str, code: str) -> Standing:
        """Nothing more is done, unless somebody asks for it."""
        return replace(
            self.standing,
            stage=stage,
            problem=storable(problem),
            problem_code=code,
            missing_since=None,
            uncertain_since=None,
            recheck=False,
        )

    def on_youtube_at_least(self) -> Standing:
        """YouTube is asked about the video that is known."""
        return replace(self.standing, stage=Stage.VERIFYING, missing_since=None, recheck=False)

    def not_tried(self, outcome: o.Held | o.Interrupted) -> Settlement:
        """It waits, or goes on where it was."""
        match outcome:
            case o.Held(reason, code, until, waiting_for):
                return Settlement(self.waiting(self.at_rest(), reason, code, waiting_for, until))
            case o.Interrupted():
                return Settlement(self.at_rest())

    def file_gone(self, why: str) -> Settlement:
        """What is on YouTube stays done; anything else has to be fetched again, unless YouTube
        turns out to have it."""
        if self.standing.video_id is not None:
            return Settlement(self.on_youtube_at_least(), forget_file=True)
        anew = replace(
            self.standing,
            stage=Stage.QUEUED,
            problem=storable(f"{why}; it is fetched again"),
            problem_code="file_gone",
            download_attempts=0,
            recheck=True,
        )
        return Settlement(anew, forget_file=True)

    def try_again(
        self, standing: Standing, backoff: Backoff, failures: int, error: VodtenderError
    ) -> Settlement:
        """A failure that passes by itself, or so one hopes, and the breaker counts; the last of
        so many in a row."""
        reason = Waiting.BACKOFF if backoff.is_quick(failures) else Waiting.COOLDOWN
        until = self.now + backoff.wait(failures, self.jitter)
        waiting = self.waiting(standing, self.said(error), error.code, reason, until)
        return Settlement(waiting, Signal.FAILURE)

    def needs_something(self, standing: Standing, error: VodtenderError) -> Settlement:
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
        return Settlement(self.waiting(standing, self.said(error), code, reason, until))
