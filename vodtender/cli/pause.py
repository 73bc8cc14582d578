"""`vodtender pause`."""

from __future__ import annotations

import typer

from vodtender.cli.changes import write_changes
from vodtender.cli.context import AsJson, Context, DryRun, NothingAsked, Reason

app = typer.Typer(rich_markup_mode=None)


@app.command()
def pause(
    ctx: typer.Context,
    *,
    reason: Reason = None,
    dry_run: DryRun = False,
    _yes: NothingAsked = False,
    as_json: AsJson = False,
) -> None:
    """Begin nothing new, in no daemon and after no restart, until `vodtender resume`.

    What is in hand is finished. Where it is paused already, only the reason changes.
    """
    from vodtender.procedures import pause as procedure
    from vodtender.procedures.actor import operator

    context: Context = ctx.obj
    with context.database() as database:
        change = procedure.begin(database, actor=operator(), reason=reason, dry_run=dry_run)
    write_changes([change], dry_run=dry_run, as_json=as_json)
