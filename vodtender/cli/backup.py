"""`vodtender backup`: dumps of the database, here and in S3."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vodtender.cli.changes import write_changes
from vodtender.cli.confirm import confirm
from vodtender.cli.context import AsJson, Context, DryRun, NothingAsked, Reason, Yes
from vodtender.cli.output import duration, moment, note, size, write_json, write_line, write_table
from vodtender.cli.transfer_bar import TransferBar
from vodtender.errors import PartlyDone

if TYPE_CHECKING:
    from vodtender.model.base_backup import Base
    from vodtender.pipeline.backup_shelf import Entry
    from vodtender.procedures.backup import Made
    from vodtender.procedures.backup_list import Listed, Moments
    from vodtender.procedures.backup_prune import Fallen

app = typer.Typer(rich_markup_mode=None, invoke_without_command=True)

Name = Annotated[str, typer.Argument(help="A backup's name as in the list, or latest.")]


@app.callback()
def backup(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Dump the database, prove the dump, copy it to S3, and only then remove old ones.

    The dump is a pg_dump of one moment, taken while everything goes on; it is read back to its
    end before it counts. It goes to BACKUP_DIR and, when BACKUP_S3_URL is set, there, too.
    """
    if ctx.invoked_subcommand is not None:
        return
    from vodtender.procedures.actor import operator
    from vodtender.procedures.backup import back_up

    context: Context = ctx.obj
    settings = context.settings()
    with context.database() as database, TransferBar(shown=not as_json) as bar:
        made = back_up(database, settings, actor=operator(), tell=bar.tell)
    if as_json:
        write_json(_made(made))
    else:
        _write_made(made)
    _warn_of_vacuum(made)
    for one in made.poorer:
        note(f"warning: {one}; if the database was lost: vodtender restore NAME --replace")
    if made.manifest.lost:
        raise PartlyDone(
            "The backup is good, but the database has lost rows, which its indexes still know:"
            f" {made.manifest.lack}. No older backup was removed: one of them may have them.",
            hint="vodtender db check; go back to one from before: vodtender backup list",
        )
    if made.not_removed:
        raise PartlyDone(
            "\n".join(["The backup is good. Old ones were not removed:", *made.not_removed]),
            hint="vodtender backup prune --dry-run",
        )


def _made(made: Made) -> dict[str, Any]:
    return {
        "name": made.manifest.name,
        "path": made.path,
        "made_at": made.manifest.made_at,
        "size_bytes": made.manifest.size_bytes,
        "sha256": made.manifest.sha256,
        "rows": dict(made.manifest.rows),
        "lost_rows": dict(made.manifest.lost),
        "took_seconds": made.manifest.seconds,
        "s3_url": made.s3_url,
        "removed": made.removed,
        "not_removed": made.not_removed,
        "warnings": made.poorer,
        "held_back_vacuum_long": made.held_back_long,
        "other_dumps": made.dumps,
    }


def _write_made(made: Made) -> None:
    manifest = made.manifest
    rows = sum(manifest.rows.values())
    write_line(f"{made.path}: {size(manifest.size_bytes)}, {rows} rows, read back and good")
    write_line(f"copy: {made.s3_url or 'none, BACKUP_S3_URL is not set'}")
    for one in made.removed:
        write_line(f"{_FATES[one.fate]}: {one.name} ({one.place}), {one.why}")


def _warn_of_vacuum(made: Made) -> None:
    """A dump keeps every row that was there when it began; dumps that pile up do so for long."""
    from vodtender.cli.db_output import write_holders

    write_holders(made.dumps)
    if made.held_back_long:
        took = duration(made.manifest.seconds)
        note(f"warning: for {took} this dump held back vacuum; now: vodtender vacuum")


_FATES = {"goes": "removed", "archived": "archived", "stays": "stays"}


