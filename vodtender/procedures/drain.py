"""Letting daemons finish what they have in hand, take nothing new, and end."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vodtender.errors import NotFound, UsageError, VodtenderError
from vodtender.procedures.change import Change
from vodtender.store import audit, vods, workers
from vodtender.store.database import Connection, Database
from vodtender.store.workers import Worker

_LOOK_SECONDS = 0.5
"""Long enough that a claim that was being made while the daemon was told is there to be seen."""


_SILENT_SECONDS = 60.0
"""A daemon that was not heard of for so long has ended or cannot be reached."""


@dataclass(frozen=True, slots=True)
class InHand:
    """A daemon that has not finished, and the VODs (by their Twitch numbers) it works on."""

    worker_id: str
    vods: tuple[str, ...]


def drain(
    database: Database,
    *,
    worker_id: str | None,
    all_workers: bool,
    actor: str,
    reason: str | None,
    dry_run: bool,
) -> list[Change]:
    """Tells one daemon, all, or (with neither) the only one there is.

    Raises:
        NotFound: no such daemon is known.
        UsageError: there are several, and none was named.
    """
    with database.transaction(actor=actor, keep=not dry_run) as connection:
        in_hand = workers.in_hand(connection)
        changes = []
        for worker in _chosen(connection, worker_id, all_workers=all_workers):
            change = _change(worker, in_hand.get(worker.worker_id, ()))
            changes.append(change)
            if not change.changed:
                continue
            workers.set_draining(connection, worker.worker_id)
            audit.record(
                connection,
                actor=actor,
                action="drain",
                target=worker.worker_id,
                before=change.before,
                after=change.after,
                reason=reason,
            )
        vods.notify(connection)
    return changes


def wait(
    database: Database,
    worker_ids: Sequence[str],
    *,
    timeout_seconds: float | None,
    on_change: Callable[[list[InHand]], None],
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Until none of these daemons has anything in hand. One that has ended has not, and what a
    dead one held is free once its lease has run out.

    `on_change` is told what is still waited for, whenever that changes.

    Raises:
        VodtenderError: not in time (code `timeout`).
    """
    deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
    last: list[InHand] = []
    while True:
        pause(_LOOK_SECONDS)
        left = _left(database, worker_ids)
        if not left:
            return
        if left != last:
            on_change(left)
            last = left
        if deadline is not None and time.monotonic() >= deadline:
            held = "; ".join(f"{one.worker_id} works on {', '.join(one.vods)}" for one in left)
            raise VodtenderError(
                f"Not finished after {timeout_seconds:g} s: {held}.",
                hint="they go on finishing; to wait again: vodtender drain --wait",
                code="timeout",
            )


def _chosen(connection: Connection, worker_id: str | None, *, all_workers: bool) -> list[Worker]:
    known = workers.find(connection)
    if worker_id is not None:
        found = [worker for worker in known if worker.worker_id == worker_id]
        if not found:
            raise NotFound(
                f"No daemon {worker_id!r} is running on this database.",
                hint=_names(known),
                code="worker",
            )
        return found
    if all_workers:
        return known
    living = [worker for worker in known if worker.seconds_since_heartbeat < _SILENT_SECONDS]
    if len(living) > 1:
        raise UsageError(
            f"{len(living)} daemons are running: say which with --worker, or --all.",
            hint=_names(living),
        )
    return living


def _names(known: Sequence[Worker]) -> str:
    names = ", ".join(worker.worker_id for worker in known)
    return f"there is: {names}" if names else "none is running"


def _change(worker: Worker, in_hand: Sequence[str]) -> Change:
    silent = worker.seconds_since_heartbeat
    notes = [
        "draining already" if worker.draining else "",
        f"not heard of for {silent:.0f} s" if silent >= _SILENT_SECONDS else "",
        f"works on {', '.join(in_hand)}" if in_hand else "nothing in hand",
    ]
    return Change(
        worker.worker_id,
        {"draining": worker.draining},
        {"draining": True},
        "; ".join(filter(None, notes)),
    )


def _left(database: Database, worker_ids: Sequence[str]) -> list[InHand]:
    with database.transaction() as connection:
        in_hand = workers.in_hand(connection)
    return [InHand(one, tuple(in_hand[one])) for one in worker_ids if one in in_hand]
