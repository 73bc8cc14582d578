"""A VOD's way from the disk to YouTube.

The order is what keeps promise 1: look for the video, count the attempt, open a session, store
its URI, send. At whatever point this is cut off, what is stored says what to ask.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from vodtender import log, metrics
from vodtender.clients import ffmpeg
from vodtender.errors import Stopped, Uncertain, VodtenderError
from vodtender.model import upload_limits, video_metadata, youtube_parts
from vodtender.model.outcome import Failed, FileGone, Held, Interrupted, OnYouTube, Outcome
from vodtender.model.quota import pacific_day
from vodtender.model.upload_limits import Limits
from vodtender.model.video_metadata import Presentation, VideoMetadata, VodFacts
from vodtender.model.vod import Stage, Vod, Waiting
from vodtender.model.youtube_answers import SessionAt, SessionDone
from vodtender.model.youtube_parts import Part
from vodtender.pipeline.hold import Hold
from vodtender.pipeline.oauth_services import SERVICES, YOUTUBE
from vodtender.pipeline.published import find_video
from vodtender.pipeline.work import Lane, Result
from vodtender.pipeline.workplace import Workplace
from vodtender.store import claims, tokens, uploads
from vodtender.store.claims import Progress
from vodtender.store.uploads import Upload

if TYPE_CHECKING:
    from vodtender.clients.youtube.api import YouTube

MIME = "video/mp4"
_log = log.get("upload")


class _NotNow(Exception):  # noqa: N818 - carries an outcome, not a failure
    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome


def upload(place: Workplace, hold: Hold) -> Result:
    """Brings one VOD to YouTube, going on where an earlier try was cut off."""
    vod = hold.vod
    if not place.directory.holds(vod):
        return Result(FileGone(f"its file lies in another place ({vod.downloaded_path})"))
    path = place.directory.file_of(vod)
    gone = _why_gone(path, vod)
    if gone is not None:
        return Result(FileGone(gone))
    began = time.monotonic()
    try:
        video_id = _Delivery(place, hold, path).run()
    except _NotNow as not_now:
        return Result(not_now.outcome)
    metrics.uploads_succeeded.inc()
    metrics.upload_seconds.observe(time.monotonic() - began)
    return Result(OnYouTube(video_id))


LANE = Lane("upload", "upload", claims.UPLOADS, guarded=True, work=upload)


def _why_gone(path: Path, vod: Vod) -> str | None:
    try:
        size = path.stat().st_size
    except OSError:
        return f"its file {path.name} was deleted or moved"
    if size != vod.file_size_bytes:
        return f"its file {path.name} has {size} bytes instead of {vod.file_size_bytes}"
    return None


@dataclass(slots=True)
class _Delivery:
    """The upload of one VOD, part by part."""

    place: Workplace
    hold: Hold
    path: Path

    def run(self) -> str:
        """The id of the (first) video."""
        vod = self.hold.vod
        parts = youtube_parts.plan(
            vod.file_seconds or 0.0,
            vod.file_size_bytes or 0,
            split=self.place.settings.yt_split,
        )
        with self.place.database.transaction() as connection:
            known = {upload.part: upload for upload in uploads.of_vod(connection, vod.id)}
        files = [self.path]
        if len(parts) > 1:
            files = split_files(self.place, vod, self.path, parts)
            parts = tuple(replace(part, of=len(files)) for part in parts[: len(files)])
        video_ids = [
            self._part(part, file, known.get(part.number))
            for part, file in zip(parts, files, strict=True)
        ]
        return video_ids[0]

    def _part(self, part: Part, file: Path, known: Upload | None) -> str:
        if known is not None and known.video_id is not None:
            return known.video_id
        session = known if known is not None and known.parts == part.of else None
        account = session.account if session else self._account()
        if session is not None and session.session_uri is not None:
            return self._go_on(session, file)
        self._check_account(account)
        found = find_video(self.place, self.hold.vod, account, part=part.number, parts=part.of)
        if found is not None:
            _log.info("found on YouTube", vod=self.hold.vod.twitch_vod_id, video=found)
            return found
        return self._begin(part, file, account)

    def _account(self) -> str:
        return self.place.accounts.name_for(self.hold.vod.channel)

    # --- one part -----------------------------------------------------------------------

    def _go_on(self, session: Upload, file: Path) -> str:
        """A session is open: only YouTube knows how far it is."""
        self._check_account(session.account)
        try:
            uri = self.open_uri(session)
            state = self.youtube(session).ask_session(uri, session.size_bytes)
        except VodtenderError as error:
            raise _NotNow(Failed(error, session_open=True)) from error
        if isinstance(state, SessionDone):
            return self._finish(session, state.video_id)
        if isinstance(state, SessionAt):
            return self._send(session, file, uri, state.received_bytes)
        gone = Uncertain(
            "The upload session is over, and YouTube does not say whether it ended in a video;"
            " the channel's uploads are looked through",
            code="session_gone",
        )
        raise _NotNow(Failed(gone))

    def _begin(self, part: Part, file: Path, account: str) -> str:
        vod = self.hold.vod
        metadata = metadata_of(self.place, vod, part)
        size_bytes = file.stat().st_size
        project = self._spend(account, part.number)
        uri = self.place.accounts.youtube(account).open_session(metadata, size_bytes, MIME)
        box = self.place.accounts.box
        session = Upload(
            vod_id=vod.id,
            part=part.number,
            parts=part.of,
            account=account,
            project=project,
            marker=metadata.marker,
            session_uri=box.seal_session(uri, vod.twitch_vod_id, part.number),
            size_bytes=size_bytes,
            sha256=vod.file_sha256 if part.of == 1 else None,
            sent_bytes=0,
            opened_at=datetime.now(UTC),
            video_id=None,
        )
        with self.place.database.transaction() as connection:
            claims.advance(connection, self.hold.claim, Stage.UPLOADING)
            uploads.put(connection, session)
        self.hold.vod = replace(vod, stage=Stage.UPLOADING)
        return self._send(session, file, uri, 0)

    def _send(self, session: Upload, file: Path, uri: str, start: int) -> str:
        metrics.uploads_started.inc()
        vod = self.hold.vod
        _log.info("upload started", vod=vod.twitch_vod_id, start=start, size=session.size_bytes)
        speed = _Speed(self.hold, session.size_bytes)
        speed.note(start)
        try:
            video_id = self.youtube(session).send(
                uri,
                file,
                session.size_bytes,
                start,
                chunk_bytes=self.place.settings.upload_chunk_size,
                on_progress=speed.note,
                should_stop=self.hold.should_stop,
            )
        except Stopped:
            raise _NotNow(Interrupted()) from None
        except VodtenderError as error:
            metrics.uploads_failed.inc()
            still_open = error.code != "session_gone"
            raise _NotNow(Failed(error, session_open=still_open)) from error
        return self._finish(session, video_id)

    def _finish(self, session: Upload, video_id: str) -> str:
        with self.place.database.transaction() as connection:
            claims.hold(connection, self.hold.claim)
            uploads.finish(connection, session.vod_id, session.part, video_id)
        return video_id

    # --- accounts and limits ------------------------------------------------------------

    def youtube(self, session: Upload) -> YouTube:
        return self.place.accounts.youtube(session.account)

    def open_uri(self, session: Upload) -> str:
        assert session.session_uri is not None
        return self.place.accounts.box.open_session(
            session.session_uri, self.hold.vod.twitch_vod_id, session.part
        )

    def _check_account(self, account: str) -> None:
        with self.place.database.transaction() as connection:
            now = claims.clock(connection)
            stored = tokens.get(connection, YOUTUBE, account)
            held = {hold.account: hold for hold in uploads.holds(connection)}.get(account)
        if stored is None or stored.problem is not None:
            why = stored.problem if stored and stored.problem else "nobody has logged in"
            hint = SERVICES[YOUTUBE].login_hint(account)
            reason = f"YouTube account {account!r}: {why}; type: {hint}"
            until = now + self.place.settings.processing_retry_cooldown
            raise _NotNow(Held(reason, "login", until, Waiting.LOGIN))
        if held is not None:
            raise _NotNow(Held(held.reason, held.code, held.held_until, Waiting.QUOTA))

    def _spend(self, account: str, part: int) -> str:
        """Counts the attempt in the ledger, if the day's limits allow it; returns the project."""
        vod, settings = self.hold.vod, self.place.settings
        limits = Limits(
            uploads=settings.upload_daily_limit,
            backfill_uploads=settings.backfill_upload_daily_limit,
            units=settings.yt_quota_units_per_day,
            upload_cost_units=settings.yt_upload_cost_units,
            spread=settings.upload_spread,
        )
        with self.place.database.transaction() as connection:
            claims.hold(connection, self.hold.claim)
            now = claims.clock(connection)
            project = self.place.accounts.project(connection, account)
            uploads.lock_project(connection, project)
            day = pacific_day(now)
            spent = uploads.spent(connection, project, day)
            backfill = upload_limits.is_backfill(
                vod.date or vod.created_at, settings.retain_keep_newer_than_days, now
            )
            waiting = upload_limits.why_wait(limits, spent, backfill=backfill, now=now)
            if waiting is not None:
                raise _NotNow(Held(waiting.reason, "quota", waiting.until, Waiting.QUOTA))
            uploads.record_attempt(
                connection,
                now=now,
                quota_day=day,
                project=project,
                account=account,
                twitch_vod_id=vod.twitch_vod_id,
                part=part,
                backfill=backfill,
            )
        return project


