"""What follows from a piece of work on a download."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from vodtender.errors import Locked, Rejected, Transient, VodtenderError
from vodtender.model import outcome as o
from vodtender.model.discovery import SETTLED_AFTER
from vodtender.model.settlement import Settlement, Signal
from vodtender.model.step import BUSY_WAIT, Step
from vodtender.model.vod import Stage, Standing, Waiting

_AFTER_VANISHING = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class DownloadStep(Step):
    """See `decision.after`."""

    def about_the_file(
        self, outcome: o.Fetched | o.Adopted | o.Recording | o.Missing
    ) -> Settlement:
        """It is there, or not yet, or not any more."""
        match outcome:
            case o.Recording():
                return Settlement(self.recording())
            case o.Missing():
                return self.missing(outcome)
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
                    return Settlement(have)
                return Settlement(have, Signal.SUCCESS, file=outcome.file)

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

    def not_to_be_had(self, problem: str, code: str, signal: Signal = Signal.NOTHING) -> Settlement:
        """Twitch will not give it any more. What is on YouTube stays done."""
        if self.standing.video_id is not None:
            return Settlement(self.on_youtube_at_least(), signal)
        return Settlement(self.ended(Stage.FAILED, problem, code), signal)

    def missing(self, outcome: o.Missing) -> Settlement:
        """Twitch's API returns null for a moment now and then, so one answer is not enough; nor
        are two of the same moment."""
        said = outcome.message.rstrip(".")
        since = self.standing.missing_since
        patience = BUSY_WAIT if outcome.confirmed else self.policy.second_look
        said_again = since is not None and self.now - since >= patience
        if said_again and outcome.confirmed is not False:
            why = "The VOD does not exist at Twitch any more"
            return self.not_to_be_had(f"{why} ({said})", "vod_missing")
        if outcome.confirmed is False:
            error = Transient(f"{said}, but Twitch's API lists it", code="vod_hidden")
            settlement = self.again(replace(self.at_rest(), missing_since=None), error)
            # No failure of the channel, unless it lasts: one moment may strike many VODs.
            passes = settlement.standing.waiting_for is Waiting.BACKOFF
            return replace(settlement, signal=Signal.NOTHING) if passes else settlement
        standing = replace(self.at_rest(), missing_since=since or self.now)
        problem = f"{said}; looking once more before it is believed"
        until = (since or self.now) + patience
        return Settlement(
            self.waiting(standing, problem, "vod_missing", Waiting.SECOND_LOOK, until)
        )

    def failed(self, error: VodtenderError) -> Settlement:
        """It went wrong."""
        if error.code == "disk_full":
            return Settlement(
                self.at_rest()
            )  # the worker waits for room; the VOD did nothing wrong
        if isinstance(error, Locked) or error.code == "work_directory_busy":
            soon = self.now + BUSY_WAIT
            busy = self.waiting(self.at_rest(), self.said(error), "busy", Waiting.BACKOFF, soon)
            return Settlement(busy)
        if isinstance(error, Rejected):
            return self.not_to_be_had(self.said(error), error.code)
        if isinstance(error, Transient):
            return self.again(self.at_rest(), error)
        return self.needs_something(self.at_rest(), error)

    def again(self, standing: Standing, error: Transient) -> Settlement:
        """There is no last try while the VOD can still be had."""
        failures = standing.download_attempts + 1
        backoff = self.policy.download
        if not backoff.is_quick(failures) and self.should_have_vanished():
            why = f"{self.said(error).rstrip('.')}. Twitch has deleted the VOD by now."
            return self.not_to_be_had(why, error.code, Signal.FAILURE)
        counted = replace(standing, download_attempts=failures)
        return self.try_again(counted, backoff, failures, error)

    def should_have_vanished(self) -> bool:
        """Whether Twitch has deleted it by now, by its age. Some accounts keep theirs for longer
        than TWITCH_VOD_RETENTION_DAYS, so this alone is no reason not to try."""
        gone_at = self.vod.vanishes_at
        return gone_at is not None and self.now > gone_at + _AFTER_VANISHING
