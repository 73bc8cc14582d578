"""`vodtender vods`: lists, and everything about one VOD."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from vodtender.cli.arguments import legible, moment
from vodtender.cli.context import AsJson, Context
from vodtender.cli.output import (
    duration,
    fit,
    note,
    size,
    terminal_columns,
    write_json,
    write_line,
    write_table,
)
from vodtender.cli.vod_arguments import VodId

if TYPE_CHECKING:
    from vodtender.model.vod import Vod

app = typer.Typer(rich_markup_mode=None)

_TITLE_COLUMNS = 40
_COLUMNS = ("VOD", "STATE", "CHANNEL", "BEGAN (UTC)", "LENGTH", "SIZE", "TITLE", "PROBLEM")
_CHANNEL, _PROBLEM = _COLUMNS.index("CHANNEL"), _COLUMNS.index("PROBLEM")


@app.callback(invoke_without_command=True)
def vods(
    ctx: typer.Context,
    *,
    state: Annotated[
        list[str] | None,
        typer.Option(
            metavar="STATE",
            help="Only these: live, queued, retrying, downloading, downloaded, held, kept,"
            " uploading, finalizing, verifying, published, failed, skipped. May be repeated.",
        ),
    ] = None,
    failed: Annotated[
        bool, typer.Option("--failed", help="Only what `retry --failed` would take.")
    ] = False,
    error: Annotated[
        str | None,
        typer.Option(parser=legible, metavar="TEXT", help="Only those whose error contains this."),
    ] = None,
    channel: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only this channel's.")
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(
            parser=moment,
            metavar="WHEN",
            help="Only streams that began since: a time, or their age, such as 24h.",
        ),
    ] = None,
    before: Annotated[
        datetime | None,
        typer.Option(parser=moment, metavar="WHEN", help="Only streams that began before."),
    ] = None,
    found_since: Annotated[
        datetime | None,
        typer.Option(
            parser=moment,
            metavar="WHEN",
            help="Only those found since: what `reprocess --since` would take.",
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="At most so many; 0 is all.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List VODs, the newest stream first, or show one with its history."""
    if ctx.invoked_subcommand is not None:
        return
    from vodtender.procedures import vods as procedure
    from vodtender.store.vods import Filter

    wanted = Filter(
        states=tuple(name.strip() for text in state or () for name in text.split(",")),
        channel=None if channel is None else channel.lower(),
        failed=failed,
        error_text=error,
        began_after=since,
        began_before=before,
        created_after=found_since,
    )
    context: Context = ctx.obj
    with context.database() as database:
        found = procedure.listing(database, wanted, limit or None)
    if as_json:
        listed = [procedure.as_document(vod) for vod in found.vods]
        write_json({"vods": listed, "total": found.total})
        return
    if not found.vods:
        write_line("No VOD fits." if wanted != Filter() else "There are no VODs yet.")
        return
    _write_table(found.vods)
    if found.total > len(found.vods):
        note(f"{len(found.vods)} of {found.total}; the others: --limit 0")


@app.command()
def show(ctx: typer.Context, vod_id: VodId, as_json: AsJson = False) -> None:
    """Show everything about one VOD, and what to type."""
    from vodtender.procedures import vods as procedure

    context: Context = ctx.obj
    with context.database() as database:
        found = procedure.details(database, context.settings(), vod_id)
    if as_json:
        write_json(procedure.details_document(found))
        return
    from vodtender.cli.vod_page import page

    for line in page(found):
        write_line(line)


def _write_table(found: list[Vod]) -> None:
    """Without the columns that say the same nothing in every row. A terminal is too narrow for
    all of them: there, problems stand below, and a channel that is the only one is not told."""
    rows = [_row(vod) for vod in found]
    kept = [n for n in range(len(_COLUMNS)) if any(row[n] for row in rows)]
    below: list[str] = []
    if terminal_columns() is not None:
        below = [row[_PROBLEM] for row in rows]
        kept = [n for n in kept if n != _PROBLEM]
        if len({row[_CHANNEL] for row in rows}) == 1 and _CHANNEL in kept:
            kept.remove(_CHANNEL)
    write_table([_COLUMNS[n] for n in kept], [[row[n] for n in kept] for row in rows], below)


def _row(vod: Vod) -> tuple[str, ...]:
    return (
        vod.twitch_vod_id,
        vod.state,
        vod.channel,
        "" if vod.date is None else f"{vod.date.astimezone(UTC):%Y-%m-%d %H:%M}",
        duration(vod.duration_seconds) if vod.duration_seconds else "",
        size(vod.file_size_bytes) if vod.downloaded_path else "",
        fit(vod.title, _TITLE_COLUMNS),
        vod.processing_error or "",
    )
