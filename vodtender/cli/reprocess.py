"""`vodtender reprocess`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from vodtender.cli.arguments import moment
from vodtender.cli.confirm import confirm
from vodtender.cli.context import AsJson, Context, DryRun, Reason, Yes
from vodtender.cli.vod_arguments import MaybeVodIds, one_of
from vodtender.cli.vod_changes import write_tally

app = typer.Typer(rich_markup_mode=None)


@app.command()
def reprocess(
    ctx: typer.Context,
    vod_ids: MaybeVodIds = None,
    *,
    since: Annotated[
        datetime | None,
        typer.Option(
            parser=moment,
            metavar="WHEN",
            help="All that were found since, whatever became of them; a time, or how long ago,"
            " such as 24h.",
        ),
    ] = None,
    yes: Yes = False,
    reason: Reason = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Send VODs the whole way again, done and skipped ones too.

    YouTube is asked first, and the disk looked at: a video that YouTube has stays the VOD's,
    and a file that is whole is not fetched again.

    With --since it asks, since that can set much going that nobody has named; with IDs it does
    not.
    """
    from vodtender.procedures import reprocess as procedure
    from vodtender.procedures.actor import operator

    one_of({"IDs": bool(vod_ids), "--since": since is not None})
    context: Context = ctx.obj
    with context.database() as database:
        if since is not None:
            vod_ids = procedure.found_since(database, since)
            if vod_ids and not dry_run:
                number = f"{len(vod_ids)} VODs" if len(vod_ids) > 1 else "1 VOD"
                confirm(f"Send {number} the whole way again?", yes=yes)
        tally = procedure.reprocess(
            database, vod_ids or [], actor=operator(), reason=reason, dry_run=dry_run
        )
        write_tally(context, database, tally, dry_run=dry_run, as_json=as_json)
