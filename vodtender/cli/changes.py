"""Shows what a command has changed, or would change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vodtender.cli.output import plain, write_json, write_line
from vodtender.procedures.change import Change


def write_changes(changes: Sequence[Change], *, dry_run: bool, as_json: bool = False) -> None:
    """One line per thing: what it was and what it is now."""
    if as_json:
        listed = [
            {
                "target": change.target,
                "changed": change.changed,
                "before": change.before,
                "after": change.after,
                "note": change.note,
            }
            for change in changes
        ]
        write_json({"dry_run": dry_run, "changes": listed})
        return
    if not changes:
        write_line("nothing to do")
    for change in changes:
        write_line(f"{change.target}: {_told(change, dry_run=dry_run)}")
    if dry_run and any(change.changed for change in changes):
        write_line("Nothing was changed (--dry-run).")


def _told(change: Change, *, dry_run: bool) -> str:
    if not change.changed:
        return change.note or "nothing to do"
    steps = [
        f"{name} {_shown(change.before.get(name))} -> {_shown(after)}"
        for name, after in change.after.items()
        if after != change.before.get(name)
    ]
    text = ", ".join(steps)
    if change.note:
        text += f" ({change.note})"
    return f"would change: {text}" if dry_run else text


def _shown(value: Any) -> str:
    value = plain(value)
    if value is None or value == "":
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
