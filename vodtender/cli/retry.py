"""`vodtender retry`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from vodtender.cli.arguments import moment
from vodtender.cli.context import AsJson, Context, DryRun, NothingAsked, Reason
from vodtender.cli.vod_arguments import MaybeVodIds, one_of
from vodtender.cli.vod_changes import write_tally

app = typer.Typer(rich_markup_mode=None)


@app.command()
def retry(
    ctx: typer.Context,
    vod_ids: MaybeVodIds = None,
    *,
    failed: Annotated[
        bool, typer.Option("--failed", help="All that have failed, for good or for the moment.")
    ] = False,
    quota: Annotated[
        bool, typer.Option("--quota", help="All uploads that wait for YouTube's quota.")
    ] = False,
    since: Annotated[
        datetime | None,
        typer.Option(
            parser=moment,
            metavar="WHEN",
            help="All that have failed since; a time, or how long ago, such as 24h.",
        ),
    ] = None,
    allow_gaps: Annotated[
        bool,
        typer.Option(
            "--allow-gaps",
            help="Keep them without the segments that Twitch no longer hands out. With --failed"
            " and --since only those that failed for that.",
        ),
    ] = False,
    reason: Reason = None,
    dry_run: DryRun = False,
    _yes: NothingAsked = False,
    as_json: AsJson = False,
) -> None:
    """Try failed or held VODs again now.

    One that waits for its turn anyway is left as it is. An upload that was begun goes on where
    it was; nothing is sent twice. Nothing is asked, since only what waits is set going.
    """
    from vodtender.procedures import retry as procedure
    from vodtender.procedures.actor import operator

    failed = failed or since is not None
    one_of({"IDs": bool(vod_ids), "--failed (or --since)": failed, "--quota": quota})
    context: Context = ctx.obj
    with context.database() as database:
        actor = operator()
        if quota:
            tally = procedure.retry_quota(database, actor=actor, reason=reason, dry_run=dry_run)
        elif failed:
            tally = procedure.retry_failed(
                database,
                since=since,
                allow_gaps=allow_gaps,
                actor=actor,
                reason=reason,
                dry_run=dry_run,
            )
        else:
            tally = procedure.retry(
                database,
                vod_ids or [],
                allow_gaps=allow_gaps,
                actor=actor,
                reason=reason,
                dry_run=dry_run,
            )
        write_tally(context, database, tally, dry_run=dry_run, as_json=as_json)
