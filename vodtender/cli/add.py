"""`vodtender add`."""

from __future__ import annotations

from typing import Annotated

import typer

from vodtender.cli.context import AsJson, Context, DryRun, NothingAsked, Reason
from vodtender.cli.vod_arguments import VodIds
from vodtender.cli.vod_changes import write_tally

app = typer.Typer(rich_markup_mode=None)


@app.command()
def add(
    ctx: typer.Context,
    vod_ids: VodIds,
    *,
    skip_upload: Annotated[
        bool | None,
        typer.Option(
            "--skip-upload/--upload",
            help="Only keep them on the disk; or upload them after all.",
            show_default=False,
        ),
    ] = None,
    priority: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=-1_000_000,
            max=1_000_000,
            help="Before others if over 0; see priority.",
        ),
    ] = None,
    reason: Reason = None,
    dry_run: DryRun = False,
    _yes: NothingAsked = False,
    as_json: AsJson = False,
) -> None:
    """Add VODs by number or address, of any channel.

    Of one that is known already only what is given is changed.
    """
    from vodtender.procedures import add as procedure
    from vodtender.procedures.actor import operator

    context: Context = ctx.obj
    with context.database(create=True) as database:
        tally = procedure.add(
            database,
            vod_ids,
            skip_upload=skip_upload,
            priority=priority,
            actor=operator(),
            reason=reason,
            dry_run=dry_run,
        )
        write_tally(context, database, tally, dry_run=dry_run, as_json=as_json)
