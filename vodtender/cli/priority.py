"""`vodtender priority`."""

from __future__ import annotations

from typing import Annotated

import typer

from vodtender.cli.changes import write_changes
from vodtender.cli.context import AsJson, Context, DryRun, NothingAsked, Reason
from vodtender.cli.vod_arguments import VodId

app = typer.Typer(rich_markup_mode=None)


# Otherwise -5 would be taken for an option.
@app.command(context_settings={"ignore_unknown_options": True})
def priority(
    ctx: typer.Context,
    vod_id: VodId,
    number: Annotated[
        int,
        typer.Argument(
            metavar="N", min=-1_000_000, max=1_000_000, help="0 is usual; may be negative."
        ),
    ],
    *,
    reason: Reason = None,
    dry_run: DryRun = False,
    _yes: NothingAsked = False,
    as_json: AsJson = False,
) -> None:
    """Let a VOD go before others (N > 0) or after them (N < 0), coming down and going up.

    Those with the highest number go first; among equals what Twitch deletes soonest comes down
    first, and the oldest stream goes up first. What is in hand is finished all the same.
    """
    from vodtender.procedures import priority as procedure
    from vodtender.procedures.actor import operator

    context: Context = ctx.obj
    with context.database() as database:
        change = procedure.prioritise(
            database, vod_id, number, actor=operator(), reason=reason, dry_run=dry_run
        )
    write_changes([change], dry_run=dry_run, as_json=as_json)
