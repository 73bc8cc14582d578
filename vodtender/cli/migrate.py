"""`vodtender migrate`."""

from __future__ import annotations

import typer

from vodtender.cli.context import AsJson, Context, DryRun, NothingAsked, Reason
from vodtender.cli.output import note, plain, write_json, write_line

app = typer.Typer(rich_markup_mode=None)


@app.command()
def migrate(
    ctx: typer.Context,
    *,
    reason: Reason = None,
    dry_run: DryRun = False,
    _yes: NothingAsked = False,
    as_json: AsJson = False,
) -> None:
    """Bring the database to this program's schema, and list what that took.

    Every command and daemon does so by itself; this one does nothing else, so that an update
    can do it first and see what happens.
    """
    from vodtender.procedures import migrate as procedure
    from vodtender.procedures.actor import operator
    from vodtender.procedures.opening import made_anew, open_database

    context: Context = ctx.obj
    if lost := made_anew(context.settings()):
        note(f"warning: {lost}")
    with open_database(context.settings(), migrate=False, create=True) as database:
        done = procedure.bring_up(database, actor=operator(), reason=reason, dry_run=dry_run)
    if as_json:
        write_json({"dry_run": dry_run, **plain(done)})
        return
    for name in done.applied:
        write_line(f"applied {name}")
    for name in done.pending:
        write_line(f"would apply {name}")
    if done.applied:
        write_line(f"The schema was {done.schema_before} and is {done.schema} now.")
    elif done.pending:
        write_line("Nothing was changed (--dry-run).")
    else:
        write_line(f"The schema is {done.schema}: nothing to do.")
