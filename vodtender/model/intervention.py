"""What an operator's command makes of a VOD, or why it makes nothing of it.

Each function answers for one command. Nothing to do is an answer like any other, so that every
command can be given twice; what makes no sense raises Refused and says what does.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from vodtender.errors import Refused
from vodtender.model.vod import Stage, Vod

_ASKED_FIRST = "YouTube and the disk are asked first; what they have is not fetched or sent again"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether there is something to do, and what is to be said about it."""

    acts: bool
    says: str = ""


def retry(vod: Vod, now: datetime) -> Verdict:
    """Failed or held VODs go on at once. An upload session is never given up by it.

    Raises:
        Refused: it was skipped, or is just being cancelled.
    """
    if vod.stage is Stage.SKIPPED or (vod.is_in_work(now) and vod.cancel_reason is not None):
        raise _skipped(vod)
    if vod.is_in_work(now):
        return Verdict(False, f"worked on at this moment ({vod.stage})")
    if vod.problem is None:
        return Verdict(False, _why_no_retry(vod))
    if vod.stage is Stage.FINALIZING:
        return Verdict(True, "YouTube is asked again now; nothing is sent twice")
    if vod.problem_code == "quota":
        return Verdict(True, "the hold on uploads ends with it; Google may set it anew")
    return Verdict(True)


def reprocess(vod: Vod, now: datetime) -> Verdict:
    """The whole way again. A video that YouTube confirms stays, and so does an upload session."""
    if vod.stage is Stage.LIVE:
        return Verdict(False, "Twitch still records it; it is fetched when the stream is over")
    if vod.stage is Stage.QUEUED and vod.problem is None:
        return Verdict(False, "it waits for its download already")
    if vod.stage is Stage.DOWNLOADING and vod.is_in_work(now) and vod.cancel_reason is None:
        return Verdict(False, "it is coming down at this moment")
    return Verdict(True, _ASKED_FIRST if vod.video_id or vod.downloaded_path else "")


def skip(vod: Vod, now: datetime) -> Verdict:
    """Nothing is done with it any more, and what is being done ends."""
    if vod.stage is Stage.PUBLISHED:
        return Verdict(False, f"it is on YouTube ({vod.youtube_url}); there is nothing to skip")
    if vod.stage is Stage.SKIPPED:
        return Verdict(False, f"skipped already: {vod.problem or 'no reason given'}")
    if vod.is_in_work(now):
        if vod.cancel_reason is not None:
            return Verdict(False, "it is being cancelled already")
        return Verdict(True, "its worker stops within seconds")
    if vod.stage is Stage.FINALIZING:
        return Verdict(True, "its upload may have taken effect: look on YouTube")
    return Verdict(True, "its file stays" if vod.downloaded_path else "")


def is_uploaded(vod: Vod, video_id: str, now: datetime) -> Verdict:
    """The operator says that it is on YouTube as this video.

    Raises:
        Refused: YouTube has confirmed another video, or it may become one at this moment.
    """
    if vod.stage in (Stage.PUBLISHED, Stage.VERIFYING) and vod.video_id == video_id:
        return Verdict(False, f"it is known as {vod.youtube_url} already")
    if vod.stage is Stage.PUBLISHED:
        raise Refused(
            f"VOD {vod.twitch_vod_id} is on YouTube as {vod.youtube_url}, and YouTube has "
            "confirmed that.",
            hint=f"vodtender vods show {vod.twitch_vod_id}",
            code="confirmed",
        )
    if vod.stage is Stage.LIVE:
        raise Refused(
            f"VOD {vod.twitch_vod_id} is still being recorded, so no video can hold all of it.",
            hint=f"vodtender skip {vod.twitch_vod_id}",
            code="still_live",
        )
    if vod.stage is Stage.UPLOADING and vod.is_in_work(now):
        raise _being_sent(vod)
    return Verdict(True)


def is_other_length(vod_seconds: float, video_seconds: float | None) -> bool:
    """Whether a video cannot well be the VOD's. One whose length YouTube does not know yet
    can be."""
    if not vod_seconds or not video_seconds:
        return False
    return abs(vod_seconds - video_seconds) > max(60.0, vod_seconds * 0.02)


def is_not_uploaded(vod: Vod, *, session_open: bool, now: datetime) -> Verdict:
    """The operator says that it is not on YouTube: its upload begins anew.

    Raises:
        Refused: YouTube has it, or it is being sent, or there is nothing to settle.
    """
    vod_id = vod.twitch_vod_id
    if vod.stage is Stage.PUBLISHED:
        raise Refused(
            f"VOD {vod_id} is on YouTube as {vod.youtube_url}, and YouTube has confirmed that.",
            hint=f"if it was deleted there since: vodtender reprocess {vod_id}",
            code="confirmed",
        )
    if vod.stage is Stage.VERIFYING and vod.missing_since is None:
        raise Refused(
            f"VOD {vod_id} is on YouTube as {vod.youtube_url}, and YouTube is being asked whether "
            "it is processed.",
            hint=f"if it is another video: vodtender resolve {vod_id} --uploaded ID\n"
            f"once YouTube no longer shows it: vodtender resolve {vod_id} --not-uploaded",
            code="verifying",
        )
    if vod.stage is Stage.SKIPPED:
        raise _skipped(vod)
    if vod.stage is Stage.UPLOADING and vod.is_in_work(now):
        raise _being_sent(vod)
    is_on_disk = not vod.stage.wants_download
    if vod.stage is Stage.FINALIZING or (is_on_disk and (session_open or vod.video_id)):
        return Verdict(True, "YouTube is looked through once more before anything is sent")
    if vod.stage is Stage.FAILED:
        raise Refused(
            f"VOD {vod_id} has failed, and there is no upload to settle: {vod.problem}",
            hint=f"vodtender retry {vod_id}",
            code="nothing_to_settle",
        )
    return Verdict(False, "it has not been uploaded, and will be")


def _why_no_retry(vod: Vod) -> str:
    match vod.stage:
        case Stage.LIVE:
            return "Twitch still records it; it is fetched when the stream is over"
        case Stage.DOWNLOADED | Stage.UPLOADING if vod.skip_upload:
            return (
                f"it is kept on the disk; to upload it: vodtender add {vod.twitch_vod_id} --upload"
            )
        case Stage.VERIFYING:
            return f"YouTube is processing it ({vod.youtube_url})"
        case Stage.FINALIZING:
            return "YouTube is being asked whether it has the video"
        case Stage.PUBLISHED:
            return f"it is on YouTube: {vod.youtube_url}"
        case _:
            return f"nothing holds it ({vod.state}); it goes on when its turn comes"


def _skipped(vod: Vod) -> Refused:
    is_ending = vod.stage is not Stage.SKIPPED
    return Refused(
        f"VOD {vod.twitch_vod_id} {'is being' if is_ending else 'was'} skipped: "
        f"{vod.cancel_reason or vod.problem or 'no reason given'}",
        hint=f"to take it up after all: vodtender reprocess {vod.twitch_vod_id}",
        code="skipped",
    )


def _being_sent(vod: Vod) -> Refused:
    return Refused(
        f"VOD {vod.twitch_vod_id} is being sent to YouTube at this moment.",
        hint=f"to end that first: vodtender cancel {vod.twitch_vod_id}",
        code="being_sent",
    )
