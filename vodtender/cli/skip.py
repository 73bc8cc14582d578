"""`vodtender skip`."""

from __future__ import annotations

import typer

from vodtender.cli.changes import write_changes
from vodtender.cli.context import AsJson, Context, DryRun, NothingAsked, Reason
from vodtender.cli.vod_arguments import VodIds

app = typer.Typer(rich_markup_mode=None)


@app.command()
def skip(
    ctx: typer.Context,
    vod_ids: VodIds,
    *,
    reason: Reason = None,
    dry_run: DryRun = False,
    _yes: NothingAsked = False,
    as_json: AsJson = False,
) -> None:
    """Leave VODs alone for good; what is being done to them ends within seconds.

    Nothing is deleted, and `vodtender reprocess ID` takes them up again; that is why it does
    not ask.
    """
    from vodtender.procedures import skip as procedure
    from vodtender.procedures.actor import operator

    context: Context = ctx.obj
    with context.database() as database:
        tally = procedure.skip(database, vod_ids, actor=operator(), reason=reason, dry_run=dry_run)
    write_changes(tally.changes, dry_run=dry_run, as_json=as_json)
    tally.raise_failures()
