"""`vodtender archive`: VOD files on a cheaper disk or in S3."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vodtender.cli.confirm import confirm
from vodtender.cli.context import AsJson, Context, DryRun, Reason, Yes
from vodtender.cli.output import moment, note, size, write_json, write_line, write_table
from vodtender.cli.transfer_bar import TransferBar
from vodtender.cli.vod_arguments import MaybeVodIds, VodId
from vodtender.errors import PartlyDone, VodtenderError

if TYPE_CHECKING:
    from vodtender.model.archive import ArchivedFile
    from vodtender.pipeline.archive_moves import Moved
    from vodtender.procedures.archive import Plan, Run
    from vodtender.procedures.archive_copies import Fetched, Listed

app = typer.Typer(rich_markup_mode=None, invoke_without_command=True)


@app.callback()
def archive(
    ctx: typer.Context,
    *,
    include_waiting: Annotated[
        bool,
        typer.Option(
            "--include-waiting",
            help="Move VODs, too, that are not uploaded yet; their upload fetches them back.",
        ),
    ] = False,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Move at most so many, the oldest first.")
    ] = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    reason: Reason = None,
    as_json: AsJson = False,
) -> None:
    """Move VOD files older than ARCHIVE_AGE_DAYS to ARCHIVE_S3_URL or ARCHIVE_DIR.

    Only what YouTube has processed, unless --include-waiting is given. A file goes only when the
    archive has proven that it holds all of it and the database knows where. What was cut off
    goes on where it was when this is typed again.
    """
    if ctx.invoked_subcommand is not None:
        return
    from vodtender.procedures import archive as procedure
    from vodtender.procedures.actor import operator

    context: Context = ctx.obj
    settings = context.settings()
    with context.database(pooled=True) as database:
        planned = procedure.plan(database, settings, include_waiting=include_waiting, limit=limit)
        if dry_run or not planned.going:
            _write(planned, planned.files, dry_run=dry_run, as_json=as_json)
            return
        if not as_json:
            for line in planned.costs:
                note(f"note: {line}")
        confirm(f"Move {_told(planned.going)} to {planned.target}?", yes=yes)
        with TransferBar(shown=not as_json) as bar:
            done = procedure.run(
                database,
                settings,
                include_waiting=include_waiting,
                limit=limit,
                actor=operator(),
                reason=reason,
                tell=bar.tell,
            )
    _write(planned, done.files, dry_run=False, as_json=as_json)
    _raise_failures(done)


def _told(files: list[Moved]) -> str:
    total = size(sum(file.size_bytes for file in files))
    return f"{len(files)} {'file' if len(files) == 1 else 'files'} ({total})"


def _raise_failures(done: Run) -> None:
    """What concerned all files, if it is all there is to say; else a list."""
    moved = any(file.fate == "moved" for file in done.files)
    if done.failure is not None and not moved:
        raise done.failure
    if done.failed or done.failure is not None:
        lines = [f"VOD {file.vod_id}: {file.why}" for file in done.failed]
        hint = "" if done.failure is None else done.failure.hint
        raise (PartlyDone if moved else VodtenderError)(
            "\n".join(["Not archived, and still here:", *lines]),
            hint=hint or "vodtender archive   goes on where it was",
            code="partly_archived",
        )


_WORDS = {"moved": "moved", "stays": "stays", "failed": "not moved"}


def _write(planned: Plan, files: list[Moved], *, dry_run: bool, as_json: bool) -> None:
    going = [file for file in files if file.fate == "moved"]
    if as_json:
        write_json(
            {
                "dry_run": dry_run,
                "target": planned.target,
                "storage_class": planned.storage_class,
                "costs": planned.costs,
                "moved_bytes": sum(file.size_bytes for file in going),
                "files": files,
            }
        )
        return
    if files:
        write_table(
            ("", "VOD", "SIZE", "FILE", "WHY"),
            [
                (
                    "would go" if dry_run and file.fate == "moved" else _WORDS[file.fate],
                    file.vod_id,
                    size(file.size_bytes),
                    file.path.name,
                    file.place if file.fate == "moved" and file.place else file.why,
                )
                for file in files
            ],
        )
    if not going:
        write_line(f"There is nothing to move to {planned.target}.")
        return
    write_line(f"{_told(going)} {'would go' if dry_run else 'moved'} to {planned.target}.")
    if dry_run:
        for line in planned.costs:
            write_line(f"note: {line}")


@app.command("list")
def list_(ctx: typer.Context, as_json: AsJson = False) -> None:
    """List what lies in the archive and where, what was moved last first.

    This is what the database knows; `vodtender archive verify` asks the archive.
    """
    from vodtender.procedures import archive_copies as procedure

    context: Context = ctx.obj
    with context.database() as database:
        found = procedure.listed(database)
    if as_json:
        write_json({"archived": [_document(one) for one in found]})
        return
    if not found:
        write_line("Nothing was archived yet.")
        return
    now = datetime.now(UTC)
    write_table(
        ("VOD", "STATE", "SIZE", "ARCHIVED", "LOOKED AT", "CLASS", "PLACE"),
        [
            (
                one.copy.vod_id,
                one.state,
                size(one.copy.size_bytes),
                moment(one.copy.archived_at, now),
                moment(one.copy.checked_at, now),
                one.copy.storage_class or "",
                one.copy.place,
            )
            for one in found
        ],
    )


def _document(one: Listed) -> dict[str, Any]:
    return {
        "vod_id": one.copy.vod_id,
        "title": None if one.vod is None else one.vod.title,
        "state": one.state.replace(", ", "_"),
        **_copy_document(one.copy),
    }


def _copy_document(copy: ArchivedFile) -> dict[str, Any]:
    return {
        "place": copy.place,
        "storage_class": copy.storage_class,
        "size_bytes": copy.size_bytes,
        "sha256": copy.sha256,
        "archived_at": copy.archived_at,
        "checked_at": copy.checked_at,
        "problem": copy.problem,
        "asked_at": copy.asked_at,
        "asked_tier": copy.asked_tier,
    }


@app.command()
def fetch(
    ctx: typer.Context,
    vod_id: VodId,
    *,
    tier: Annotated[
        str | None,
        typer.Option(
            metavar="TIER",
            help="How a file in a slow class is asked for: expedited, standard or bulk; else"
            " ARCHIVE_TIER.",
        ),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until the archive has brought it up.")
    ] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Put a VOD's archived file back into DATA_DIR and compare it with what was archived.

    Slow classes must be asked first: then this says when the file can be had, and ends with 3;
    typed again later, or with --wait, it fetches it. The copy in the archive stays.
    """
    from vodtender.procedures import archive_copies as procedure
    from vodtender.procedures.actor import operator

    context: Context = ctx.obj
    wanted = _tier(tier)
    with context.database(pooled=True) as database, TransferBar(shown=not as_json) as bar:
        found = procedure.fetch(
            database,
            context.settings(),
            vod_id,
            tier=wanted,
            wait=wait,
            dry_run=dry_run,
            actor=operator(),
            tell=bar.tell,
        )
    if as_json:
        write_json({"dry_run": dry_run, "vod_id": vod_id, **_fetched(found)})
    elif found.was_here:
        write_line(f"nothing to do: {found.path}")
    elif found.path is not None:
        write_line(f"{found.path}: {size(found.copy.size_bytes)}, as it was archived")
    elif dry_run:
        write_line(f"would fetch {found.copy.place} ({size(found.copy.size_bytes)})")
    if found.thawing is not None:
        by = found.thawing.ready_by
        when = "" if by is None else f" by {moment(by, datetime.now(UTC))} at the latest"
        raise PartlyDone(
            f"{found.copy.place} was asked for ({found.thawing.tier}) and can be read{when}.",
            hint=f"vodtender archive fetch {vod_id}   then, or with --wait",
            code="thawing",
        )


