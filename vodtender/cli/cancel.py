"""`vodtender cancel`."""

from __future__ import annotations

import typer

from vodtender.cli.changes import write_changes
from vodtender.cli.context import AsJson, Context, DryRun, NothingAsked, Reason
from vodtender.cli.output import note
from vodtender.cli.vod_arguments import VodIds

app = typer.Typer(rich_markup_mode=None)

PATIENCE_SECONDS = 10.0


@app.command()
def cancel(
    ctx: typer.Context,
    vod_ids: VodIds,
    *,
    reason: Reason = None,
    dry_run: DryRun = False,
    _yes: NothingAsked = False,
    as_json: AsJson = False,
) -> None:
    """End what is being done to VODs, and skip them. It does not count as a failure.

    Waits some seconds for the workers to stop. What has come down or gone up stays, and
    `vodtender reprocess ID` goes on from there; that is why it does not ask.
    """
    from vodtender.procedures import skip as procedure
    from vodtender.procedures.actor import operator

    context: Context = ctx.obj
    with context.database() as database:
        tally = procedure.cancel(
            database, vod_ids, actor=operator(), reason=reason, dry_run=dry_run
        )
        write_changes(tally.changes, dry_run=dry_run, as_json=as_json)
        if not dry_run:
            for vod_id in procedure.still_ending(database, tally, PATIENCE_SECONDS):
                note(
                    f"{vod_id}: its worker has not stopped yet; it is skipped as soon as it"
                    " has, or when its lease ends"
                )
    tally.raise_failures()
