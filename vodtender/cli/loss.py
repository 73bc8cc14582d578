"""What a restore has lost, as it is printed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from vodtender.cli.output import write_line

if TYPE_CHECKING:
    from vodtender.procedures.replaced import Loss

_LISTED = 10


def loss_document(loss: Loss | None) -> dict[str, Any]:
    """The same for programs."""
    vods = None if loss is None else loss.vods
    return {
        "missing_rows": {
            name: {"before": was, "now": now}
            for name, (was, now) in ({} if loss is None else loss.rows).items()
        },
        "missing_vods": [] if vods is None else vods.unknown,
        "published_since": [] if vods is None else vods.published,
    }


def look_again(shown_at: datetime | None) -> str:
    """What has the daemon look again at what came after the moment that the database shows."""
    at = "TIME" if shown_at is None else f"'{shown_at.astimezone(UTC):%Y-%m-%d %H:%M:%S}'"
    return f"vodtender reprocess --since {at}"


def write_loss(loss: Loss | None) -> None:
    """Prints what is missing between the backup and now."""
    if loss is None:
        return
    for name, (was, now) in loss.rows.items():
        write_line(f"    {name}: {was} rows before, {now} now")
    if loss.vods is None:
        write_line("    which VODs are missing cannot be told: the old database is not readable")
        return
    for what, numbers in (
        ("found since, and found again at Twitch if it still has them", loss.vods.unknown),
        ("published since, and found again on YouTube", loss.vods.published),
        ("removed since, and back", loss.vods.returned),
    ):
        if numbers:
            more = f" and {len(numbers) - _LISTED} more" if len(numbers) > _LISTED else ""
            write_line(f"    VODs {what}: {', '.join(numbers[:_LISTED])}{more}")
