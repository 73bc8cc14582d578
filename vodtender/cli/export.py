"""`vodtender export`: files for other programs, made from the settings."""

from __future__ import annotations

from typing import Annotated

import typer

from vodtender.cli.context import Context
from vodtender.cli.output import note, write_json
from vodtender.errors import UsageError

app = typer.Typer(
    help="Print files for other programs.", no_args_is_help=True, rich_markup_mode=None
)


@app.callback()
def export() -> None:
    """Print files for other programs, made from the settings."""


@app.command("s3-lifecycle")
def s3_lifecycle(
    ctx: typer.Context,
    bucket: Annotated[
        str | None, typer.Option("--bucket", help="Whose rules, where two buckets are set.")
    ] = None,
) -> None:
    """Print the rules for the bucket of backups or archive, as the AWS tools take them.

    Old backups are removed by vodtender and not by a rule, which would go on removing while no
    new ones come.
    """
    from vodtender.procedures.s3_lifecycle import rules

    context: Context = ctx.obj
    found = rules(context.settings())
    if bucket is None and len(found) > 1:
        raise UsageError(
            "Backups and archive lie in two buckets.", hint=f"add --bucket {' or '.join(found)}"
        )
    name = bucket or next(iter(found))
    if name not in found:
        raise UsageError(f"Nothing of ours lies in {name}.", hint=f"--bucket {' or '.join(found)}")
    write_json(found[name])
    note(
        f"aws s3api put-bucket-lifecycle-configuration --bucket {name}"
        " --lifecycle-configuration file://FILE"
    )
