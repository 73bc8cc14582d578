"""`vodtender config`: what is set, where it comes from, and whether it makes sense."""

from __future__ import annotations

import os
from collections import Counter
from typing import Annotated

import typer

from vodtender.cli.context import Context
from vodtender.cli.output import write_json, write_table
from vodtender.config.settings import Settings
from vodtender.log import printable

app = typer.Typer(
    help="Check, show and explain the settings.", no_args_is_help=True, rich_markup_mode=None
)

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


@app.command()
def check(ctx: typer.Context, as_json: Json = False) -> None:
    """Say whether the settings can be used, and everything that is wrong with them.

    Nothing is started and nothing outside is asked. Exits with 2 if they cannot be used.
    """
    context: Context = ctx.obj
    settings = context.settings()
    sources = Counter(_source(origin) for origin in settings.origins.values())
    if as_json:
        write_json(
            {"ok": True, "file": _file(context), "warnings": list(settings.warnings)}
            | {"from": dict(sources)}
        )
        return
    counted = ", ".join(f"{count} from {source}" for source, count in sorted(sources.items()))
    typer.echo(f"The settings can be used: {printable(counted)}.")
    _warn(settings)


@app.command()
def show(ctx: typer.Context, as_json: Json = False) -> None:
    """Show every setting, its value and where that came from. Secrets are masked."""
    from vodtender.config.showing import shown

    context: Context = ctx.obj
    settings = context.settings()
    every = shown(settings)
    if as_json:
        listed = [{"name": one.name, "value": one.value, "from": one.origin} for one in every]
        write_json(
            {"settings": listed, "file": _file(context), "warnings": list(settings.warnings)}
        )
        return
    rows = [(one.name, printable(one.value or ""), printable(one.origin)) for one in every]
    write_table(("NAME", "VALUE", "FROM"), rows)
    _warn(settings)


@app.command()
def example() -> None:
    """Print a vodtender.yaml with every setting, its default and its meaning.

    vodtender config example > vodtender.yaml
    """
    from vodtender.config.example import example as text

    typer.echo(text(), nl=False)


def _file(context: Context) -> str | None:
    from vodtender.config.load import config_file

    path = config_file(os.environ, context.config_path)
    return None if path is None else str(path)


def _source(origin: str) -> str:
    """`FILE:7` and `FILE:7 (NAME_FILE)` count as FILE."""
    place = origin.partition(" (")[0]
    file, colon, line = place.rpartition(":")
    return file if colon and line.isdigit() else place


def _warn(settings: Settings) -> None:
    for warning in settings.warnings:
        typer.echo(f"warning: {printable(warning)}", err=True)