@app.command()
def base(
    ctx: typer.Context,
    *,
    reason: Reason = None,
    _yes: NothingAsked = False,
    as_json: AsJson = False,
) -> None:
    """Copy the embedded server's whole cluster, so that any moment after it can be restored.

    For that its log is archived in BACKUP_DIR from then on (BACKUP_WAL). The copy is verified;
    only then do older ones beyond BACKUP_BASE_KEEP go, with the log that only they needed. The
    daemon makes one when the last is older than BACKUP_BASE_INTERVAL.
    """
    from vodtender.procedures import base_backup
    from vodtender.procedures.actor import operator

    context: Context = ctx.obj
    with TransferBar(shown=not as_json) as bar:
        made = base_backup.make_base(
            context.settings(), actor=operator(), reason=reason, note=note, tell=bar.tell
        )
    if as_json:
        write_json(
            {
                "name": made.base.name,
                "path": made.path,
                "made_at": made.base.made_at,
                "size_bytes": made.base.size_bytes,
                "took_seconds": made.base.seconds,
                "removed": made.removed,
                "removed_wal_bytes": made.wal_bytes,
            }
        )
        return
    write_line(f"{made.path}: {size(made.base.size_bytes)}, verified and good")
    write_line("from now on any moment can be had: vodtender restore --at TIME")
    for name in made.removed:
        write_line(f"removed: {name}")
    if made.wal_files:
        write_line(f"removed: {size(made.wal_bytes)} of the log, which nothing needs any more")


@app.command("list")
def list_(ctx: typer.Context, as_json: AsJson = False) -> None:
    """List backups, those here and those in S3 side by side, the newest first."""
    from vodtender.pipeline.backup_shelf import missing
    from vodtender.procedures.backup_list import listed, recoverable

    context: Context = ctx.obj
    settings = context.settings()
    now = datetime.now(UTC)
    found = listed(settings)
    moments = recoverable(settings)
    if as_json:
        write_json(
            {
                "directory": settings.backup_directory.absolute(),
                "s3_url": None if settings.backup_s3_url is None else str(settings.backup_s3_url),
                "backups": [_listed(one, now) for one in found],
                "bases": [_based(one, now) for one in moments.bases],
                "recoverable": [
                    {"from": since, "until": until} for since, until in moments.stretches
                ],
                "recoverable_gaps": moments.gaps,
                "recoverable_problem": moments.broken or None,
                "wal_bytes": moments.wal_bytes,
            }
        )
        return
    if gone := missing(settings.backup_directory.absolute()):
        note(gone)
    if found:
        write_table(
            ("NAME", "MADE", "SIZE", "ROWS", "HERE", "S3", "NOTE"),
            [_row(one, now) for one in found],
        )
    else:
        what = "dump" if moments.bases else "backup"
        write_line(f"There is no {what} in {settings.backup_directory.absolute()} yet.")
    _write_moments(moments, now)


def _based(one: Base, now: datetime) -> dict[str, Any]:
    return {
        "name": one.name,
        "made_at": one.made_at,
        "age_seconds": round((now - one.made_at).total_seconds()),
        "size_bytes": one.size_bytes,
        "server_version": one.server_version,
    }


def _write_moments(moments: Moments, now: datetime) -> None:
    if not moments.bases:
        return
    write_line("")
    rows = [(one.name, moment(one.made_at, now), size(one.size_bytes)) for one in moments.bases]
    write_table(("BASE BACKUP", "MADE", "SIZE"), rows)
    write_line(
        f"Any moment can be had, {moments.told}: vodtender restore --at TIME"
        f" ({size(moments.wal_bytes)} of log)"
    )
    for gap in moments.gaps:
        write_line(f"Not in between: {gap}")
    if moments.broken:
        note(f"warning: {moments.broken}; for what comes: vodtender backup base")


def _listed(one: Listed, now: datetime) -> dict[str, Any]:
    manifest = one.manifest
    return {
        "name": one.name,
        "made_at": one.made_at,
        "age_seconds": None if one.made_at is None else round((now - one.made_at).total_seconds()),
        "size_bytes": _size(one),
        "sha256": None if manifest is None else manifest.sha256,
        "rows": {} if manifest is None else dict(manifest.rows),
        "lost_rows": {} if manifest is None else dict(manifest.lost),
        "schema_version": None if manifest is None else manifest.schema_version,
        "server_version": None if manifest is None else manifest.server_version,
        "kept": manifest is not None and manifest.kept,
        "before_restore": manifest is not None and manifest.before_restore,
        "local": _state(one.local),
        "local_problem": None if one.local is None else one.local.problem,
        "s3": _state(one.s3),
        "s3_problem": None if one.s3 is None else one.s3.problem,
        "s3_storage_class": None if one.s3 is None else one.s3.storage_class,
    }


def _size(one: Listed) -> int:
    entry = one.local or one.s3
    assert entry is not None
    return entry.size_bytes


def _state(entry: Entry | None) -> str:
    from vodtender.procedures.backup_list import state

    return "absent" if entry is None else state(entry)


