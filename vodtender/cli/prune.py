"""`vodtender prune`."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vodtender.cli.arguments import length
from vodtender.cli.confirm import confirm
from vodtender.cli.context import AsJson, Context, DryRun, Reason, Yes
from vodtender.cli.output import note, size, write_json, write_line, write_table
from vodtender.errors import PartlyDone

if TYPE_CHECKING:
    from vodtender.pipeline.prune import Pruned
    from vodtender.procedures.prune import Pruning

app = typer.Typer(rich_markup_mode=None)


@app.command()
def prune(
    ctx: typer.Context,
    *,
    older_than: Annotated[
        timedelta | None,
        typer.Option(
            parser=length,
            metavar="DURATION",
            help="Remove what has been on this disk for longer, such as 30d, whatever the"
            " settings want kept.",
        ),
    ] = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    reason: Reason = None,
    as_json: AsJson = False,
) -> None:
    """Remove local files that YouTube has processed, and say why the others stay.

    Without --older-than the settings decide, as they do for the daemon. Only files that
    vodtender made in this DATA_DIR are removed, and never the only copy.
    """
    from vodtender.procedures import prune as procedure
    from vodtender.procedures.actor import operator

    context: Context = ctx.obj
    settings = context.settings()
    if older_than is None and settings.retention_dry_run and not dry_run:
        dry_run = True
        if not as_json:
            note("RETENTION_DRY_RUN is on, so nothing is removed; --older-than does not heed it")
    with context.database() as database:
        done = procedure.plan(database, settings, older_than=older_than)
        if not dry_run:
            if _going(done):
                if not (as_json or yes):
                    _write(done, dry_run=True)
                confirm(f"Remove {_told(done)} from {done.directory}?", yes=yes)
            done = procedure.prune(
                database, settings, older_than=older_than, actor=operator(), reason=reason
            )
    if as_json:
        write_json(_as_json(done, dry_run=dry_run))
    else:
        _write(done, dry_run=dry_run)
    failed = [file for file in done.files if file.fate == "failed"]
    if failed:
        raise PartlyDone(
            "\n".join(["Not removed:", *(f"{file.path}: {file.why}" for file in failed)]),
            hint="see who owns them and whether the disk is mounted read-only",
        )


_WORDS = {"removed": "removed", "stays": "stays", "failed": "not removed", "gone": "gone"}


def _going(done: Pruning) -> list[Pruned]:
    return [file for file in done.files if file.fate == "removed"]


def _told(done: Pruning) -> str:
    going = _going(done)
    total = size(sum(file.size_bytes for file in going))
    return f"{len(going)} {'file' if len(going) == 1 else 'files'} ({total})"


def _write(done: Pruning, *, dry_run: bool) -> None:
    rows = [
        (
            "would go" if dry_run and file.fate == "removed" else _WORDS[file.fate],
            file.vod_id,
            size(file.size_bytes),
            file.path.name,
            file.why,
        )
        for file in done.files
    ]
    rows += [("stays", "", "", path.name, "it is no VOD's file") for path in done.others]
    if rows:
        write_table(("", "VOD", "SIZE", "FILE", "WHY"), rows)
    if not _going(done):
        write_line(f"There is nothing to remove from {done.directory}.")
    else:
        write_line(f"{_told(done)} {'would go' if dry_run else 'removed'}.")


def _as_json(done: Pruning, *, dry_run: bool) -> dict[str, Any]:
    return {
        "dry_run": dry_run,
        "directory": done.directory,
        "removed_bytes": sum(file.size_bytes for file in _going(done)),
        "files": done.files,
        "others": done.others,
    }
