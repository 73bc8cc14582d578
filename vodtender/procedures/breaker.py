"""The circuit breakers: how they stand, and closing or opening them by hand."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from vodtender.errors import NotFound
from vodtender.model import breaker as decide
from vodtender.model.breaker import Breaker
from vodtender.procedures.change import Change
from vodtender.store import audit, breaker, overview
from vodtender.store.channels import all_channels
from vodtender.store.database import Connection, Database, clock

_ACTION = "breaker"
_NAMELESS = ""
"""The channel of VODs that were added by number, until they have been looked at."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One channel's breaker; the VODs that have failed, the last first; and why it is not
    closed."""

    breaker: Breaker
    failed_vods: list[str]
    cause: str | None


def channels(database: Database, wanted: str | None, watched: Collection[str]) -> list[str]:
    """The wanted channel, or all: those of the settings (`watched`) and those of the database.

    Raises:
        NotFound: there is no such channel.
    """
    with database.transaction() as connection:
        stored = breaker.all_breakers(connection)
        known = {*watched, *stored, *(one.channel for one in all_channels(connection))}
        if _NAMELESS not in stored and _NAMELESS not in overview.counts(connection):
            known.discard(_NAMELESS)
    if wanted is None:
        return sorted(known)
    if wanted not in known:
        raise NotFound(
            f"No channel {wanted!r} is known: it is not in the settings and has no VODs.",
            hint="vodtender breaker status shows all that are",
            code="channel",
        )
    return [wanted]


def standings(database: Database, of: Sequence[str]) -> list[Standing]:
    """How the breakers of these channels stand."""
    with database.transaction() as connection:
        stored = breaker.all_breakers(connection)
        failed = breaker.failed_vods(connection)
        found = [stored.get(channel) or Breaker(channel) for channel in of]
        return [
            Standing(one, failed.get(one.channel, []), _cause(connection, one)) for one in found
        ]


def reset(
    database: Database, of: Sequence[str], *, actor: str, reason: str | None, dry_run: bool
) -> list[Change]:
    """Closes breakers and forgets what had failed."""
    return _change(
        database,
        of,
        lambda before, _now: Breaker(before.channel),
        action=f"{_ACTION} reset",
        actor=actor,
        reason=reason,
        dry_run=dry_run,
    )


def trip(
    database: Database,
    of: Sequence[str],
    *,
    rest: timedelta | None,
    cooldown: timedelta,
    actor: str,
    reason: str | None,
    dry_run: bool,
) -> list[Change]:
    """Opens breakers for `rest`, or for the cooldown. What is in hand goes on."""
    return _change(
        database,
        of,
        lambda before, now: decide.tripped(before, rest, cooldown, now),
        action=f"{_ACTION} trip",
        actor=actor,
        reason=reason,
        dry_run=dry_run,
    )


def _change(
    database: Database,
    of: Sequence[str],
    decision: Callable[[Breaker, datetime], Breaker],
    *,
    action: str,
    actor: str,
    reason: str | None,
    dry_run: bool,
) -> list[Change]:
    changes = []
    with database.transaction(actor=actor, keep=not dry_run) as connection:
        breaker.lock(connection)
        now = clock(connection)
        for channel in sorted(of):
            before = breaker.get(connection, channel)
            after = decision(before, now)
            note = f"{before.state} already" if after == before else ""
            change = Change(channel or "(no channel)", _shown(before), _shown(after), note)
            changes.append(change)
            if not change.changed:
                continue
            breaker.put(connection, after)
            audit.record(
                connection,
                actor=actor,
                action=action,
                target=channel,
                before=change.before,
                after=change.after,
                reason=reason,
            )
    return changes


def _cause(connection: Connection, one: Breaker) -> str | None:
    if one.state == "closed":
        return None
    lines = audit.find(connection, target=one.channel, action=_ACTION, limit=1)
    return lines[0].reason if lines else None


def _shown(one: Breaker) -> dict[str, Any]:
    return {"state": one.state, "failures": one.failures, "open_until": one.open_until}