def _row(one: Listed, now: datetime) -> tuple[str, ...]:
    manifest = one.manifest
    s3 = _state(one.s3)
    if one.s3 is not None and s3 == "good":
        s3 = f"good, {one.s3.storage_class}"
    return (
        one.name,
        "?" if one.made_at is None else moment(one.made_at, now),
        size(_size(one)),
        "?" if manifest is None else str(sum(manifest.rows.values())),
        _state(one.local),
        s3,
        _note(one),
    )


def _note(one: Listed) -> str:
    manifest = one.manifest
    notes = []
    if manifest is not None:
        notes += ["kept"] if manifest.kept else []
        notes += ["what a restore replaced, never latest"] if manifest.before_restore else []
        notes += [f"lacks {manifest.lack}"] if manifest.lost else []
    problems = [entry.problem for entry in (one.local, one.s3) if entry and entry.problem]
    return "; ".join([*notes, *dict.fromkeys(problems)])


@app.command()
def verify(
    ctx: typer.Context,
    name: Name = "latest",
    *,
    from_s3: Annotated[
        bool, typer.Option("--s3", help="Fetch and read the copy in S3, not the local file.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Read a backup to its end and compare its digest with the one it was made with.

    Only a restore proves more: vodtender restore --test.
    """
    from vodtender.procedures import backup_verify

    context: Context = ctx.obj
    with TransferBar(shown=not as_json) as bar:
        found = backup_verify.verify(context.settings(), name, from_s3=from_s3, tell=bar.tell)
    for one in found.passed_over:
        note(f"warning: {one}")
    if as_json:
        write_json(
            {
                "name": found.manifest.name,
                "place": found.place,
                "good": True,
                "sha256": found.manifest.sha256,
                "size_bytes": found.manifest.size_bytes,
                "took_seconds": found.seconds,
                "passed_over": found.passed_over,
            }
        )
        return
    where = "the copy in S3" if found.place == "s3" else "the local file"
    write_line(f"{found.manifest.name}: {where} is good (read in {duration(found.seconds)})")


@app.command()
def prune(
    ctx: typer.Context,
    *,
    dry_run: DryRun = False,
    yes: Yes = False,
    reason: Reason = None,
    as_json: AsJson = False,
) -> None:
    """Remove the backups that retention lets go, here and in S3, and say why others stay.

    Ages count from the manifests and end at the newest backup: where no new ones come, none go.
    Files without a manifest are never touched.
    """
    from vodtender.procedures import backup_prune
    from vodtender.procedures.actor import operator

    context: Context = ctx.obj
    settings = context.settings()
    judged = backup_prune.plan_prune(settings)
    going = [one for one in judged if one.fate != "stays"]
    if not dry_run and going:
        if not (yes or as_json):
            _write_judged(judged, dry_run=True)
        confirm(f"Remove or archive {len(going)} of {len(judged)} backups?", yes=yes)
        with context.database() as database:
            done = backup_prune.prune(database, settings, actor=operator(), reason=reason)
        judged = [one for one in judged if one.fate == "stays"] + done
    if as_json:
        write_json({"dry_run": dry_run, "backups": judged})
    else:
        _write_judged(judged, dry_run=dry_run)


def _write_judged(judged: list[Fallen], *, dry_run: bool) -> None:
    going = [one for one in judged if one.fate != "stays"]
    if judged:
        write_table(
            ("", "BACKUP", "WHERE", "SIZE", "WHY"),
            [
                (
                    f"would be {_FATES[one.fate]}"
                    if dry_run and one in going
                    else _FATES[one.fate],
                    *(one.name, one.place, size(one.size_bytes), one.why),
                )
                for one in judged
            ],
        )
    if not going:
        write_line("nothing to do")
    elif dry_run:
        write_line("Nothing was changed (--dry-run).")


@app.command()
def keep(
    ctx: typer.Context,
    name: Name,
    *,
    undo: Annotated[bool, typer.Option("--undo", help="Let retention decide again.")] = False,
    dry_run: DryRun = False,
    _yes: NothingAsked = False,
    reason: Reason = None,
    as_json: AsJson = False,
) -> None:
    """Keep a backup whatever its age, here and in S3."""
    from vodtender.procedures import backup_keep
    from vodtender.procedures.actor import operator

    context: Context = ctx.obj
    with context.database() as database:
        changes = backup_keep.keep(
            database,
            context.settings(),
            name,
            kept=not undo,
            actor=operator(),
            reason=reason,
            dry_run=dry_run,
        )
    write_changes(changes, dry_run=dry_run, as_json=as_json)
