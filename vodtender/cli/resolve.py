"""`vodtender resolve`."""

from __future__ import annotations

from typing import Annotated

import typer

from vodtender.cli.changes import write_changes
from vodtender.cli.confirm import confirm
from vodtender.cli.context import AsJson, Context, DryRun, Reason, Yes
from vodtender.cli.output import note
from vodtender.cli.vod_arguments import VodId, one_of

app = typer.Typer(rich_markup_mode=None)


def _video_id(text: str) -> str:
    from vodtender.model.reference import parse_video_reference

    return parse_video_reference(text)


@app.command()
def resolve(
    ctx: typer.Context,
    vod_id: VodId,
    *,
    uploaded: Annotated[
        str | None,
        typer.Option(
            parser=_video_id,
            metavar="VIDEO",
            help="It is on YouTube as this video (id or address).",
        ),
    ] = None,
    not_uploaded: Annotated[
        bool, typer.Option("--not-uploaded", help="It is not on YouTube: upload it anew.")
    ] = False,
    yes: Yes = False,
    reason: Reason = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Settle an upload of which nobody knows whether it took effect (state finalizing).

    Look at the channel's videos on YouTube first, private ones too. --uploaded also takes a
    VOD that was uploaded elsewhere; it asks if YouTube shows no such video, or one of another
    length, since a wrong id could cost the only copy.
    """
    from vodtender.procedures import resolve as procedure
    from vodtender.procedures.actor import operator

    one_of(
        {"--uploaded VIDEO": uploaded is not None, "--not-uploaded": not_uploaded},
        question=f"Is VOD {vod_id} on YouTube or not?",
    )
    context: Context = ctx.obj
    with context.database() as database:
        if uploaded is not None:
            look = procedure.look_at(database, context.settings(), vod_id, uploaded)
            if look.unasked:
                note(f"YouTube could not be asked about the video: {look.unasked}")
            if look.doubt and dry_run:
                note(look.doubt)
            elif look.doubt:
                confirm(f"{look.doubt} Take it for VOD {vod_id} all the same?", yes=yes)
            change = procedure.uploaded(
                database, vod_id, uploaded, actor=operator(), reason=reason, dry_run=dry_run
            )
        else:
            change = procedure.not_uploaded(
                database, vod_id, actor=operator(), reason=reason, dry_run=dry_run
            )
    write_changes([change], dry_run=dry_run, as_json=as_json)
