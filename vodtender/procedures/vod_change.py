"""Changing VODs on an operator's behalf: one at a time, each in a transaction of its own.

So a command for many VODs holds none of them longer than it takes, and whatever ends it in
between leaves some done and the others as they were.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from vodtender.errors import NotFound, PartlyDone, Refused, VodtenderError
from vodtender.model.vod import Vod
from vodtender.procedures.change import Change
from vodtender.store import audit, vods
from vodtender.store.database import Connection, Database

_SHOWN = (
    "state",
    "processing_error",
    "youtube_url",
    "next_try_at",
    "cancel_reason",
    "priority",
    "skip_upload",
    "allow_gaps",
)
_NAMED = 20
"""So many VODs that were not done are named; the rest is counted."""

Step = Callable[[Connection, Vod], str]
"""Changes a VOD that is locked, or finds nothing to do; returns what is to be said about it."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of several VODs."""

    changes: tuple[Change, ...]
    failures: tuple[VodtenderError, ...] = ()

    def raise_failures(self) -> None:
        """Does nothing if all went well.

        Raises:
            PartlyDone: some were done; the message says which were not, and why.
            NotFound: none was done, since there are no such VODs.
            Refused: none was done.
        """
        failures = self.failures
        if not failures:
            return
        if len(failures) == 1 and not self.changes:
            raise failures[0]
        lines = [failure.message for failure in failures[:_NAMED]]
        if len(failures) > _NAMED:
            lines.append(f"and {len(failures) - _NAMED} more")
        hints = list(dict.fromkeys(failure.hint for failure in failures[:_NAMED] if failure.hint))
        kind: type[VodtenderError] = Refused
        if self.changes:
            lines.insert(0, f"Of {len(self.changes) + len(failures)} VODs, these were not done:")
            kind = PartlyDone
        elif all(isinstance(failure, NotFound) for failure in failures):
            kind = NotFound
        raise kind("\n".join(lines), hint="\n".join(hints))


def change_each(vod_ids: Iterable[str], change: Callable[[str], Change]) -> Tally:
    """Changes VODs one after the other, and goes on where one cannot be changed."""
    changes, failures = [], []
    for vod_id in dict.fromkeys(vod_ids):
        try:
            changes.append(change(vod_id))
        except (NotFound, Refused) as error:
            failures.append(error)
    return Tally(tuple(changes), tuple(failures))


def change_one(
    database: Database,
    vod_id: str,
    step: Step,
    *,
    action: str,
    actor: str,
    reason: str | None,
    dry_run: bool,
) -> Change:
    """Changes one VOD and notes it in the audit. A dry run does the same and undoes it, so that
    what it shows is what the database makes of it.

    Raises:
        NotFound: there is no such VOD.
    """
    with database.transaction(actor=actor, keep=not dry_run) as connection:
        before = vods.get(connection, vod_id, lock=True)
        if before is None:
            raise unknown(vod_id)
        note = step(connection, before)
        after = vods.get(connection, vod_id)
        assert after is not None
        change = Change(vod_id, *_differing(_look(before), _look(after)), note)
        if change.changed:
            record(connection, change, action=action, actor=actor, reason=reason)
        return change


def record(
    connection: Connection, change: Change, *, action: str, actor: str, reason: str | None
) -> None:
    """Notes a change of a VOD, and wakes the daemons."""
    audit.record(
        connection,
        actor=actor,
        action=action,
        target=change.target,
        before=dict(change.before),
        after=dict(change.after),
        reason=reason,
    )
    vods.notify(connection)


def unknown(vod_id: str) -> NotFound:
    """There is no such VOD."""
    return NotFound(
        f"There is no VOD {vod_id} in the archive.",
        hint="vodtender vods   shows those there are; vodtender add ID adds one",
        code="vod",
    )


def _look(vod: Vod) -> dict[str, Any]:
    return {name: getattr(vod, name) for name in _SHOWN}


def _differing(
    before: Mapping[str, Any], after: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is different, and the state in any case."""
    names = [name for name in before if name == "state" or before[name] != after[name]]
    return {name: before[name] for name in names}, {name: after[name] for name in names}
