"""`vodtender status`: what is going on, on one screen."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vodtender.cli.context import AsJson, Context
from vodtender.cli.output import colours, terminal_columns, write_json, write_json_line
from vodtender.errors import DatabaseUnavailable, Exit

if TYPE_CHECKING:
    from vodtender.store.database import Database

app = typer.Typer(rich_markup_mode=None)

_REDRAW_SECONDS = 2.0
_USUAL_ROWS = 24
_HOME, _TO_LINE_END, _TO_SCREEN_END = "\x1b[H", "\x1b[K", "\x1b[J"


@app.command()
def status(
    ctx: typer.Context,
    as_json: AsJson = False,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Show it anew every two seconds until Ctrl-C.")
    ] = False,
) -> int:
    """Show on one screen what is going on and what to do next.

    The queue, what moves, what is about to vanish from Twitch, breakers, limits, accounts,
    disk, workers and the last errors. Ends with 0 if it could be read, 5 if the database is
    away. --watch --json prints one line of JSON each time.
    """
    from vodtender.procedures.status import document

    context: Context = ctx.obj
    with context.database() as database:
        if watch:
            return _watch(context, database, as_json=as_json)
        found = document(database, context.settings())
    if as_json:
        write_json(found)
    else:
        _draw(found)
    return Exit.DONE


def _watch(context: Context, database: Database, *, as_json: bool) -> int:
    from vodtender.procedures.status import document, unavailable

    try:
        while True:
            try:
                found = document(database, context.settings())
            except DatabaseUnavailable as error:
                found = unavailable(error, context.settings())
            if as_json:
                write_json_line({"type": "status", **found})
            else:
                _redraw(found)
            sys.stdout.flush()
            time.sleep(_REDRAW_SECONDS)
    except KeyboardInterrupt:
        return Exit.DONE


def _draw(found: dict[str, Any]) -> None:
    from vodtender.cli.status_screen import screen

    sys.stdout.write(screen(found, columns=terminal_columns(), colours=colours()))


def _redraw(found: dict[str, Any]) -> None:
    """On a terminal in place of the last picture, without a flicker; else below it."""
    from vodtender.cli.status_screen import screen

    columns = terminal_columns()
    if columns is None:
        sys.stdout.write(f"{found['at']}\n{screen(found, columns=None, colours=False)}\n")
        return
    rows = os.get_terminal_size(sys.stdout.fileno()).lines or _USUAL_ROWS
    # One for the time, one for the cursor.
    shown = screen(found, columns=columns, colours=colours(), rows=max(1, rows - 2))
    lines = [line + _TO_LINE_END for line in (found["at"], *shown.splitlines())]
    sys.stdout.write(_HOME + "\n".join(lines) + "\n" + _TO_SCREEN_END)
