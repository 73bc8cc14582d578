"""`vodtender db`: the database server, looked at and put right."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from vodtender.cli.arguments import length
from vodtender.cli.changes import write_changes
from vodtender.cli.confirm import confirm
from vodtender.cli.context import AsJson, Context, DryRun, Reason, Yes
from vodtender.cli.output import note, write_json, write_line
from vodtender.cli.progress_line import ProgressLine
from vodtender.errors import Exit, PartlyDone

if TYPE_CHECKING:
    from vodtender.procedures.restart import Before

app = typer.Typer(
    help="Look at the database server, and put it right.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("sizes")
def show_sizes(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Show how much room each table takes, with its indexes and its long values (TOAST)."""
    from vodtender.cli.db_output import write_sizes
    from vodtender.procedures.direct import open_direct
    from vodtender.procedures.sizes import measure

    context: Context = ctx.obj
    with open_direct(context.settings()) as direct:
        found = measure(direct)
    if as_json:
        write_json(found)
    else:
        write_sizes(found)


@app.command("connections")
def show_connections(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Show who is connected, by state and program, and whether there is room for more.

    Where the server takes no more connections, the role of DB_ADMIN_DSN is used, for which some
    are reserved.
    """
    from vodtender.cli.db_output import connections_document, write_connections
    from vodtender.procedures.direct import open_direct
    from vodtender.procedures.sessions import connections

    context: Context = ctx.obj
    settings = context.settings()
    with open_direct(settings, migrate=False, emergency=True) as direct:
        found = connections(direct, settings)
        _say_instead_of(direct.instead_of)
    if as_json:
        write_json(connections_document(found))
    else:
        write_connections(found, embedded=settings.dsn is None)


@app.command("kill-idle")
def kill_idle(
    ctx: typer.Context,
    *,
    older_than: Annotated[
        timedelta,
        typer.Option(parser=length, metavar="DURATION", help="Idle for at least so long."),
    ] = timedelta(minutes=5),
    in_transaction: Annotated[
        bool,
        typer.Option("--in-transaction", help="Also those that sit in an open transaction."),
    ] = False,
    yes: Yes = False,
    reason: Reason = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """End connections to this database that do nothing.

    Never this command's own, never one that works, never replication. A daemon that loses one
    opens another when it needs it.
    """
    from vodtender.cli.db_output import write_idle
    from vodtender.procedures import sessions as procedure
    from vodtender.procedures.actor import operator
    from vodtender.procedures.direct import open_direct

    context: Context = ctx.obj
    with open_direct(context.settings(), emergency=True) as direct:
        _say_instead_of(direct.instead_of)
        chosen = procedure.idle(direct, older_than, in_transaction=in_transaction)
        if chosen and not dry_run:
            if not as_json:
                write_idle(chosen)
            confirm(f"End {_number(len(chosen), 'connection')}?", yes=yes)
        changes = procedure.kill_idle(
            direct,
            chosen,
            older_than,
            in_transaction=in_transaction,
            actor=operator(),
            reason=reason,
            dry_run=dry_run,
        )
    write_changes(changes, dry_run=dry_run, as_json=as_json)
    stuck = sum(change.note == procedure.STUCK for change in changes)
    if stuck:
        raise PartlyDone(
            f"{_number(stuck, 'connection')} could not be ended: {procedure.STUCK}.",
            hint="as a superuser, SELECT pg_terminate_backend(PID); or vodtender db restart",
        )


@app.command()
def check(ctx: typer.Context, as_json: AsJson = False) -> int:
    """Look for damage: ids that are missing or there twice, references that lead nowhere,
    constraints and indexes that do not hold, pages that are broken inside.

    Reads every row, and changes nothing. Exits with 1 if anything is wrong.
    """
    from vodtender.cli.db_output import check_document, write_check
    from vodtender.procedures import integrity
    from vodtender.procedures.direct import open_direct

    context: Context = ctx.obj
    with open_direct(context.settings()) as direct, ProgressLine() as line:
        results = integrity.check(direct, lambda promise: line.show(f"checking: {promise}"))
    if as_json:
        write_json(check_document(results))
    else:
        write_check(results)
    return Exit.DONE if all(result.is_good for result in results) else Exit.FAILED


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def shell(
    ctx: typer.Context,
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="[PSQL-OPTION]…", help="For psql, such as -c SQL.")
    ] = None,
) -> int:
    """Open psql on the database; exits as psql does."""
    from vodtender.procedures.shell import open_shell

    context: Context = ctx.obj
    return open_shell(context.settings(), arguments or [])


@app.command()
def restart(
    ctx: typer.Context,
    *,
    yes: Yes = False,
    reason: Reason = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Restart the embedded server, also one that hangs; of any other, print the command.

    Daemons need not be stopped: they lose their connections and go on with the new server.
    """
    from vodtender.procedures import restart as procedure
    from vodtender.procedures.actor import operator

    context: Context = ctx.obj
    settings = context.settings()
    if settings.dsn is not None:
        _print_commands(as_json=as_json)
        return
    before = procedure.look(settings)
    if not dry_run:
        confirm(_question(before), yes=yes)
    change = procedure.restart(settings, before, actor=operator(), reason=reason, dry_run=dry_run)
    write_changes([change], dry_run=dry_run, as_json=as_json)


def _question(before: Before) -> str:
    what = "Restart the embedded database?"
    if before.daemons:
        what += f" {_number(before.daemons, 'daemon')} will lose its connections for a moment."
    if before.dumps:
        what += " A dump is running and will be broken off."
    return what


def _print_commands(*, as_json: bool) -> None:
    from vodtender.procedures.restart import COMMANDS

    note("DB_DSN names a server that is not vodtender's to restart; nothing was done. As it runs:")
    if as_json:
        listed = [{"where": where, "command": command} for where, command in COMMANDS]
        write_json({"restarted": False, "commands": listed})
        return
    for where, command in COMMANDS:
        write_line(f"{command}  # {where}")


def _say_instead_of(refused: str) -> None:
    if refused:
        note(f"connected as the administrator, since otherwise: {refused}")


def _number(count: int, what: str) -> str:
    return f"{count} {what}" + ("" if count == 1 else "s")
