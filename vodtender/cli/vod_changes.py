"""Shows what was done to VODs, and what keeps them from going on all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vodtender.cli.changes import write_changes
from vodtender.cli.context import Context
from vodtender.cli.output import note

if TYPE_CHECKING:
    from vodtender.procedures.vod_change import Tally
    from vodtender.store.database import Database


def write_tally(
    context: Context, database: Database, tally: Tally, *, dry_run: bool, as_json: bool
) -> None:
    """After VODs were set going. Raises what `Tally.raise_failures` does."""
    from vodtender.procedures.vods import obstacles

    write_changes(tally.changes, dry_run=dry_run, as_json=as_json)
    if not dry_run and not as_json:
        changed = (change.target for change in tally.changes if change.changed)
        for step in obstacles(database, context.settings(), changed):
            note(f"{step.text}; type: {step.commands[0]}")
    tally.raise_failures()
