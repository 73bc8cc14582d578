"""What has YouTube of a VOD? Asked before anything is fetched or sent a second time.

Only asking; nothing here sends a video.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from vodtender import log
from vodtender.errors import (
    DatabaseUnavailable,
    LeaseLost,
    Rejected,
    Transient,
    Uncertain,
    VodtenderError,
)
from vodtender.model.video_metadata import marker
from vodtender.model.vod import Vod
from vodtender.model.youtube_answers import SessionAt, SessionDone, SessionGone, VideoStatus
from vodtender.pipeline.claimed_vod import ClaimedVod
from vodtender.pipeline.workplace import Workplace
from vodtender.store import claims, uploads
from vodtender.store.uploads import Upload

_PAGES = 40
"""Of 50 uploads each; the search ends earlier where uploads are older than the stream."""

_CLOCKS_APART = timedelta(days=1)
_log = log.get("upload")


@dataclass(frozen=True, slots=True)
class PartState:
    """What has become of one part's upload: it is a video, or its session can go on from some
    byte, or neither; then it may be a video all the same, or certainly is none."""

    video_id: str | None = None
    open_at: int | None = None
    may_be_complete: bool = False


def published_video(place: Workplace, claimed: ClaimedVod) -> str | None:
    """The id of the video that YouTube has of a VOD, if it can be asked and has one.

    Trouble with asking is no answer: then it is asked again before the upload.
    """
    vod = claimed.vod
    with place.database.transaction() as connection:
        if not place.accounts.uploads_wanted(connection):
            return None
        known = uploads.of_vod(connection, vod.id)
    try:
        if vod.video_id is not None:
            if recorded_status(place, vod, known) is not None:
                return vod.video_id
        else:
            states = {upload.part: _learnt(place, claimed, upload) for upload in known}
            whole = whole_upload(known, states)
            if whole is not None:
                return whole
        account = place.accounts.name_for(vod.channel)
        return find_video(place, vod, account, part=1, parts=1)
    except (DatabaseUnavailable, LeaseLost):
        raise
    except VodtenderError as error:
        _log.warning("YouTube cannot be asked now", vod=vod.twitch_vod_id, why=error.message)
        return None


def recorded_status(place: Workplace, vod: Vod, known: Sequence[Upload]) -> VideoStatus | None:
    """How the recorded video is; None if YouTube does not show it."""
    assert vod.video_id is not None
    accounts = {upload.video_id: upload.account for upload in known}
    account = accounts.get(vod.video_id) or place.accounts.name_for(vod.channel)
    return video_status(place, account, vod.video_id)


def video_status(place: Workplace, account: str, video_id: str) -> VideoStatus | None:
    """How a video is; None if YouTube does not show it."""
    with _asking():
        return place.accounts.youtube(account).video_status(video_id)


def find_video(place: Workplace, vod: Vod, account: str, *, part: int, parts: int) -> str | None:
    """The newest video among the account's own uploads that carries the marker of this VOD and
    part, those that YouTube has refused left out."""
    begun = vod.date or vod.created_at
    not_before = min(begun, vod.created_at, datetime.now(UTC)) - _CLOCKS_APART
    wanted = marker(vod.twitch_vod_id, part, parts)
    with _asking():
        youtube = place.accounts.youtube(account)
        for video_id in youtube.find_uploads(wanted, not_before, _PAGES):
            status = youtube.video_status(video_id)
            if status is None or not status.is_refused:
                return video_id
    return None


def state_of(place: Workplace, vod: Vod, upload: Upload) -> PartState:
    """What an upload's own session says. A question that is refused, or answered with "all is
    here" and no video, leaves it open; and a session that is gone was incomplete if its last
    chunk was never begun."""
    if upload.video_id is not None or upload.session_uri is None:
        return PartState(upload.video_id, may_be_complete=upload.video_id is None)
    uri = session_uri(place, vod, upload)
    try:
        state = place.accounts.youtube(upload.account).ask_session(uri, upload.size_bytes)
    except (Uncertain, Rejected) as error:
        _log.warning("the session does not say", vod=vod.twitch_vod_id, why=error.message)
        return PartState(may_be_complete=True)
    match state:
        case SessionDone(video_id):
            return PartState(video_id)
        case SessionAt(received_bytes) if received_bytes < upload.size_bytes:
            return PartState(open_at=received_bytes)
        case SessionAt():
            return PartState(may_be_complete=True)
        case SessionGone():
            return PartState(may_be_complete=upload.sent_bytes >= upload.size_bytes)


def settle_part(place: Workplace, claimed: ClaimedVod, upload: Upload) -> PartState:
    """`state_of`, and where that leaves it open, what the channel's uploads show. What turns out
    to be a video is recorded as one. Raises LeaseLost."""
    state = _learnt(place, claimed, upload)
    if not state.may_be_complete:
        return state
    found = find_video(place, claimed.vod, upload.account, part=upload.part, parts=upload.parts)
    if found is None:
        return state
    record(place, claimed, upload, found)
    return PartState(video_id=found)


def record(place: Workplace, claimed: ClaimedVod, upload: Upload, video_id: str) -> None:
    """The part is on YouTube. Raises LeaseLost."""
    with place.database.transaction() as connection:
        claims.lock(connection, claimed.claim)
        uploads.finish(connection, upload.vod_id, upload.part, video_id)


def whole_upload(known: Sequence[Upload], states: dict[int, PartState]) -> str | None:
    """The id of the (first) video, if every part is on YouTube."""
    video_ids = [video_id for upload in known if (video_id := states[upload.part].video_id)]
    return video_ids[0] if known and len(video_ids) == known[0].parts == len(known) else None


def session_uri(place: Workplace, vod: Vod, upload: Upload) -> str:
    """The address of its session, a secret. Raises CredentialsMissing when the key is wrong."""
    assert upload.session_uri is not None
    box = place.accounts.box
    return box.open_session(upload.session_uri, vod.twitch_vod_id, upload.part)


def _learnt(place: Workplace, claimed: ClaimedVod, upload: Upload) -> PartState:
    state = state_of(place, claimed.vod, upload)
    if state.video_id is not None and upload.video_id is None:
        record(place, claimed, upload, state.video_id)
    return state


@contextmanager
def _asking() -> Iterator[None]:
    """A question that is refused says nothing about the VOD."""
    try:
        yield
    except Rejected as error:
        raise Transient(error.message, code=error.code) from error
