"""The operator says whether a VOD is on YouTube, where YouTube itself cannot tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vodtender.config.settings import Settings
from vodtender.errors import DatabaseUnavailable, VodtenderError
from vodtender.model import intervention
from vodtender.model.reference import WATCH_URL
from vodtender.model.vod import Stage, Vod
from vodtender.procedures.change import Change
from vodtender.procedures.vod_change import change_one, unknown
from vodtender.store import uploads, vods
from vodtender.store.database import Connection, Database, clock
from vodtender.store.uploads import Upload


@dataclass(frozen=True, slots=True)
class Look:
    """What YouTube says of a video: why to doubt that it is the VOD's, or why it could not be
    asked. Both empty: it may well be."""

    doubt: str = ""
    unasked: str = ""


def look_at(database: Database, settings: Settings, vod_id: str, video_id: str) -> Look:
    """Asks YouTube about a video before it is taken for the VOD's: once YouTube has processed
    it, the VOD's file may go, and a wrong id would cost the only copy.

    Raises:
        NotFound: there is no such VOD.
        Refused: it makes no sense for this VOD.
    """
    from vodtender.pipeline.accounts import Accounts

    with database.transaction() as connection:
        vod = vods.get(connection, vod_id)
        if vod is None:
            raise unknown(vod_id)
        if not intervention.is_uploaded(vod, video_id, clock(connection)).acts:
            return Look()
    account = settings.youtube_account(vod.channel)
    try:
        status = Accounts(settings, database).youtube(account).video_status(video_id)
    except DatabaseUnavailable:
        raise
    except VodtenderError as error:
        return Look(unasked=error.message)
    if status is None:
        return Look(f"YouTube shows no video {video_id} to account {account!r}.")
    if status.is_refused:
        why = status.why_refused or status.upload_status
        return Look(f"YouTube does not accept the video {video_id} ({why}).")
    seconds = vod.file_seconds or float(vod.duration_seconds or 0)
    if intervention.is_other_length(seconds, status.duration_seconds):
        return Look(
            f"The video {video_id} plays for {status.duration_seconds:.0f} s, the VOD for"
            f" {seconds:.0f} s."
        )
    return Look()


def uploaded(
    database: Database,
    vod_id: str,
    video_id: str,
    *,
    actor: str,
    reason: str | None,
    dry_run: bool,
) -> Change:
    """The VOD is on YouTube as this video, wherever it was uploaded; what is left is to see
    whether YouTube has processed it. Of an upload in parts it is the part that was open.

    Raises:
        NotFound: there is no such VOD.
        Refused: it makes no sense for this VOD.
    """

    def step(connection: Connection, vod: Vod) -> str:
        verdict = intervention.is_uploaded(vod, video_id, clock(connection))
        if not verdict.acts:
            return verdict.says
        known = uploads.of_vod(connection, vod.id)
        if vod.stage is Stage.FINALIZING and len(known) and known[0].parts > 1:
            return _settle_part(connection, vod, known, video_id)
        if len(known) == 1 and known[0].parts == 1:
            uploads.finish(connection, vod.id, 1, video_id)
        else:
            uploads.forget(connection, vod.id)
        vods.edit(
            connection,
            vod,
            youtube_url=WATCH_URL.format(video_id),
            download_state="complete",
            processing_error=None,
        )
        return "YouTube is asked whether it has processed the video"

    return change_one(
        database, vod_id, step, action="resolve", actor=actor, reason=reason, dry_run=dry_run
    )


def not_uploaded(
    database: Database, vod_id: str, *, actor: str, reason: str | None, dry_run: bool
) -> Change:
    """The VOD is not on YouTube: what was begun of its upload is forgotten, and it is uploaded
    anew. Parts that are known to be there stay.

    Raises:
        NotFound: there is no such VOD.
        Refused: it makes no sense for this VOD.
    """

    def step(connection: Connection, vod: Vod) -> str:
        known = uploads.of_vod(connection, vod.id)
        verdict = intervention.is_not_uploaded(
            vod, session_open=bool(_open(known)), now=clock(connection)
        )
        if verdict.acts:
            for upload in known:
                if upload.video_id in (None, vod.video_id):
                    uploads.forget(connection, vod.id, upload.part)
            vods.upload_anew(connection, vod)
        return verdict.says

    return change_one(
        database, vod_id, step, action="resolve", actor=actor, reason=reason, dry_run=dry_run
    )


def _settle_part(connection: Connection, vod: Vod, known: Sequence[Upload], video_id: str) -> str:
    open_parts = _open(known)
    if not open_parts:
        return "none of its parts is open; the daemon goes on with the others"
    settled = open_parts[0]
    uploads.finish(connection, vod.id, settled.part, video_id)
    vods.edit(connection, vod, processing_error=None, next_try_at=None)
    return f"part {settled.part} of {settled.parts} is settled; the others follow"


def _open(known: Sequence[Upload]) -> list[Upload]:
    return [upload for upload in known if upload.video_id is None]