def _tier(tier: str | None) -> str | None:
    from vodtender.errors import UsageError
    from vodtender.model.archive import TIERS

    if tier is None or tier.lower() in TIERS:
        return None if tier is None else tier.lower()
    raise UsageError(f"{tier!r} is no tier", hint=f"give one of: {', '.join(TIERS)}")


def _fetched(found: Fetched) -> dict[str, Any]:
    thawing = found.thawing
    return {
        "path": found.path,
        "was_here": found.was_here,
        "ready_by": None if thawing is None else thawing.ready_by,
        "tier": None if thawing is None else thawing.tier,
        **_copy_document(found.copy),
    }


@app.command()
def verify(
    ctx: typer.Context,
    vod_ids: MaybeVodIds = None,
    *,
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=1, help="At most so many, those looked at longest ago first."),
    ] = None,
    read: Annotated[
        bool,
        typer.Option("--read", help="Read them to their end, too, where their class allows it."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Ask the archive whether it still holds what it was given, size and checksum.

    Files in ARCHIVE_DIR are always read. Ends with 1 if any is lost or damaged; VODs that are not
    uploaded are fetched from Twitch again then, if it still has them.
    """
    from vodtender.procedures import archive_copies as procedure
    from vodtender.procedures.actor import operator

    context: Context = ctx.obj
    with context.database() as database, TransferBar(shown=not as_json) as bar:
        found = procedure.verify(
            database,
            context.settings(),
            vod_ids or [],
            limit=limit,
            read=read,
            actor=operator(),
            tell=bar.tell,
        )
    lost = [copy for copy in found if copy.problem is not None]
    if as_json:
        write_json(
            {
                "looked_at": len(found),
                "lost": len(lost),
                "archived": [{"vod_id": copy.vod_id, **_copy_document(copy)} for copy in found],
            }
        )
    else:
        write_line(f"{len(found) - len(lost)} of {len(found)} archived files are as they were.")
    if lost:
        lines = [f"VOD {copy.vod_id}: {copy.place}: {copy.problem}" for copy in lost]
        raise VodtenderError(
            "\n".join(["Lost or damaged in the archive:", *lines]),
            hint="vodtender archive list   and, for what is still here, vodtender archive",
            code="archive_lost",
        )
