"""One piece of work: claim a VOD, do what its stage asks for, store what came of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from errno import EDQUOT, ENOSPC
from pathlib import Path
from typing import Any

from vodtender import log, metrics
from vodtender.errors import DatabaseUnavailable, LeaseLost, Stopped, Transient, VodtenderError
from vodtender.model import decision
from vodtender.model.breaker import Breaker, Direction
from vodtender.model.outcome import Failed, Interrupted, Outcome
from vodtender.model.settlement import Settlement, Signal
from vodtender.model.vod import Stage, Vod
from vodtender.pipeline.claimed_vod import ClaimedVod
from vodtender.pipeline.workplace import Workplace
from vodtender.store import audit, breaker, channels, claims, pause, queue
from vodtender.store.claims import Claim
from vodtender.store.database import Connection, clock

_RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Result:
    """An outcome; what has to happen in the transaction that stores it, while the claim is
    sure to be ours; and what may happen once it is stored."""

    outcome: Outcome
    place_file: Callable[[], Path] | None = None
    afterwards: Callable[[], None] | None = None


class _NotPlaced(Exception):  # noqa: N818 - undoes the transaction and becomes an outcome
    """The file could not be put in its place."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.error = error

    def meaning(self) -> Transient:
        """What the disk's refusal stands for."""
        code = "disk_full" if self.error.errno in (ENOSPC, EDQUOT) else "not_placed"
        return Transient(
            f"The file is whole, but could not be put in its place: {self.error.strerror}.",
            hint="check that DATA_DIR can be written",
            code=code,
        )


@dataclass(frozen=True, slots=True)
class Lane:
    """A kind of work: which stages it takes, and what it does with a VOD.

    `guarded` lanes rest while processing is paused or the channel's breaker is open.
    """

    name: str
    direction: Direction
    stages: Sequence[Stage]
    guarded: bool
    work: Callable[[Workplace, ClaimedVod], Result]


def work_on_next(place: Workplace, lane: Lane) -> bool:
    """Does the next piece of work of a lane; False if there is none.

    Raises:
        DatabaseUnavailable: nothing could be claimed. What was claimed is settled whenever
            the database is back, or given up when the daemon is stopped.
    """
    vod = _take(place, lane)
    if vod is None:
        return False
    place.at_work.add(vod.id)
    try:
        with ClaimedVod(place, vod) as claimed:
            result = _outcome(place, lane, claimed)
            _settle_patiently(place, lane, claimed, result)
    finally:
        place.at_work.discard(vod.id)
    return True


def _outcome(place: Workplace, lane: Lane, claimed: ClaimedVod) -> Result:
    """Whatever happens in the work becomes an outcome."""
    speaker = log.get(lane.name).bind(vod=claimed.vod.twitch_vod_id)
    try:
        result = lane.work(place, claimed)
    except (Stopped, LeaseLost, DatabaseUnavailable) as error:
        speaker.debug("interrupted", why=error.message)
        result = Result(Interrupted())
    except VodtenderError as error:
        result = Result(Failed(error))
    except Exception as error:
        speaker.error("internal error", exc=error)
        internal = Transient(f"internal error: {type(error).__name__}: {error}", code="internal")
        result = Result(Failed(internal))
    return result


def _settle_patiently(place: Workplace, lane: Lane, claimed: ClaimedVod, result: Result) -> None:
    """The database may be away, but what was done must not be forgotten."""
    while True:
        claimed.ending = True
        try:
            _settle(place, lane, claimed, result)
            return
        except _NotPlaced as error:
            result = Result(Failed(error.meaning()))
        except LeaseLost:
            log.get(lane.name).warning(
                "somebody else has the VOD by now; nothing is stored", vod=claimed.vod.twitch_vod_id
            )
            return
        except DatabaseUnavailable as error:
            claimed.ending = False
            metrics.db_errors.inc()
            log.get(lane.name).warning(
                "the database is away; waiting to store the result",
                vod=claimed.vod.twitch_vod_id,
                why=error.message,
            )
            if place.stopping.wait(_RETRY_SECONDS):
                return


def _settle(place: Workplace, lane: Lane, claimed: ClaimedVod, result: Result) -> None:
    vod = claimed.vod
    with place.database.transaction() as connection:
        cancel_reason = claims.lock(connection, claimed.claim)
        if result.place_file is not None:
            try:
                result.place_file()
            except OSError as error:
                raise _NotPlaced(error) from error
        now = clock(connection)
        jitter = place.chance.random()
        settlement = decision.after(vod, result.outcome, place.policy, now, jitter)
        if cancel_reason is not None:
            settlement = decision.cancelled(settlement, cancel_reason)
        claims.settle(connection, claimed.claim, vod.stage, settlement)
        before, after = breaker.learn(
            connection,
            vod.channel,
            settlement.signal,
            direction=lane.direction,
            vod_id=vod.id,
            policy=place.breaker_policy,
        )
        if before != after:
            audit.record(
                connection,
                actor=place.worker_id,
                action="breaker",
                target=vod.channel,
                before=before,
                after=after,
                reason=settlement.standing.problem,
            )
    _tell(lane, vod, settlement, before, after)
    if result.afterwards is not None:
        result.afterwards()


