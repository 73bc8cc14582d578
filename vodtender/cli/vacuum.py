"""`vodtender vacuum`: dead rows cleared out, statistics and indexes renewed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from vodtender.cli.confirm import confirm
from vodtender.cli.context import AsJson, Context, DryRun, Reason, Yes
from vodtender.cli.db_output import write_holders
from vodtender.cli.output import duration, size, write_json, write_line, write_table
from vodtender.cli.progress_line import ProgressLine
from vodtender.errors import PartlyDone, UsageError

if TYPE_CHECKING:
    from vodtender.procedures.direct import Direct
    from vodtender.procedures.upkeep import Done, Outcome, Plan, Step

app = typer.Typer(rich_markup_mode=None)


@app.command()
def vacuum(
    ctx: typer.Context,
    *,
    table: Annotated[
        list[str] | None,
        typer.Option(
            "--table", metavar="NAME", help="Only this table; can be given several times."
        ),
    ] = None,
    full: Annotated[
        bool,
        typer.Option(
            "--full",
            help="Write each table anew and give the room back to the disk. Nobody can use a"
            " table meanwhile, and the disk must hold a second copy of it.",
        ),
    ] = False,
    reindex: Annotated[
        bool,
        typer.Option(
            "--reindex",
            help="Build the indexes anew instead, while everybody goes on; removes what broken"
            " reindexing has left (_ccnew, _ccold).",
        ),
    ] = False,
    yes: Yes = False,
    reason: Reason = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Clear dead rows out of the tables and renew the statistics (VACUUM ANALYZE).

    Daemons go on meanwhile. PostgreSQL does this by itself, too; it is worth doing after many
    rows were deleted, after a restore, or where `vodtender db sizes` shows many dead ones.
    """
    from vodtender.procedures.actor import operator
    from vodtender.procedures.direct import open_direct
    from vodtender.procedures.upkeep import plan

    if full and reindex:
        raise UsageError("--full and --reindex are two different things.", hint="give one of them")
    context: Context = ctx.obj
    with open_direct(context.settings()) as direct:
        planned = plan(direct, table or [])
        if dry_run:
            _write_plan(planned, as_json=as_json)
            return
        if full:
            confirm(_question(planned), yes=yes)
        write_holders(planned.holders)
        outcome = _do(direct, planned, operator(), reason, full=full, reindex=reindex)
    _write(outcome, as_json=as_json)


def _do(
    direct: Direct, planned: Plan, actor: str, reason: str | None, *, full: bool, reindex: bool
) -> Outcome:
    from vodtender.procedures import reindex as reindexing
    from vodtender.procedures import vacuum as vacuuming

    with ProgressLine() as line:

        def tell(step: Step) -> None:
            line.show(_told(step))

        if reindex:
            return reindexing.reindex(direct, planned, actor=actor, reason=reason, tell=tell)
        return vacuuming.vacuum(direct, planned, full=full, actor=actor, reason=reason, tell=tell)


def _told(step: Step) -> str:
    text = f"{step.number} of {step.of}: {step.what}"
    progress = step.progress
    if progress is None:
        return text
    if not progress.total:
        return f"{text}, {progress.phase}"
    return f"{text}, {progress.phase} {100 * progress.done // progress.total} %"


def _question(planned: Plan) -> str:
    whole = sum(table.total_bytes for table in planned.tables)
    free = planned.room_free_bytes
    room = (
        f"has {size(free)} free" if free is not None else "must have it, which cannot be seen here"
    )
    return (
        f"Write {len(planned.tables)} tables of {size(whole)} anew? Each is locked while that"
        " lasts: daemons and readers wait, so pause or drain them before. It takes up to"
        f" {size(planned.room_needed_bytes)} on the database's disk, which {room}."
    )


def _write_plan(planned: Plan, *, as_json: bool) -> None:
    if as_json:
        write_json({"dry_run": True, "tables": planned.tables})
        return
    columns = ("TABLE", "DEAD ROWS", "SIZE")
    rows = [(table.name, str(table.dead_rows), size(table.total_bytes)) for table in planned.tables]
    write_table(columns, rows)
    write_holders(planned.holders)
    write_line("Nothing was changed (--dry-run).")


def _write(outcome: Outcome, *, as_json: bool) -> None:
    if as_json:
        write_json(_document(outcome))
    else:
        _write_done(outcome)
        for name in outcome.removed:
            write_line(f"removed {name}, which broken reindexing had left")
        if any(one.dead_rows_after for one in outcome.done):
            write_holders(outcome.holders)
    problems = outcome.problems
    if problems:
        listed = "\n".join(f"{one.name}: {one.problem}" for one in problems)
        raise PartlyDone(
            f"{len(problems)} could not be done:\n{listed}",
            hint="who is in the way: vodtender db connections; then run it again",
        )


def _write_done(outcome: Outcome) -> None:
    columns = ("DONE", "SIZE BEFORE", "AFTER", "DEAD BEFORE", "AFTER", "TIME")
    rows = [
        (
            one.name,
            size(one.bytes_before),
            size(one.bytes_after),
            _count(one.dead_rows_before),
            _count(one.dead_rows_after),
            duration(one.seconds),
        )
        for one in outcome.done
        if one.problem is None
    ]
    if rows:
        write_table(columns, rows)
    else:
        write_line("nothing to do")


def _document(outcome: Outcome) -> dict[str, Any]:
    return {
        "dry_run": False,
        "done": [_one(one) for one in outcome.done],
        "removed": outcome.removed,
        "holding_back_vacuum": outcome.holders,
    }


def _one(one: Done) -> dict[str, Any]:
    return {
        "name": one.name,
        "before_bytes": one.bytes_before,
        "after_bytes": one.bytes_after,
        "dead_rows_before": one.dead_rows_before,
        "dead_rows_after": one.dead_rows_after,
        "took_seconds": round(one.seconds, 3),
        "problem": one.problem,
    }


def _count(rows: int | None) -> str:
    return "" if rows is None else str(rows)
