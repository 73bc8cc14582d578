"""What the values of options mean: lengths of time, moments, words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import typer


def legible(text: str) -> str:
    """Words as the database takes them: bytes that are no UTF-8 become `\\xff`."""
    raw = text.encode("utf-8", "surrogateescape")
    return raw.decode("utf-8", "backslashreplace")


def length(text: str) -> timedelta:
    """`90s`, `5m`, `1h30m`, `14d`, or seconds."""
    from vodtender.config.quantities import duration

    try:
        return duration().read(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r}: {error}") from None


def moment(text: str) -> datetime:
    """A date or time as ISO 8601 has them (UTC unless it says otherwise), or a length: so long
    before now."""
    try:
        return _moment(text)
    except OverflowError:
        raise typer.BadParameter(f"{text!r} is too long ago") from None


def _moment(text: str) -> datetime:
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        pass
    else:
        return when if when.tzinfo else when.replace(tzinfo=UTC)
    try:
        return datetime.now(UTC) - length(text)
    except typer.BadParameter:
        raise typer.BadParameter(
            f"{text!r}: expected a time such as 2026-11-23T10:00, or how long ago, such as 24h"
        ) from None
