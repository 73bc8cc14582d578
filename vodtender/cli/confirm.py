"""Asking before something is destroyed."""

from __future__ import annotations

import sys

import typer

from vodtender.cli.output import note
from vodtender.errors import Refused


def confirm(question: str, *, yes: bool) -> None:
    """Goes on only with a yes: `--yes`, or an answer typed on a terminal.

    Raises:
        Refused: no, or nobody there to ask.
    """
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise Refused(
            f"{question} Nobody is there to ask, so nothing was done.",
            hint="add --yes to do it, or --dry-run to see what it would do",
            code="not_confirmed",
        )
    if not typer.confirm(question, err=True):
        note("nothing was done")
        raise Refused("Not confirmed; nothing was changed.", code="not_confirmed")


def confirm_by_name(what: str, name: str, *, yes: bool, given: str | None) -> None:
    """The same for the severest: on a terminal the name must be typed, whatever `--yes` says;
    `given` is it, for scripts, for which `--yes` is enough, too.

    Raises:
        Refused: another name, or nobody there to ask.
    """
    on_terminal = sys.stdin.isatty() and sys.stderr.isatty()
    if given is None and yes and not on_terminal:
        return
    if given is None:
        if not on_terminal:
            raise Refused(
                f"{what} Nobody is there to ask, so nothing was done.",
                hint=f"add --yes or --confirm {name} to do it, or --dry-run to see what it would"
                " do",
                code="not_confirmed",
            )
        note(what)
        given = typer.prompt(f"Type {name} to go on", default="", show_default=False, err=True)
    if given != name:
        raise Refused(
            f"The database's name is {name}, not {given!r}; nothing was changed.",
            code="not_confirmed",
        )