@dataclass(slots=True)
class _Speed:
    """Tells how far an upload is."""

    hold: Hold
    size_bytes: int
    _began: tuple[float, int] | None = None

    def note(self, sent_bytes: int) -> None:
        now = time.monotonic()
        if self._began is None:
            self._began = (now, sent_bytes)
        elapsed = now - self._began[0]
        speed = (sent_bytes - self._began[1]) / elapsed if elapsed > 0.5 else None
        self.hold.report(Progress("upload", "sending", sent_bytes, self.size_bytes, speed))


def metadata_of(place: Workplace, vod: Vod, part: Part) -> VideoMetadata:
    """What the video is called on YouTube."""
    settings = place.settings
    facts = VodFacts(
        vod_id=vod.twitch_vod_id,
        title=vod.title,
        channel=vod.channel,
        began_at=vod.date or vod.created_at,
        duration_seconds=vod.file_seconds or float(vod.duration_seconds or 0),
        url=vod.url,
    )
    looks = Presentation(
        title_template=settings.yt_title_template,
        description_template=settings.yt_description_template,
        privacy=settings.yt_privacy,
        category_id=settings.yt_category_id,
        tags=settings.yt_tags,
        language=settings.yt_language,
        recording_date=settings.yt_recording_date,
    )
    return video_metadata.compose(facts, looks, part=part.number, parts=part.of)


def split_files(place: Workplace, vod: Vod, path: Path, parts: Sequence[Part]) -> list[Path]:
    """Cuts a file into parts, in its work directory; what an earlier try cut is used again.

    Cuts fall on the same key frames each time, so a session that was begun fits the new file.
    There may be a part fewer than planned, when the last cut would come after the last one.
    """
    directory = place.directory.work(vod.twitch_vod_id) / f"parts-{(vod.file_sha256 or '')[:16]}"
    done = directory / "done"
    if not done.exists():
        directory.mkdir(parents=True, exist_ok=True)
        source = directory / "whole"
        source.unlink(missing_ok=True)
        source.symlink_to(path)
        ffmpeg.split(ffmpeg.find(), source, [part.start_seconds for part in parts[1:]], directory)
        done.touch()
    return sorted(directory.glob("whole.part-*"), key=lambda p: int(p.stem.rpartition("-")[2]))
