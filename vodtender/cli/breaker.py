"""`vodtender breaker`: what halts a channel after failures, and how to let it go on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vodtender.cli.arguments import length
from vodtender.cli.changes import write_changes
from vodtender.cli.context import AsJson, Context, DryRun, NothingAsked, Reason
from vodtender.cli.output import moment, note, write_json, write_line, write_table

if TYPE_CHECKING:
    from vodtender.procedures.breaker import Standing
    from vodtender.procedures.change import Change

app = typer.Typer(
    help="Show, reset or trip the circuit breakers.", no_args_is_help=True, rich_markup_mode=None
)

_NO_CHANNEL = "No channel is known yet."

Channel = Annotated[
    str | None, typer.Option(metavar="NAME", help="Only this channel's; else those of all.")
]


@app.command()
def status(ctx: typer.Context, channel: Channel = None, as_json: AsJson = False) -> None:
    """Show each channel's breaker: closed, open until when, or half-open."""
    from vodtender.model.breaker import worst
    from vodtender.procedures import breaker

    context: Context = ctx.obj
    with context.database() as database:
        found = breaker.standings(
            database, breaker.channels(database, channel, context.settings().channels)
        )
    if as_json:
        state = worst([one.breaker.state for one in found])
        write_json({"circuit_state": state, "channels": [_as_json(one) for one in found]})
        return
    if not found:
        write_line(_NO_CHANNEL)
        return
    columns = ("CHANNEL", "STATE", "FAILURES", "OPEN UNTIL", "FAILED VODS", "CAUSE")
    write_table(columns, [_row(one, datetime.now(UTC)) for one in found])
    if any(one.breaker.state != "closed" for one in found):
        note("once the cause is mended: vodtender breaker reset")


@app.command()
def reset(
    ctx: typer.Context,
    *,
    channel: Channel = None,
    reason: Reason = None,
    dry_run: DryRun = False,
    _yes: NothingAsked = False,
    as_json: AsJson = False,
) -> None:
    """Close breakers and forget the failures that were counted."""
    from vodtender.procedures import breaker
    from vodtender.procedures.actor import operator

    context: Context = ctx.obj
    with context.database() as database:
        changes = breaker.reset(
            database,
            breaker.channels(database, channel, context.settings().channels),
            actor=operator(),
            reason=reason,
            dry_run=dry_run,
        )
    _write(changes, dry_run=dry_run, as_json=as_json)


@app.command()
def trip(
    ctx: typer.Context,
    *,
    channel: Channel = None,
    rest: Annotated[
        timedelta | None,
        typer.Option(
            "--for",
            parser=length,
            metavar="DURATION",
            help="How long to rest, such as 30m; else CIRCUIT_OPEN_COOLDOWN. Also sets how long"
            " a breaker that is open already goes on resting.",
        ),
    ] = None,
    reason: Reason = None,
    dry_run: DryRun = False,
    _yes: NothingAsked = False,
    as_json: AsJson = False,
) -> None:
    """Open breakers by hand: nothing new is begun until their rest is over.

    Then one VOD is tried, and if it succeeds, the breaker closes by itself. What is in hand
    goes on.
    """
    from vodtender.procedures import breaker
    from vodtender.procedures.actor import operator

    context: Context = ctx.obj
    settings = context.settings()
    with context.database() as database:
        changes = breaker.trip(
            database,
            breaker.channels(database, channel, settings.channels),
            rest=rest,
            cooldown=settings.circuit_open_cooldown,
            actor=operator(),
            reason=reason,
            dry_run=dry_run,
        )
    _write(changes, dry_run=dry_run, as_json=as_json)


def _write(changes: list[Change], *, dry_run: bool, as_json: bool) -> None:
    if changes or as_json:
        write_changes(changes, dry_run=dry_run, as_json=as_json)
    else:
        write_line(_NO_CHANNEL)


def _as_json(one: Standing) -> dict[str, Any]:
    return {
        "channel": one.breaker.channel,
        "circuit_breaker": {
            "state": one.breaker.state,
            "failures": one.breaker.failures,
            "open_until": one.breaker.open_until,
            "direction": one.breaker.direction,
            "failed_vods": one.failed_vods,
            "cause": one.cause,
        },
    }


def _row(one: Standing, now: datetime) -> tuple[str, ...]:
    until = one.breaker.open_until
    return (
        one.breaker.channel or "(no channel)",
        one.breaker.state,
        str(one.breaker.failures),
        "" if until is None else moment(until, now),
        ", ".join(one.failed_vods[:5]) + (", …" if len(one.failed_vods) > 5 else ""),
        one.cause or "",
    )
