"""What follows from an outcome: the next stage, when to try again, what the breaker learns.

Pure. The store applies a `Settlement` in one transaction that checks that the worker still holds
the VOD.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from vodtender.errors import Stopped
from vodtender.model import outcome as o
from vodtender.model.download_decision import DownloadStep
from vodtender.model.settlement import Policy, Settlement, Signal
from vodtender.model.step import Step, storable
from vodtender.model.upload_decision import UploadStep
from vodtender.model.vod import Stage, Vod


def after(vod: Vod, outcome: o.Outcome, policy: Policy, now: datetime, jitter: float) -> Settlement:
    """What an outcome of work on `vod` brings. `jitter` is in [0, 1)."""
    standing = replace(
        vod.standing, problem=None, problem_code=None, waiting_for=None, next_try_at=None
    )
    known = (vod, standing, policy, now, jitter)
    match outcome:
        case o.Held() | o.Interrupted():
            settlement = Step(*known).not_tried(outcome)
        case o.Failed(error=Stopped()):
            settlement = Step(*known).not_tried(o.Interrupted())
        case o.FileGone():
            settlement = Step(*known).file_gone(outcome.why)
        case o.Fetched() | o.Adopted() | o.Recording() | o.Missing():
            settlement = DownloadStep(*known).about_the_file(outcome)
        case o.Failed() if not vod.stage.wants_upload:
            settlement = DownloadStep(*known).failed(outcome.error)
        case o.Failed():
            settlement = UploadStep(*known).failed(outcome)
        case o.Vanished():
            settlement = UploadStep(*known).vanished(outcome.video_ids)
        case _:
            settlement = UploadStep(*known).about_the_video(outcome)
    return settlement


def cancelled(settlement: Settlement, reason: str) -> Settlement:
    """What becomes of it instead when an operator has ended the work: whatever came of it, the
    VOD is skipped, and nothing counts as a failure. What is on YouTube, processed, stays done."""
    if settlement.standing.stage is Stage.PUBLISHED:
        return settlement
    standing = replace(
        settlement.standing,
        stage=Stage.SKIPPED,
        problem=storable(reason),
        problem_code="cancelled",
        waiting_for=None,
        next_try_at=None,
        missing_since=None,
        uncertain_since=None,
    )
    signal = Signal.NOTHING if settlement.signal is Signal.FAILURE else settlement.signal
    return replace(settlement, standing=standing, signal=signal)