def _tell(lane: Lane, vod: Vod, settlement: Settlement, before: str, after: str) -> None:
    speaker = log.get(lane.name).bind(vod=vod.twitch_vod_id, channel=vod.channel)
    standing = settlement.standing
    fields: dict[str, Any] = {"stage": str(standing.stage)}
    if standing.next_try_at is not None:
        fields["next_try_at"] = standing.next_try_at
    if standing.problem is not None:
        say = speaker.error if standing.stage is Stage.FAILED else speaker.warning
        say(standing.problem, **fields)
    else:
        speaker.info("waiting" if standing.stage in lane.stages else "done", **fields)
    if settlement.signal is Signal.FAILURE:
        metrics.breaker_failures.inc()
    if before != after:
        metrics.breaker_changes.labels(before, after).inc()
        speaker.warning(f"circuit breaker {after}", before=before, cause=standing.problem or "")


# --- claiming ---------------------------------------------------------------------------


def _take(place: Workplace, lane: Lane) -> Vod | None:
    metrics.processing_cycles.inc()
    with place.database.transaction() as connection:
        queue.wake(connection)
        names = [one.channel for one in channels.all_channels(connection)]
        if not lane.guarded:
            return _claim(place, connection, lane, names)
        if pause.get(connection) is not None:
            return None
        breakers = breaker.all_breakers(connection)
        resting = [b for name in names if (b := breakers.get(name)) and b.state != "closed"]
        halted = {b.channel for b in resting}
        # Probes come first: other channels may have enough to do for days.
        for waiting in resting:
            vod = _probe(place, connection, lane, waiting)
            if vod is not None:
                return vod
        return _claim(place, connection, lane, [name for name in names if name not in halted])


def _claim(
    place: Workplace,
    connection: Connection,
    lane: Lane,
    channels: Sequence[str],
    avoiding: Sequence[int] = (),
) -> Vod | None:
    if lane.direction == "download":
        avoiding = [*avoiding, *place.room.too_large_now()]
    return queue.take(
        connection,
        lane.stages,
        worker_id=place.worker_id,
        directory_id=place.directory.id,
        lease_seconds=place.settings.lease_seconds,
        channels=channels,
        avoiding=avoiding,
    )


def _probe(place: Workplace, connection: Connection, lane: Lane, waiting: Breaker) -> Vod | None:
    """The one VOD that is let through a breaker whose rest is over."""
    channel = waiting.channel
    speaker = log.get(lane.name)
    if not waiting.may_probe(clock(connection)):
        if _is_any_left(place, connection, lane.direction, channel) and place.is_news(
            f"halted {lane.name} {channel}"
        ):
            speaker.info("circuit breaker open, skipping processing", channel=channel)
        return None
    breaker.lock(connection)
    now_there = breaker.get(connection, channel)
    if not now_there.may_probe(clock(connection)) or now_there.state == "closed":
        return None
    if breaker.probe_is_out(connection, channel):
        return None
    if not _is_of_direction(place, connection, lane, now_there):
        return None
    failed = breaker.failed_ids(connection, channel)
    vod = _claim(place, connection, lane, [channel], avoiding=failed)
    vod = vod or _claim(place, connection, lane, [channel])
    if vod is not None:
        claim = Claim(vod.id, place.worker_id, vod.claim)
        breaker.begin_probe(connection, channel, claim, lane.direction)
        speaker.info("circuit breaker half-open, one probe", channel=channel, vod=vod.twitch_vod_id)
    return vod


def _is_of_direction(
    place: Workplace, connection: Connection, lane: Lane, waiting: Breaker
) -> bool:
    """The probe goes the way that had failed; any other only when nothing can go it soon."""
    direction = waiting.direction or lane.direction
    return lane.direction == direction or not _is_any_left(
        place, connection, direction, waiting.channel
    )


def _is_any_left(
    place: Workplace, connection: Connection, direction: Direction, channel: str
) -> bool:
    stages: Sequence[Stage] = queue.DOWNLOADS
    if direction == "download":
        is_shut = place.room.why_none() is not None
    else:
        stages = queue.UPLOADS
        is_shut = not place.accounts.uploads_wanted(connection)
    return not is_shut and queue.is_any_left(
        connection, stages, channel, directory_id=place.directory.id
    )
