"""`vodtender drain`."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from vodtender.cli.arguments import length
from vodtender.cli.changes import write_changes
from vodtender.cli.context import AsJson, Context, DryRun, NothingAsked, Reason
from vodtender.cli.output import note, write_line
from vodtender.errors import UsageError

if TYPE_CHECKING:
    from vodtender.procedures.drain import InHand

app = typer.Typer(rich_markup_mode=None)


@app.command()
def drain(
    ctx: typer.Context,
    *,
    worker: Annotated[
        str | None, typer.Option(metavar="ID", help="This daemon, as vodtender status names it.")
    ] = None,
    all_workers: Annotated[bool, typer.Option("--all", help="Every daemon.")] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until nothing is in hand any more.")
    ] = False,
    timeout: Annotated[
        timedelta | None,
        typer.Option(
            parser=length,
            metavar="DURATION",
            help="Wait no longer than this, such as 10m; then exit with 1.",
        ),
    ] = None,
    reason: Reason = None,
    dry_run: DryRun = False,
    _yes: NothingAsked = False,
    as_json: AsJson = False,
) -> None:
    """Let running daemons finish what they have in hand, take nothing new, and end.

    With one daemon it need not be named. Starting it again is up to whatever started it.
    """
    from vodtender.procedures import drain as procedure
    from vodtender.procedures.actor import operator

    if worker is not None and all_workers:
        raise UsageError("--worker and --all exclude each other.", hint="vodtender drain --help")
    if timeout is not None and not wait:
        raise UsageError("--timeout is for --wait.", hint="vodtender drain --help")
    context: Context = ctx.obj
    with context.database() as database:
        changes = procedure.drain(
            database,
            worker_id=worker,
            all_workers=all_workers,
            actor=operator(),
            reason=reason,
            dry_run=dry_run,
        )
        if not changes and not as_json:
            write_line("No daemon is running: nothing to do.")
        else:
            write_changes(changes, dry_run=dry_run, as_json=as_json)
        if wait and not dry_run:
            procedure.wait(
                database,
                [change.target for change in changes],
                timeout_seconds=None if timeout is None else timeout.total_seconds(),
                on_change=lambda left: None if as_json else _tell(left),
            )


def _tell(left: list[InHand]) -> None:
    for one in left:
        note(f"waiting for {one.worker_id}: works on {', '.join(one.vods)}")
