"""Is a VOD on YouTube already? Asked before anything is fetched or sent a second time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from vodtender import log
from vodtender.errors import VodtenderError
from vodtender.model.video_metadata import marker
from vodtender.model.vod import Vod
from vodtender.pipeline.workplace import Workplace

_PAGES = 40
"""Of 50 uploads each; the search ends earlier where uploads are older than the stream."""

_CLOCKS_APART = timedelta(days=1)
_log = log.get("upload")


def published_video(place: Workplace, vod: Vod) -> str | None:
    """The id of the video that YouTube has of a VOD, if it can be asked and has one.

    Trouble with asking is no answer: then it is asked again before the upload.
    """
    with place.database.transaction() as connection:
        if not place.accounts.uploads_wanted(connection):
            return None
    account = place.accounts.name_for(vod.channel)
    try:
        if vod.video_id is not None:
            status = place.accounts.youtube(account).video_status(vod.video_id)
            if status is not None and not status.is_refused:
                return vod.video_id
        return find_video(place, vod, account, part=1, parts=1)
    except VodtenderError as error:
        _log.warning("YouTube cannot be asked now", vod=vod.twitch_vod_id, why=error.message)
        return None


def find_video(place: Workplace, vod: Vod, account: str, *, part: int, parts: int) -> str | None:
    """The video among the account's own uploads that carries the marker of this VOD and part,
    unless YouTube has refused it."""
    youtube = place.accounts.youtube(account)
    begun = vod.date or vod.created_at
    not_before = min(begun, vod.created_at, datetime.now(UTC)) - _CLOCKS_APART
    video_id = youtube.find_upload(marker(vod.twitch_vod_id, part, parts), not_before, _PAGES)
    if video_id is None:
        return None
    status = youtube.video_status(video_id)
    return None if status is not None and status.is_refused else video_id
