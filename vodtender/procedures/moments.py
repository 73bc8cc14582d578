"""Which moments can be had of the embedded database, and what to say of one that cannot."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from vodtender.clients.postgres import wal_archive
from vodtender.config.settings import Settings
from vodtender.errors import Refused
from vodtender.model.base_backup import WAL
from vodtender.model.log_reach import Span, nearest, stretches
from vodtender.pipeline.backup_shelf import translated
from vodtender.pipeline.base_shelf import BaseShelf
from vodtender.pipeline.directory import POSTGRES_NAME


def spans(settings: Settings) -> list[Span]:
    """What each base backup gives, the newest moments first. Raises SettingsError."""
    shelf = BaseShelf(settings.backup_directory)
    with translated(shelf.directory):
        return shelf.spans(wal_archive.own_log(settings.data_dir / POSTGRES_NAME))


def why_broken(span: Span) -> str:
    """Why it does not lead to what was written later; empty: it does."""
    if span.missing is not None:
        where = f"{WAL}/{span.base.system_id}/{span.missing}"
        return f"the segment {where} of the log is missing in BACKUP_DIR"
    if span.left_off is not None:
        where = f"{WAL}/{span.base.system_id}/{span.left_off}"
        return f"before the segment {where} the log was not archived for a while"
    return ""


def told_end(span: Span) -> str:
    """How far one leads that is broken, and why no further."""
    last = told(span.until or span.since)
    return f"the log of {span.base.name} leads to {last}: {why_broken(span)}"


def told(at: datetime) -> str:
    """To the second."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def told_stretches(found: Sequence[Span]) -> str:
    """Those that can be had without a gap."""
    parts = [
        f"from {told(since)} to {'now' if until is None else told(until)}"
        for since, until in stretches(found)
    ]
    return "; ".join(parts) or "only the latest there is"


def no_such_moment(
    found: Sequence[Span], moment: datetime | None, *, has_come: bool = True
) -> Refused:
    """For a moment that cannot be had (None: the last): why not, what can be, and what to type."""
    if not found:
        return Refused(
            "No moment can be had: there is no base backup. Nothing was changed.",
            hint="a dump: vodtender restore latest; from now on: BACKUP_WAL=1 and vodtender backup"
            " base",
            code="no_such_moment",
        )
    near = nearest(moment, found)
    why = "What is archived of the log ends before it."
    if not has_come:
        why = "It has not come yet."
    elif near is None:
        why = "There is no base backup from before it."
    elif near.is_broken and near.until is not None:
        why = f"T{told_end(near)[1:]}."
    what = "The latest moment" if moment is None else f"The database of {told(moment)}"
    return Refused(
        f"{what} cannot be had. {why} What can be had: {told_stretches(found)}."
        " Nothing was changed.",
        hint=f"vodtender restore --at {_instead(found, moment)}",
        code="no_such_moment",
    )


def _instead(found: Sequence[Span], moment: datetime | None) -> str:
    """The last before it that can be had, or the first of all."""
    every = stretches(found)
    earlier = [until for since, until in every if moment is None or since <= moment]
    at = earlier[-1] if earlier else every[0][0] if every else None
    return "latest" if at is None else f"'{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}'"
