"""What follows from an outcome: the next stage, when to try again, what the breaker learns.

Pure. The store applies a `Change` in one transaction that checks that the worker still holds
the VOD.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from vodtender.errors import Stopped
from vodtender.model import outcome as o
from vodtender.model.change import Change, Policy, Signal
from vodtender.model.download_decision import DownloadStep
from vodtender.model.step import Step, storable
from vodtender.model.upload_decision import UploadStep
from vodtender.model.vod import Stage, Vod


def after(vod: Vod, outcome: o.Outcome, policy: Policy, now: datetime, jitter: float) -> Change:
    """The change that an outcome of work on `vod` brings. `jitter` is in [0, 1)."""
    standing = replace(
        vod.standing, problem=None, problem_code=None, waiting_for=None, next_try_at=None
    )
    known = (vod, standing, policy, now, jitter)
    match outcome:
        case o.Held() | o.Interrupted():
            change = Step(*known).not_tried(outcome)
        case o.Failed(error=Stopped()):
            change = Step(*known).not_tried(o.Interrupted())
        case o.FileGone():
            change = Step(*known).file_gone(outcome.why)
        case o.Fetched() | o.Adopted() | o.Recording() | o.Missing():
            change = DownloadStep(*known).about_the_file(outcome)
        case o.Failed() if not vod.stage.wants_upload:
            change = DownloadStep(*known).failed(outcome.error)
        case o.Failed():
            change = UploadStep(*known).failed(outcome)
        case o.Vanished():
            change = UploadStep(*known).vanished(outcome.video_ids)
        case _:
            change = UploadStep(*known).about_the_video(outcome)
    return change


def cancelled(change: Change, reason: str) -> Change:
    """What becomes of it instead when an operator has ended the work: whatever came of it, the
    VOD is skipped, and nothing counts as a failure. What is on YouTube, processed, stays done."""
    if change.standing.stage is Stage.PUBLISHED:
        return change
    standing = replace(
        change.standing,
        stage=Stage.SKIPPED,
        problem=storable(reason),
        problem_code="cancelled",
        waiting_for=None,
        next_try_at=None,
        missing_since=None,
        uncertain_since=None,
    )
    signal = Signal.NOTHING if change.signal is Signal.FAILURE else change.signal
    return replace(change, standing=standing, signal=signal)
