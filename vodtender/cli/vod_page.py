"""Everything about one VOD as a person reads it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC
from typing import TYPE_CHECKING

from vodtender.cli.output import duration, moment, size

if TYPE_CHECKING:
    from vodtender.model.vod import Vod
    from vodtender.procedures.vods import Details
    from vodtender.store.overview import Transfer
    from vodtender.store.uploads import Upload

_LABEL = 11

_Facts = Iterator[tuple[str, str]]


def page(found: Details) -> Iterator[str]:
    """Line by line: how it stands and what to type, what it is, what has happened."""
    yield f"VOD {found.vod.twitch_vod_id}  {found.vod.title}".rstrip()
    for label, text in (*_standing(found), *_nature(found), *_belongings(found)):
        yield f"  {label:<{_LABEL}}{text}"
    yield from _story(found)


def _standing(found: Details) -> _Facts:
    vod = found.vod
    yield "state", vod.state
    if vod.processing_error:
        yield "problem", vod.processing_error
    if found.moving is not None:
        yield "moving", _progress(found.moving)
    yield "next", found.next.text
    for command in found.next.commands:
        yield "type", command


def _nature(found: Details) -> _Facts:
    vod, now = found.vod, found.now
    yield "channel", vod.channel or "not known yet"
    yield "page", vod.url
    if vod.kind != "archive":
        yield "kind", vod.kind
    yield "began", "not known yet" if vod.date is None else moment(vod.date, now)
    yield "length", duration(vod.duration_seconds) if vod.duration_seconds else "not known yet"
    yield "found", moment(vod.created_at, now)
    is_kept = found.archived is not None and found.archived.is_copy_of(vod)
    if vod.vanishes_at is not None and vod.downloaded_path is None and not is_kept:
        yield "vanishes", moment(vod.vanishes_at, now)
    wishes = [
        *([f"priority {vod.priority}"] if vod.priority else []),
        *(["not uploaded (--skip-upload)"] if vod.skip_upload else []),
        *(["gaps allowed (--allow-gaps)"] if vod.allow_gaps else []),
    ]
    if wishes:
        yield "wishes", ", ".join(wishes)


def _belongings(found: Details) -> _Facts:
    vod, now = found.vod, found.now
    if vod.downloaded_path is not None:
        yield (
            "file",
            f"{vod.downloaded_path} ({_file(vod)}, here since {moment(vod.downloaded_at)})",
        )
        yield "sha256", vod.file_sha256 or "not known"
    elif vod.file_removed_at is not None:
        yield "file", f"removed {moment(vod.file_removed_at, now)}"
    if found.archived is not None:
        yield "archive", _archived(found)
    if vod.muted_segments:
        yield "muted", f"{vod.muted_segments} segments, by Twitch"
    for gap in vod.gaps:
        yield "gap", gap
    if vod.youtube_url is not None:
        confirmed = ""
        if vod.published_at is not None:
            confirmed = f" (processed {moment(vod.published_at)})"
        yield "video", f"{vod.youtube_url}{confirmed}"
    for upload in found.uploads:
        yield "upload", _upload(upload)


def _archived(found: Details) -> str:
    copy = found.archived
    assert copy is not None
    kind = f"{copy.storage_class}, " if copy.storage_class else ""
    text = f"{copy.place} ({kind}since {moment(copy.archived_at)})"
    if copy.problem is not None:
        return f"{text}: lost: {copy.problem}"
    if copy.sha256 != found.vod.file_sha256:
        return f"{text}: an earlier file of this VOD"
    if copy.asked_at is not None and found.vod.downloaded_path is None:
        return f"{text}, asked for {moment(copy.asked_at, found.now)}"
    return text


def _file(vod: Vod) -> str:
    return f"{size(vod.file_size_bytes)}, plays {duration(vod.file_seconds)}"


def _upload(upload: Upload) -> str:
    part = f"part {upload.part} of {upload.parts}, " if upload.parts > 1 else ""
    begun = f"account {upload.account}, begun {moment(upload.opened_at)}"
    if upload.video_id is not None:
        return f"{part}video {upload.video_id}, {begun}"
    how = "may be complete" if upload.sent_bytes >= upload.size_bytes else "not complete"
    return (
        f"{part}session open, {how}, {size(upload.size_bytes)}, {begun};"
        f" its description will say {upload.marker}"
    )


def _progress(moving: Transfer) -> str:
    text = f"{moving.direction}, {moving.phase}: {size(moving.bytes_done)}"
    if moving.bytes_total:
        text += f" of {size(moving.bytes_total)}"
    if moving.bytes_per_second:
        text += f", {size(moving.bytes_per_second)}/s"
    if moving.seconds_left is not None:
        text += f", {duration(moving.seconds_left)} left"
    return text


def _story(found: Details) -> Iterator[str]:
    """Its own steps and the commands that were given about it, in the order of time."""
    steps = [
        (line.at, line.actor, f"{line.from_stage or 'new'} -> {line.to_stage}", line.detail)
        if line.from_stage != line.to_stage
        else (line.at, line.actor, line.to_stage, line.detail)
        for line in found.history
    ]
    steps += [
        (line.at, line.actor, f"vodtender {line.action}", line.reason) for line in found.changes
    ]
    if steps:
        yield ""
        yield "History"
    for at, actor, what, why in sorted(steps, key=lambda step: step[0]):
        when = f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        yield f"  {when}  {actor}: {what}" + (f" ({why})" if why else "")
