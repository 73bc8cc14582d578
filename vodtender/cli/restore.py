"""`vodtender restore`: a backup back into the database, and the drill that proves it works."""

from __future__ import annotations

from datetime import UTC, datetime
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vodtender.cli.confirm import confirm_by_name
from vodtender.cli.context import AsJson, Context, DryRun, Reason, Yes
from vodtender.cli.loss import look_again, loss_document, write_loss
from vodtender.cli.output import duration, moment, note, write_json, write_line
from vodtender.cli.transfer_bar import TransferBar
from vodtender.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from vodtender.procedures.backup_source import Source
    from vodtender.procedures.drill import Drilled
    from vodtender.procedures.replaced import Present
    from vodtender.procedures.restore import Restored

app = typer.Typer(rich_markup_mode=None)


@app.command()
def restore(
    ctx: typer.Context,
    backup: Annotated[
        str | None,
        typer.Argument(
            metavar="BACKUP",
            help="A name as in backup list, latest, a file, or an s3:// address.",
        ),
    ] = None,
    *,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Also where the database is not empty; it is kept aside."),
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until no daemon is alive any more.")
    ] = False,
    test: Annotated[
        bool,
        typer.Option("--test", help="Restore into a scratch database, check it, and drop it."),
    ] = False,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Bring the embedded database to a time such as '2026-11-23 12:00:00' (UTC unless"
            " it says otherwise), to so long ago, such as 2h, or to the latest there is.",
        ),
    ] = None,
    confirm: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The database's name, instead of typing it."),
    ] = None,
    yes: Yes = False,
    reason: Reason = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Restore the database from a backup, or prove with --test that it could be.

    The backup is checked, restored into a database of its own and counted; then the two change
    names at once, so that whatever happens one of them is there, whole. What was there is dumped,
    and kept under another name. Old vod_*.sql.gz dumps are read, too.

    With --at the embedded server's whole cluster is brought to a moment between a base backup and
    now, beside the old one; then the two directories change places. vodtender backup list says
    which moments can be had.

    No daemon may be alive: vodtender drain --all --wait.
    """
    if at is not None and (test or backup is not None):
        raise UsageError("--at takes no backup and goes without --test: it finds its base backup.")
    if test:
        if replace or wait or dry_run or confirm is not None:
            raise UsageError("--test changes nothing and takes none of the other options.")
        _test(ctx.obj, backup or "latest", as_json=as_json)
        return
    if at is not None:
        from vodtender.cli.restore_at import restore_at

        restore_at(
            *(ctx.obj, at),
            wait=wait,
            dry_run=dry_run,
            yes=yes,
            given=confirm,
            reason=reason,
            as_json=as_json,
        )
        return
    if backup is None:
        raise UsageError(
            "Which backup?", hint="vodtender restore latest; or: vodtender backup list"
        )
    from vodtender.procedures import restore as procedure
    from vodtender.procedures.actor import operator

    context: Context = ctx.obj
    with TransferBar(shown=not as_json) as bar:
        asked = procedure.Asked(
            replace=replace,
            wait=wait,
            dry_run=dry_run,
            actor=operator(),
            reason=reason,
            confirm=_asking(bar, yes=yes, given=confirm),
            note=note,
            tell=bar.tell,
        )
        done = procedure.restore(context.settings(), backup, asked)
    if as_json:
        write_json(_document(done))
    else:
        _write(done)


def _asking(bar: TransferBar, *, yes: bool, given: str | None) -> Callable[[Present, Source], None]:
    def ask(present: Present, source: Source) -> None:
        now = datetime.now(UTC)
        made = "of unknown age" if source.made_at is None else f"of {moment(source.made_at, now)}"
        holds = "cannot be read"
        if present.rows is not None:
            holds = f"holds {present.rows.get('vods', 0)} VODs"
        with bar.hidden():
            confirm_by_name(
                f"The database {present.name}, which {holds}, is replaced by {source.where}"
                f" {made}.",
                present.name,
                yes=yes,
                given=given,
            )

    return ask


# --- a restore -----------------------------------------------------------------------------


def _document(done: Restored) -> dict[str, Any]:
    return {
        "dry_run": done.seconds is None,
        "backup": done.source.where,
        "made_at": done.source.made_at,
        "passed_over": done.source.passed_over,
        "database": done.database,
        "rows": done.rows,
        "kept_as": done.aside,
        "safety_backup": done.safety,
        "safety_problem": done.no_safety or None,
        **loss_document(done.loss),
        "rescue": None if done.rescued is None else done.rescued.directory,
        "rescued": [] if done.rescued is None else sorted(done.rescued.saved),
        "not_rescued": [] if done.rescued is None else sorted(done.rescued.lost),
        "missing_roles": done.rights.missing,
        "rights_refused": done.rights.failed,
        "took_seconds": done.seconds,
    }


def _write(done: Restored) -> None:
    now = datetime.now(UTC)
    if done.seconds is None:
        write_line(f"would restore {done.source.where} into the database {done.database}")
        made = done.source.made_at
        when = "a time that is not known" if made is None else moment(made, now)
        held = f"{done.rows.get('vods', 0)} VODs, {sum(done.rows.values())} rows"
        if done.source.manifest is None:
            held = "it has no manifest, so what it holds is not known"
        write_line(f"it shows {when}: {held}")
        write_line("Nothing was changed (--dry-run).")
        return
    rows = sum(done.rows.values())
    compared = "as many as when it was made" if done.source.manifest else "no manifest to compare"
    write_line(
        f"The database {done.database} is {done.source.where}: {done.rows.get('vods', 0)} VODs,"
        f" {rows} rows ({compared}), in {duration(done.seconds)}."
    )
    if done.source.made_at is not None:
        write_line(f"It shows {moment(done.source.made_at, now)}; what came after is missing.")
    write_loss(done.loss)
    _warn_of_rights(done)
    if done.safety is not None:
        write_line(f"Before that it was dumped: vodtender restore {done.safety} --replace")
    if done.rescued is not None:
        where = done.rescued.directory
        write_line(f"What could be read of it is in {where}, a file for each table:")
        write_line(
            f"    zstd -dc {quote(str(where))}/TABLE.dump.zst | {quote(str(done.rescued.reader))}"
            " --data-only -f - | vodtender db shell"
        )
        write_line("    which fails, whole, where the table has one of these rows already")
        for name in done.rescued.lost:
            write_line(f"    not to be had: {name}")
    if done.aside is not None:
        write_line(f"What was there is kept as the database {done.aside}. When it is not needed:")
        write_line(f"    vodtender db shell -c 'DROP DATABASE \"{done.aside}\"'")
    write_line(f"Now start the daemon, and: {look_again(done.source.made_at)}")


def _warn_of_rights(done: Restored) -> None:
    if done.rights.missing:
        roles = ", ".join(done.rights.missing)
        note(f"warning: rights were not given to roles that this server does not have: {roles}")
    for statement in done.rights.failed:
        note(f"warning: a right was not given, which the server refused: {statement}")


# --- a drill -------------------------------------------------------------------------------


def _test(context: Context, backup: str, *, as_json: bool) -> None:
    from vodtender.procedures.drill import drill

    settings = context.settings()
    with context.database() as database, TransferBar(shown=not as_json) as bar:
        done = drill(settings, backup, database=database, tell=bar.tell, note=note)
    if as_json:
        write_json(_drill_document(done))
        return
    rows = sum(done.rows.values())
    write_line(
        f"{done.where} can be restored: {done.rows['vods']} VODs, {rows} rows, in"
        f" {duration(done.seconds)} (RESTORE_RTO {duration(done.rto_seconds)})"
    )
    for check in done.checks:
        write_line(f"    ok: {check}")
    for skipped in done.skipped:
        write_line(f"    not checked: {skipped}")


def _drill_document(done: Drilled) -> dict[str, Any]:
    return {
        "good": True,
        "backup": done.where,
        "rows": done.rows,
        "took_seconds": done.seconds,
        "rto_seconds": done.rto_seconds,
        "checks": done.checks,
        "not_checked": done.skipped,
        "passed_over": done.passed_over,
    }
