"""What every command has at hand."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vodtender.cli.arguments import legible

if TYPE_CHECKING:
    from vodtender.config.settings import Settings
    from vodtender.store.database import Database


@dataclass(slots=True)
class Context:
    """`ctx.obj`: the options that come before the command, and the settings once asked for."""

    config_path: Path | None = None
    debug: bool = False
    _settings: Settings | None = None

    def settings(self) -> Settings:
        """The settings, read when a command first wants them. Raises SettingsError."""
        if self._settings is None:
            from vodtender.config.load import load

            self._settings = load(os.environ, self.config_path)
        return self._settings

    @contextmanager
    def database(self, *, create: bool = False, pooled: bool = False) -> Iterator[Database]:
        """The database of the settings, at the current schema; `pooled` for threads, and with
        `create` an embedded one is made where there is none. Raises DatabaseUnavailable."""
        from vodtender.procedures.opening import open_database

        with open_database(self.settings(), create=create, pooled=pooled) as database:
            yield database


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done and do nothing.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
NothingAsked = Annotated[
    bool,
    typer.Option("--yes", "-y", help="Nothing is asked anyway; for scripts that always say it."),
]
"""So that a script can say it to every command that changes something."""
Reason = Annotated[
    str | None,
    typer.Option(parser=legible, metavar="TEXT", help="Why; kept in the audit."),
]
