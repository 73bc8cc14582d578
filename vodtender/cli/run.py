"""`vodtender run`: the daemon, with live progress when a person watches."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from vodtender import log
from vodtender.cli.context import Context
from vodtender.errors import Exit

if TYPE_CHECKING:
    from vodtender.config.settings import Settings
    from vodtender.daemon.service import RunMode
    from vodtender.pipeline.workplace import Workplace

app = typer.Typer(rich_markup_mode=None)


@app.command()
def run(
    ctx: typer.Context,
    drain: Annotated[
        bool,
        typer.Option(
            "--drain",
            help="End when nothing more can be done. Short pauses are waited out, cooldowns and"
            " daily limits are not.",
        ),
    ] = False,
    once: Annotated[
        bool, typer.Option("--once", help="End after one pass; nothing is waited for.")
    ] = False,
) -> int:
    """Keep the archive alive: find, download and upload VODs.

    Runs until it is told to stop. Ctrl-C or SIGTERM brings the work in hand to a safe point
    first; a second one ends at once, and the next start goes on from there.
    """
    from vodtender.daemon.service import RunMode

    context: Context = ctx.obj
    settings = context.settings()
    mode = RunMode(until_done=drain, once=once)
    level = "debug" if context.debug else settings.log_level
    if _somebody_watches():
        return _run_watched(settings, mode, level)
    log.configure(level, settings.log_format)
    return _run(settings, mode)


def _somebody_watches() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def _run_watched(settings: Settings, mode: RunMode, level: str) -> Exit:
    from vodtender.cli.progress import LiveProgress

    with LiveProgress() as progress:
        log.configure(level, settings.log_format, progress.log_stream)
        return _run(settings, mode, progress.begin)


def _run(
    settings: Settings, mode: RunMode, on_ready: Callable[[Workplace, str], None] | None = None
) -> Exit:
    from vodtender.daemon import service

    speaker = log.get("config")
    for warning in settings.warnings:
        speaker.warning(warning)
    return service.run(settings, mode, on_ready)
