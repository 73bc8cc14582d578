"""What has become of an upload: did it take effect, and is the video processed?

Only asking; nothing here sends a video.
"""

from __future__ import annotations

from dataclasses import dataclass

from vodtender import log, metrics
from vodtender.errors import AuthExpired, DatabaseUnavailable, Rejected, SettingsError
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
from vodtender.model.youtube_answers import VideoStatus
from vodtender.pipeline.claimed_vod import ClaimedVod
from vodtender.pipeline.prune import by_settings, prune
from vodtender.pipeline.published import (
    find_video,
    record,
    settle_part,
    video_status,
    whole_upload,
)
from vodtender.pipeline.work import Lane, Result
from vodtender.pipeline.workplace import Workplace
from vodtender.store import queue, uploads
from vodtender.store.uploads import Upload

_log = log.get("verify")


def verify(place: Workplace, claimed: ClaimedVod) -> Result:
    """Asks YouTube about one VOD that was, or may have been, uploaded."""
    vod = claimed.vod
    with place.database.transaction() as connection:
        known = uploads.of_vod(connection, vod.id)
    if vod.stage is Stage.FINALIZING:
        outcome = _Settling(place, claimed, known).run()
        if isinstance(outcome, OnYouTube):
            metrics.uploads_succeeded.inc()
        return Result(outcome)
    outcome = _Looking(place, claimed, known).run()
    if isinstance(outcome, Processed):
        return Result(outcome, afterwards=lambda: _free_disk(place, vod))
    return Result(outcome)


LANE = Lane("verify", "upload", queue.CHECKS, guarded=False, work=verify)


@dataclass(frozen=True, slots=True)
class _Settling:
    """An upload of which nobody knows whether it took effect."""

    place: Workplace
    claimed: ClaimedVod
    known: list[Upload]

    def run(self) -> Outcome:
        vod = self.claimed.vod
        states = {}
        for upload in self.known:
            state = settle_part(self.place, self.claimed, upload)
            if state.may_be_complete:
                return Absent()
            states[upload.part] = state
        whole = whole_upload(self.known, states)
        if whole is not None:
            return OnYouTube(whole)
        if self.known:
            return Unfinished()
        account = self.place.accounts.name_for(vod.channel)
        video_id = find_video(self.place, vod, account, part=1, parts=1)
        return Absent() if video_id is None else OnYouTube(video_id)


@dataclass(frozen=True, slots=True)
class _Looking:
    """Videos that YouTube has and may not have processed yet."""

    place: Workplace
    claimed: ClaimedVod
    known: list[Upload]

    def run(self) -> Outcome:
        vod = self.claimed.vod
        ours = [upload for upload in self.known if upload.video_id is not None]
        videos = {str(upload.video_id): upload.account for upload in ours}
        if vod.video_id is not None and vod.video_id not in videos:
            videos = {vod.video_id: self.place.accounts.name_for(vod.channel)}
        statuses = {
            video_id: video_status(self.place, account, video_id)
            for video_id, account in videos.items()
        }
        refused = [status for status in statuses.values() if status and status.is_refused]
        if refused:
            return self._refused(refused)
        unseen = tuple(video_id for video_id, status in statuses.items() if status is None)
        if unseen or not statuses:
            return Vanished(unseen)
        if not all(status and status.is_processed for status in statuses.values()):
            return Processing()
        for video_id, account in videos.items():
            _add_to_playlist(self.place, vod, account, video_id)
        return Processed()

    def _refused(self, refused: list[VideoStatus]) -> Outcome:
        """An upload may be there twice, because the first was not to be seen for long: then
        YouTube refuses the second as a duplicate, and the first is the one that counts."""
        vod = self.claimed.vod
        first = vod.video_id
        for status in refused:
            upload = next((u for u in self.known if u.video_id == status.video_id), None)
            twin = self._twin(upload)
            if twin is None:
                why = status.why_refused or status.upload_status or "no reason given"
                return Refused(tuple(status.video_id for status in refused), why)
            _log.info("the same video is there", vod=vod.twitch_vod_id, video=twin)
            if upload is not None:
                record(self.place, self.claimed, upload, twin)
            if upload is None or upload.part == 1:
                first = twin
        assert first is not None
        return OnYouTube(first)

    def _twin(self, upload: Upload | None) -> str | None:
        """Another video of the same VOD and part that YouTube has not refused."""
        vod = self.claimed.vod
        if upload is None:
            account = self.place.accounts.name_for(vod.channel)
            return find_video(self.place, vod, account, part=1, parts=1)
        part, parts = upload.part, upload.parts
        return find_video(self.place, vod, upload.account, part=part, parts=parts)


def _free_disk(place: Workplace, vod: Vod) -> None:
    """Now the file may go, if the settings say so: the next download may be waiting for it."""
    place.drop_work(vod)
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
    """A playlist that is not there, or not the account's to change, must not keep the VOD from
    being done."""
    playlist_id = place.settings.yt_playlist_id
    if playlist_id is None:
        return
    try:
        place.accounts.youtube(account).add_to_playlist(playlist_id, video_id)
    except (Rejected, AuthExpired) as error:
        if error.code == "auth_expired":
            raise
        _log.error("not added to the playlist", vod=vod.twitch_vod_id, why=error.message)
