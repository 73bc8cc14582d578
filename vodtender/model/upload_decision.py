"""What follows from a piece of work on an upload, or from asking what became of one.

A session is given up only when it certainly has not become a video.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from vodtender.errors import Rejected, Transient, Uncertain, VodtenderError
from vodtender.model import outcome as o
from vodtender.model.settlement import Settlement, Signal
from vodtender.model.step import BUSY_WAIT, Step
from vodtender.model.video_refusal import refusal
from vodtender.model.vod import Stage, Standing, Waiting

_POLL_FIRST = timedelta(seconds=3)
_POLL_LONGEST = timedelta(minutes=10)
_FIRST_LOOKS = timedelta(minutes=1)
"""So long `run --drain` waits for a video that YouTube does not show."""
_COSTLY_TRIES = 3
"""After so many comes a rest: a short trouble of YouTube's must not use up the day's uploads."""


@dataclass(frozen=True, slots=True)
class UploadStep(Step):
    """See `decision.after`."""

    def about_the_video(
        self,
        outcome: o.OnYouTube | o.Absent | o.Unfinished | o.Processed | o.Processing | o.Refused,
    ) -> Settlement:
        """YouTube has said something of it."""
        match outcome:
            case o.OnYouTube():
                return self.on_youtube(outcome.video_id)
            case o.Absent():
                return self.absent()
            case o.Unfinished():
                return Settlement(
                    replace(self.standing, stage=Stage.UPLOADING, uncertain_since=None)
                )
            case o.Processed():
                done = replace(
                    self.standing,
                    stage=Stage.PUBLISHED,
                    upload_attempts=0,
                    polls=0,
                    missing_since=None,
                    recheck=False,
                )
                return Settlement(done)
            case o.Processing():
                return Settlement(self.poll_again())
            case o.Refused(video_ids, why):
                said = refusal(video_ids, why, self.vod.twitch_vod_id)
                refused = self.ended(Stage.FAILED, said.problem, said.code)
                return Settlement(replace(refused, video_id=None), forget_videos=video_ids)

    def on_youtube(self, video_id: str) -> Settlement:
        """Of a VOD that was to be downloaded that says nothing about Twitch."""
        was_uploaded = self.vod.stage.wants_upload
        standing = replace(
            self.standing,
            stage=Stage.VERIFYING,
            video_id=video_id,
            missing_since=None,
            uncertain_since=None,
            upload_attempts=0,
            polls=0,
            recheck=False,
            waiting_for=Waiting.PROCESSING,
            next_try_at=self.now + _POLL_FIRST,
        )
        return Settlement(standing, Signal.SUCCESS if was_uploaded else Signal.NOTHING)

    def poll_again(self) -> Standing:
        """YouTube may need hours, and each question costs a unit of its quota."""
        polls = self.standing.polls
        return replace(
            self.standing,
            missing_since=None,
            upload_attempts=0,
            polls=polls + 1,
            waiting_for=Waiting.PROCESSING,
            next_try_at=self.now + min(_POLL_FIRST * 2 ** min(polls, 12), _POLL_LONGEST),
        )

    def absent(self) -> Settlement:
        """Presence proves an upload; absence only after a wait."""
        since = self.standing.uncertain_since or self.now
        settled_at = since + self.policy.absence_wait
        if self.now >= settled_at:
            anew = replace(self.standing, stage=Stage.DOWNLOADED, uncertain_since=None)
            return Settlement(anew, forget_session=True)
        problem = (
            "The upload may have taken effect, but YouTube does not show it yet; it is uploaded "
            f"again if it has not appeared by {settled_at:%Y-%m-%d %H:%M} UTC. "
            f"To settle it now: vodtender resolve {self.vod.twitch_vod_id} "
            "--uploaded ID | --not-uploaded"
        )
        standing = replace(self.standing, stage=Stage.FINALIZING, uncertain_since=since)
        return Settlement(self.look_again(standing, problem, "uncertain", since))

    def vanished(self, video_ids: tuple[str, ...]) -> Settlement:
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
            return Settlement(self.look_again(standing, problem, "video_missing", since))
        if wants_it_anew:
            anew = replace(self.at_rest(), missing_since=None)
        else:
            hint = f"To upload it again: vodtender retry {self.vod.twitch_vod_id}"
            anew = self.ended(Stage.FAILED, f"{shown} any more. {hint}", "video_missing")
        return Settlement(replace(anew, video_id=None), forget_videos=video_ids)

    def look_again(self, standing: Standing, problem: str, code: str, since: datetime) -> Standing:
        """A fresh video can be missing for a while; looks come more and more rarely."""
        looked = self.now - since
        pause = min(max(looked / 2, BUSY_WAIT), _POLL_LONGEST)
        until = min(self.now + pause, since + self.policy.absence_wait)
        reason = Waiting.SECOND_LOOK if looked < _FIRST_LOOKS else Waiting.ABSENCE
        return self.waiting(standing, problem, code, reason, until)

    # --- failures -----------------------------------------------------------------------

    def failed(self, outcome: o.Failed) -> Settlement:
        """It went wrong."""
        error = outcome.error
        if self.vod.stage in (Stage.FINALIZING, Stage.VERIFYING):
            return self.could_not_ask(error)
        if isinstance(error, Uncertain):
            return self.uncertain(error)
        if isinstance(error, Rejected):
            ended = self.ended(Stage.FAILED, self.said(error), error.code)
            return Settlement(ended, forget_session=outcome.session_over)
        standing = self.at_rest()
        if outcome.session_over:
            standing = replace(standing, stage=Stage.DOWNLOADED)
        if outcome.progressed:
            standing = replace(standing, upload_attempts=0)
        settlement = self.again(standing, error, costly=outcome.costly)
        return replace(settlement, forget_session=outcome.session_over)

    def could_not_ask(self, error: VodtenderError) -> Settlement:
        """Asking changes nothing at YouTube, and no breaker keeps anybody from asking: so it
        learns nothing from it."""
        if isinstance(error, Rejected):
            return Settlement(self.ended(Stage.FAILED, self.said(error), error.code))
        if isinstance(error, Uncertain) and self.vod.stage is Stage.FINALIZING:
            return self.uncertain(error)
        return replace(self.again(self.standing, error), signal=Signal.NOTHING)

    def again(
        self, standing: Standing, error: VodtenderError, *, costly: bool = False
    ) -> Settlement:
        """Later, if only time is needed, or when something else is done."""
        if not isinstance(error, (Transient, Uncertain)):
            return self.needs_something(standing, error)
        failures = standing.upload_attempts + 1
        if costly and failures >= _COSTLY_TRIES:
            failures = max(failures, self.policy.upload.quick_tries)
        counted = replace(standing, upload_attempts=failures)
        return self.try_again(counted, self.policy.upload, failures, error)

    def uncertain(self, error: Uncertain) -> Settlement:
        """YouTube is asked soon, and after that the more rarely the more often this comes."""
        attempts = self.standing.upload_attempts + 1
        backoff = self.policy.upload
        reason = Waiting.BACKOFF if backoff.is_quick(attempts) else Waiting.COOLDOWN
        until = self.now + max(BUSY_WAIT, backoff.wait(attempts, self.jitter))
        standing = replace(
            self.standing,
            stage=Stage.FINALIZING,
            upload_attempts=attempts,
            uncertain_since=self.standing.uncertain_since or self.now,
        )
        return Settlement(self.waiting(standing, self.said(error), "uncertain", reason, until))
