"""A VOD's way from the disk to YouTube.

The order is what keeps promise 1: ask what YouTube has, count the attempt, open a session, store
its URI, send, and note before the last chunk that from now on it may be complete. At whatever
point this is cut off, what is stored says what to ask.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from vodtender import log, metrics
from vodtender.errors import (
    DatabaseUnavailable,
    LeaseLost,
    Stopped,
    Transient,
    VodtenderError,
)
from vodtender.model import video_metadata, youtube_parts
from vodtender.model.outcome import Absent, Failed, FileGone, Held, OnYouTube, Outcome, Vanished
from vodtender.model.video_metadata import VideoMetadata, VodFacts
from vodtender.model.vod import Stage, Vod
from vodtender.model.youtube_parts import Part
from vodtender.pipeline import allowance, archived_upload, published
from vodtender.pipeline.archive_shelf import known_copy
from vodtender.pipeline.claimed_vod import ClaimedVod
from vodtender.pipeline.parts import cut_files
from vodtender.pipeline.sending import Sending
from vodtender.pipeline.work import Lane, Result
from vodtender.pipeline.workplace import Workplace
from vodtender.store import claims, queue, uploads
from vodtender.store.claims import Progress
from vodtender.store.uploads import Upload

MIME = "video/mp4"
_log = log.get("upload")


class _Ended(Exception):  # noqa: N818 - carries an outcome, not a failure
    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome


def upload(place: Workplace, claimed: ClaimedVod) -> Result:
    """Brings one VOD to YouTube, going on where an earlier try was cut off."""
    began = time.monotonic()
    try:
        outcome: Outcome = _Delivery(place, claimed).run()
    except _Ended as ended:
        outcome = ended.outcome
    except (Stopped, LeaseLost, DatabaseUnavailable):
        raise
    except VodtenderError as error:
        outcome = Failed(error)
    if isinstance(outcome, Failed):
        metrics.uploads_failed.inc()
    if not isinstance(outcome, OnYouTube):
        return Result(outcome)
    metrics.uploads_succeeded.inc()
    metrics.upload_seconds.observe(time.monotonic() - began)
    return Result(outcome, afterwards=lambda: place.drop_work(claimed.vod))


LANE = Lane("upload", "upload", queue.UPLOADS, guarded=True, work=upload)


@dataclass(slots=True)
class _Delivery:
    """The upload of one VOD, part by part."""

    place: Workplace
    claimed: ClaimedVod
    known: dict[int, Upload] = field(default_factory=dict)
    open_at: dict[int, int] = field(default_factory=dict)
    """How far the open sessions are, by part."""

    @property
    def vod(self) -> Vod:
        return self.claimed.vod

    @property
    def account(self) -> str:
        """Where the channel's VODs go now. A session stays with the account that opened it."""
        return self.place.accounts.name_for(self.vod.channel)

    def run(self) -> OnYouTube:
        whole = self.ask_youtube()
        if whole is not None:
            return OnYouTube(whole)
        path = self.intact_file()
        with self.files(path) as files:
            video_ids = [self.deliver(part, file) for part, file in files]
        return OnYouTube(video_ids[0])

    # --- what is there ------------------------------------------------------------------

    def ask_youtube(self) -> str | None:
        """The video, if YouTube has all of it. That takes no file."""
        vod = self.vod
        with self.place.database.transaction() as connection:
            known = uploads.of_vod(connection, vod.id)
        if vod.video_id is not None:
            self.check_usable(self.account)
            if published.recorded_status(self.place, vod, known) is None:
                raise _Ended(Vanished((vod.video_id,)))
            return vod.video_id
        states = {}
        for upload in known:
            if upload.video_id is None:
                self.check_usable(upload.account)
            state = published.settle_part(self.place, self.claimed, upload)
            if state.may_be_complete:
                raise _Ended(Absent())
            if state.open_at is not None:
                self.open_at[upload.part] = state.open_at
            self.known[upload.part] = replace(upload, video_id=state.video_id)
            states[upload.part] = state
        return published.whole_upload(known, states)

    def intact_file(self) -> Path:
        """The VOD's file, from the archive if it is not on this disk."""
        directory, vod = self.place.directory, self.vod
        if not directory.holds(vod):
            why = f"its file lies in another place ({vod.downloaded_path})"
        else:
            path = directory.file_of(vod)
            self.claimed.report(Progress("upload", "checking", 0, vod.file_size_bytes, None))
            changed = self.place.intact.why_not(path, vod, self.claimed.should_stop)
            if changed is None:
                return path
            why = changed
            directory.check()  # where a whole disk is missing, no file has been deleted
        copy = known_copy(self.place.database, vod)
        if copy is None:
            raise _Ended(FileGone(why))
        if not self.open_at:  # it would only lie here and wait
            self.check_usable(self.account)
            self.unless_held(allowance.why_held(self.place, self.account))
        found = archived_upload.bring_file(self.place, self.claimed, copy)
        if not isinstance(found, Path):
            raise _Ended(found)
        self.claimed.vod = replace(
            vod, downloaded_path=str(found), directory_id=self.place.directory.id
        )
        return found

    @contextmanager
    def files(self, path: Path) -> Iterator[list[tuple[Part, Path]]]:
        """The parts and their files."""
        vod, settings = self.vod, self.place.settings
        parts = youtube_parts.plan(
            vod.file_seconds or 0.0, vod.file_size_bytes or 0, split=settings.yt_split
        )
        if len(parts) == 1:
            yield [(parts[0], path)]
            return
        self.claimed.report(Progress("upload", "cutting", 0, vod.file_size_bytes, None))
        with cut_files(self.place, vod, path, parts, self.claimed.should_stop) as cut:
            yield [
                (replace(part, of=len(cut)), file) for part, file in zip(parts, cut, strict=False)
            ]

    # --- one part -----------------------------------------------------------------------

    def deliver(self, part: Part, file: Path) -> str:
        known = self.known.get(part.number)
        if known is not None and known.parts == part.of:
            if known.video_id is not None:
                return known.video_id
            at = self.open_at.get(part.number)
            if at is not None and self.fits(known, file):
                return self.send(
                    known, file, published.session_uri(self.place, self.vod, known), at
                )
        self.check_usable(self.account)
        self.unless_held(allowance.why_held(self.place, self.account))
        found = published.find_video(
            self.place, self.vod, self.account, part=part.number, parts=part.of
        )
        upload = self.new_upload(part, file)
        if found is not None:
            _log.info("found on YouTube", vod=self.vod.twitch_vod_id, video=found)
            with self.place.database.transaction() as connection:
                claims.lock(connection, self.claimed.claim)
                uploads.put(connection, replace(upload, video_id=found))
            return found
        return self.begin(upload, file, part)

    def fits(self, upload: Upload, file: Path) -> bool:
        """Whether the session was begun with this very file."""
        return (upload.size_bytes, upload.sha256) == (file.stat().st_size, self.vod.file_sha256)

    def new_upload(self, part: Part, file: Path) -> Upload:
        with self.place.database.transaction() as connection:
            project = self.place.accounts.project(connection, self.account)
        return Upload(
            vod_id=self.vod.id,
            part=part.number,
            parts=part.of,
            account=self.account,
            project=project,
            marker=video_metadata.marker(self.vod.twitch_vod_id, part.number, part.of),
            session_uri=None,
            size_bytes=file.stat().st_size,
            sha256=self.vod.file_sha256,
            sent_bytes=0,
            opened_at=datetime.now(UTC),
            video_id=None,
        )

    def begin(self, upload: Upload, file: Path, part: Part) -> str:
        """Opens a session and stores it before the first byte is sent."""
        metadata = metadata_of(self.place, self.vod, part)
        self.unless_held(allowance.spend(self.place, self.claimed, upload))
        youtube = self.place.accounts.youtube(upload.account)
        try:
            uri = youtube.open_session(metadata, upload.size_bytes, MIME)
        except Transient as error:
            raise _Ended(Failed(error, costly=True)) from error
        sealed = self.place.accounts.box.seal_session(uri, self.vod.twitch_vod_id, upload.part)
        session = replace(upload, session_uri=sealed)
        with self.place.database.transaction() as connection:
            claims.advance(connection, self.claimed.claim, Stage.UPLOADING)
            uploads.put(connection, session)
        self.claimed.vod = replace(self.vod, stage=Stage.UPLOADING)
        return self.send(session, file, uri, 0)

    def send(self, session: Upload, file: Path, uri: str, start: int) -> str:
        metrics.uploads_started.inc()
        vod = self.vod.twitch_vod_id
        _log.info("upload started", vod=vod, start=start, size=session.size_bytes)
        if self.vod.stage is not Stage.UPLOADING:
            self.claimed.advance(Stage.UPLOADING)
        sending = Sending(self.place, self.claimed, session, start)
        try:
            video_id = self.place.accounts.youtube(session.account).send(
                uri,
                file,
                session.size_bytes,
                start,
                chunk_bytes=self.place.settings.upload_chunk_size,
                on_progress=sending.note,
                on_last=sending.begin_last,
                should_stop=self.claimed.should_stop,
            )
        except (Stopped, LeaseLost, DatabaseUnavailable):
            raise
        except VodtenderError as error:
            raise _Ended(sending.failed(error)) from error
        published.record(self.place, self.claimed, session, video_id)
        return video_id

    # --- accounts and limits ------------------------------------------------------------

    def check_usable(self, account: str) -> None:
        held = allowance.why_not_usable(self.place, account)
        if held is not None and account != self.account:
            anew = f"vodtender resolve {self.vod.twitch_vod_id} --not-uploaded"
            says = f"Its upload was begun with that account; to begin anew with {self.account!r}"
            held = replace(held, reason=f"{held.reason}. {says}: {anew}")
        self.unless_held(held)

    def unless_held(self, held: Held | None) -> None:
        if held is not None:
            raise _Ended(held)


def metadata_of(place: Workplace, vod: Vod, part: Part) -> VideoMetadata:
    """What the video is called on YouTube."""
    facts = VodFacts(
        vod_id=vod.twitch_vod_id,
        title=vod.title,
        channel=vod.channel,
        began_at=vod.date or vod.created_at,
        duration_seconds=vod.file_seconds or float(vod.duration_seconds or 0),
        url=vod.url,
    )
    looks = place.settings.presentation
    return video_metadata.compose(facts, looks, part=part.number, parts=part.of)
