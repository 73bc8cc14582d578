"""`vodtender audit`."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vodtender.cli.arguments import moment
from vodtender.cli.context import AsJson, Context
from vodtender.cli.output import moment as shown_moment
from vodtender.cli.output import write_json, write_line, write_table

if TYPE_CHECKING:
    from vodtender.store.audit import AuditLine

app = typer.Typer(rich_markup_mode=None)


@app.command()
def audit(
    ctx: typer.Context,
    *,
    target: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Only changes of this VOD, channel, daemon …"),
    ] = None,
    action: Annotated[
        str | None, typer.Option(metavar="COMMAND", help="Only changes by this command.")
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(
            parser=moment, metavar="WHEN", help="Only later ones: a time, or how long ago (24h)."
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Show who changed what, when and why; the last change first."""
    from vodtender.store import audit as store

    context: Context = ctx.obj
    with context.database() as database, database.transaction() as connection:
        lines = store.find(connection, target=target, action=action, after=since, limit=limit)
    if as_json:
        write_json({"audit": lines})
        return
    if not lines:
        write_line("No change is recorded." if _all(target, action, since) else "None fits.")
        return
    columns = ("WHEN", "WHO", "ACTION", "TARGET", "CHANGE", "WHY")
    write_table(columns, [_row(line) for line in lines])


def _all(*conditions: object) -> bool:
    return all(condition is None for condition in conditions)


def _row(line: AuditLine) -> tuple[str, ...]:
    change = _change(line.before, line.after)
    target = line.target or "(no channel)"
    when = shown_moment(line.at)
    return when, line.actor, line.action, target, change, line.reason or ""


def _change(before: Any, after: Any) -> str:
    """Only what is different, where both are of the same kind."""
    if isinstance(before, dict) and isinstance(after, dict):
        return ", ".join(
            f"{name} {_word(before.get(name))} -> {_word(value)}"
            for name, value in after.items()
            if value != before.get(name)
        )
    if before is None and after is None:
        return ""
    return f"{_word(before)} -> {_word(after)}"


def _word(value: Any) -> str:
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
