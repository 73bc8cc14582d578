"""`vodtender restore --at`: the embedded database as it was at a moment."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from vodtender.cli.arguments import moment as moment_of
from vodtender.cli.confirm import confirm_by_name
from vodtender.cli.context import Context
from vodtender.cli.loss import look_again, loss_document, write_loss
from vodtender.cli.output import duration, note, write_json, write_line
from vodtender.cli.transfer_bar import TransferBar

if TYPE_CHECKING:
    from collections.abc import Callable

    from vodtender.model.base_backup import Base
    from vodtender.procedures.recovery import Recovered
    from vodtender.procedures.replaced import Present

LATEST = "latest"


def restore_at(
    context: Context,
    at: str,
    *,
    wait: bool,
    dry_run: bool,
    yes: bool,
    given: str | None,
    reason: str | None,
    as_json: bool,
) -> None:
    """Brings the database there and says what came of it."""
    from vodtender.procedures import recovery
    from vodtender.procedures.actor import operator

    moment = None if at == LATEST else moment_of(at)
    with TransferBar(shown=not as_json) as bar:
        asked = recovery.AskedFor(
            moment=moment,
            wait=wait,
            dry_run=dry_run,
            actor=operator(),
            reason=reason,
            confirm=_asking(bar, moment, yes=yes, given=given),
            note=note,
            tell=bar.tell,
        )
        done = recovery.recover(context.settings(), asked)
    if as_json:
        write_json(_document(done))
    else:
        _write(done)


def _asking(
    bar: TransferBar, moment: datetime | None, *, yes: bool, given: str | None
) -> Callable[[Present, Base], None]:
    def ask(present: Present, base: Base) -> None:
        holds = "cannot be read"
        if present.rows is not None:
            holds = f"holds {present.rows.get('vods', 0)} VODs"
        with bar.hidden():
            confirm_by_name(
                f"The database {present.name}, which {holds}, is replaced by what it was"
                f" {_when(moment)} (from {base.name}).",
                present.name,
                yes=yes,
                given=given,
            )

    return ask


def _document(done: Recovered) -> dict[str, Any]:
    return {
        "dry_run": done.seconds is None,
        "at": done.moment,
        "reached_at": done.reached_at,
        "base": done.base.name,
        "rows": done.rows,
        "kept_as": done.aside or None,
        **loss_document(done.loss),
        "took_seconds": done.seconds,
    }


def _write(done: Recovered) -> None:
    when = _when(done.moment)
    if done.seconds is None:
        write_line(f"would bring the embedded database to what it was {when}: {done.base.name}")
        write_line("Nothing was changed (--dry-run).")
        return
    write_line(
        f"The embedded database is what it was {when}: {done.rows.get('vods', 0)} VODs,"
        f" {sum(done.rows.values())} rows, from {done.base.name}, in {duration(done.seconds)}."
    )
    if done.reached_at is not None:
        write_line(f"The last change in it is of {_told(done.reached_at)}.")
    write_loss(done.loss)
    if done.aside:
        write_line(f"What was there is kept in {done.aside}. When it is not needed:")
        write_line(f"    rm -r '{done.aside}'")
    since = look_again(done.reached_at or done.moment)
    write_line(f"Now: vodtender backup base; start the daemon; and: {since}")


def _when(moment: datetime | None) -> str:
    return "at the end of its log" if moment is None else f"at {_told(moment)}"


def _told(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
