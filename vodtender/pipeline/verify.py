"""What has become of an upload: did it take effect, and is the video processed?

Only asking; nothing here sends a video.
"""

from __future__ import annotations

from dataclasses import dataclass

from vodtender import log
from vodtender.errors import DatabaseUnavailable, Rejected, SettingsError
from vodtender.model.outcome import (
    Absent,
    OnYouTube,
    Outcome,
    Processed,
    Processing,
    Refused,
    Unfinished,
    Vanished,
)
from vodtender.model.vod import Stage, Vod
from vodtender.model.youtube_answers import SessionAt, SessionDone, VideoStatus
from vodtender.pipeline.download import drop_work
from vodtender.pipeline.hold import Hold
from vodtender.pipeline.prune import by_settings, prune
from vodtender.pipeline.published import find_video
from vodtender.pipeline.work import Lane, Result
from vodtender.pipeline.workplace import Workplace
from vodtender.store import claims, uploads
from vodtender.store.uploads import Upload

_log = log.get("verify")


def verify(place: Workplace, hold: Hold) -> Result:
    """Asks YouTube about one VOD that was, or may have been, uploaded."""
    vod = hold.vod
    with place.database.transaction() as connection:
        known = uploads.of_vod(connection, vod.id)
    if vod.stage is Stage.FINALIZING:
        return Result(_Settling(place, hold, known).run())
    outcome = _processed(place, vod, known)
    if isinstance(outcome, Processed):
        return Result(outcome, afterwards=lambda: _free_disk(place, vod))
    return Result(outcome)


LANE = Lane("verify", "upload", claims.CHECKS, guarded=False, work=verify)


@dataclass(frozen=True, slots=True)
class _Settling:
    """An upload of which nobody knows whether it took effect."""

    place: Workplace
    hold: Hold
    known: list[Upload]

    def run(self) -> Outcome:
        vod = self.hold.vod
        found: list[str] = []
        for upload in self.known:
            if upload.video_id is not None:
                found.append(upload.video_id)
                continue
            settled = self._settle(upload)
            if not isinstance(settled, str):
                return settled
            self._finish(upload, settled)
            found.append(settled)
        if found and len(found) == self.known[0].parts:
            return OnYouTube(found[0])
        if found:
            return Unfinished()
        account = self.place.accounts.name_for(vod.channel)
        video_id = find_video(self.place, vod, account, part=1, parts=1)
        return Absent() if video_id is None else OnYouTube(video_id)

    def _settle(self, upload: Upload) -> str | Outcome:
        """The video's id; or that the session can go on; or that nothing is to be seen."""
        vod = self.hold.vod
        if upload.session_uri is not None:
            uri = self.place.accounts.box.open_session(
                upload.session_uri, vod.twitch_vod_id, upload.part
            )
            youtube = self.place.accounts.youtube(upload.account)
            state = youtube.ask_session(uri, upload.size_bytes)
            if isinstance(state, SessionDone):
                return state.video_id
            if isinstance(state, SessionAt) and state.received_bytes < upload.size_bytes:
                return Unfinished()
        video_id = find_video(self.place, vod, upload.account, part=upload.part, parts=upload.parts)
        return Absent() if video_id is None else video_id

    def _finish(self, upload: Upload, video_id: str) -> None:
        with self.place.database.transaction() as connection:
            claims.hold(connection, self.hold.claim)
            uploads.finish(connection, upload.vod_id, upload.part, video_id)


def _processed(place: Workplace, vod: Vod, known: list[Upload]) -> Outcome:
    videos = {upload.video_id: upload.account for upload in known if upload.video_id}
    if vod.video_id is not None and vod.video_id not in videos:
        videos = {vod.video_id: place.accounts.name_for(vod.channel)}
    statuses = [
        place.accounts.youtube(account).video_status(video_id)
        for video_id, account in videos.items()
    ]
    outcome = _of_statuses(statuses)
    if isinstance(outcome, Processed):
        for video_id, account in videos.items():
            _add_to_playlist(place, vod, account, video_id)
    return outcome


def _of_statuses(statuses: list[VideoStatus | None]) -> Outcome:
    for status in statuses:
        if status is not None and status.is_refused:
            return Refused(status.why_refused or status.upload_status or "no reason given")
    if not statuses or None in statuses:
        return Vanished()
    if all(status is not None and status.is_processed for status in statuses):
        return Processed()
    return Processing()


def _free_disk(place: Workplace, vod: Vod) -> None:
    """Now the file may go, if the settings say so: the next download may be waiting for it."""
    drop_work(place, vod)
    settings = place.settings
    if settings.retention_dry_run:
        return
    try:
        prune(
            place.database,
            place.directory,
            by_settings(settings),
            actor=place.worker_id,
            dry_run=False,
        )
    except (DatabaseUnavailable, SettingsError) as error:
        _log.debug("pruned later", why=error.message)


def _add_to_playlist(place: Workplace, vod: Vod, account: str, video_id: str) -> None:
    """A playlist that is not there must not keep the VOD from being done."""
    playlist_id = place.settings.yt_playlist_id
    if playlist_id is None:
        return
    try:
        place.accounts.youtube(account).add_to_playlist(playlist_id, video_id)
    except Rejected as error:
        _log.error("not added to the playlist", vod=vod.twitch_vod_id, why=error.message)
