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
