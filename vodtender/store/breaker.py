"""Where the circuit breakers of all channels stand.

The truth is in `kv` (`circuit_state`, `circuit_failures`, `circuit_open_until`), which
operators read and edit; no rows there mean closed. `breaker_failures` holds which VODs have
failed, `breakers` what `kv` does not say of one that is not closed; both are wiped by trigger
when an operator closes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from vodtender.model import breaker as decide
from vodtender.model.breaker import Breaker, BreakerPolicy, Direction, State
from vodtender.model.settlement import Signal
from vodtender.model.timestamp import rfc3339
from vodtender.store.claims import Claim
from vodtender.store.database import Connection, clock

_STATE = "circuit_state"
_FAILURES = "circuit_failures"
_OPEN_UNTIL = "circuit_open_until"


def all_breakers(connection: Connection) -> dict[str, Breaker]:
    """Every channel's breaker of which anything is stored."""
    rows = connection.execute(
        """
        SELECT channel, jsonb_object_agg(key, value) AS said,
            max(breakers.direction) AS direction
        FROM kv LEFT JOIN breakers USING (channel)
        WHERE key IN ('circuit_state', 'circuit_failures', 'circuit_open_until')
        GROUP BY channel
        """
    )
    return {row["channel"]: _read(row) for row in rows}


def get(connection: Connection, channel: str) -> Breaker:
    """One channel's breaker."""
    return all_breakers(connection).get(channel) or Breaker(channel)


def put(connection: Connection, breaker: Breaker) -> None:
    """Stores a breaker as it is now."""
    if breaker.state == "closed" and not breaker.failures:
        connection.execute(
            "DELETE FROM kv WHERE channel = %s AND key = ANY(%s)",
            (breaker.channel, [_STATE, _FAILURES, _OPEN_UNTIL]),
        )
        connection.execute("DELETE FROM breaker_failures WHERE channel = %s", (breaker.channel,))
        return
    _set(connection, breaker.channel, _FAILURES, str(breaker.failures))
    if breaker.state == "closed":
        return
    until = breaker.open_until
    if until is not None:
        _set(connection, breaker.channel, _OPEN_UNTIL, rfc3339(until))
    _set(connection, breaker.channel, _STATE, breaker.state)
    connection.execute(
        """
        INSERT INTO breakers (channel, direction) VALUES (%s, %s)
        ON CONFLICT (channel) DO UPDATE SET direction = excluded.direction,
            probe_vod_id = NULL, probe_claim = NULL
        """,
        (breaker.channel, breaker.direction or "download"),
    )


def failed_vods(connection: Connection) -> dict[str, list[str]]:
    """The Twitch numbers of the VODs that have failed in each channel, the last one first."""
    rows = connection.execute(
        """
        SELECT breaker_failures.channel, array_agg(twitch_vod_id ORDER BY at DESC) AS vods
        FROM breaker_failures JOIN vods ON vods.id = vod_id GROUP BY 1
        """
    )
    return {row["channel"]: row["vods"] for row in rows}


def failed_ids(connection: Connection, channel: str) -> Sequence[int]:
    """The rows of the VODs that have failed in a channel."""
    rows = connection.execute("SELECT vod_id FROM breaker_failures WHERE channel = %s", (channel,))
    return [row["vod_id"] for row in rows]


def lock(connection: Connection) -> None:
    """One decision at a time about breakers, until the transaction ends. An edit of `kv` takes
    the same lock by trigger."""
    connection.execute("SELECT pg_advisory_xact_lock(hashtext('breakers'))")


def begin_probe(connection: Connection, channel: str, claim: Claim, direction: Direction) -> None:
    """This claim is the one probe of a breaker whose rest is over; a success of its direction
    will close it."""
    _set(connection, channel, _STATE, "half-open")
    connection.execute(
        """
        INSERT INTO breakers (channel, direction, probe_vod_id, probe_claim)
        VALUES (%(channel)s, %(direction)s, %(vod_id)s, %(claim)s)
        ON CONFLICT (channel) DO UPDATE SET
            direction = excluded.direction,
            probe_vod_id = excluded.probe_vod_id, probe_claim = excluded.probe_claim
        """,
        {"channel": channel, "direction": direction, "vod_id": claim.vod_id, "claim": claim.number},
    )


def probe_is_out(connection: Connection, channel: str) -> bool:
    """Whether a probe is still being worked on. One whose worker died or that came to nothing
    is not."""
    row = connection.execute(
        """
        SELECT FROM breakers JOIN vods ON vods.id = probe_vod_id AND vods.claim = probe_claim
        WHERE breakers.channel = %s AND vods.worker_id IS NOT NULL
            AND vods.lease_expires_at > now()
        """,
        (channel,),
    ).fetchone()
    return row is not None


def learn(
    connection: Connection,
    channel: str,
    signal: Signal,
    *,
    direction: Direction,
    vod_id: int,
    policy: BreakerPolicy,
) -> tuple[State, State]:
    """What the breaker makes of an outcome; returns its state before and after."""
    if signal is Signal.NOTHING:
        return "closed", "closed"
    lock(connection)
    before = get(connection, channel)
    if signal is Signal.SUCCESS:
        after = decide.after_success(before, direction)
        if before.state == "closed":
            after = replace(after, failures=_forget_failures(connection, channel, direction))
    else:
        failures = _count_failure(connection, channel, direction, vod_id)
        counted = replace(before, failures=failures)
        after = decide.after_failure(counted, direction, policy, clock(connection))
    if after != before:
        put(connection, after)
    return before.state, after.state


def _count_failure(connection: Connection, channel: str, direction: Direction, vod_id: int) -> int:
    """How many different VODs have failed in this direction since the last success there."""
    connection.execute(
        "INSERT INTO breaker_failures (channel, vod_id, direction) VALUES (%s, %s, %s)"
        " ON CONFLICT (channel, vod_id) DO UPDATE SET at = now(), direction = excluded.direction",
        (channel, vod_id, direction),
    )
    row = connection.execute(
        "SELECT count(*) AS n FROM breaker_failures WHERE channel = %s AND direction = %s",
        (channel, direction),
    ).fetchone()
    assert row is not None
    count: int = row["n"]
    return count


def _forget_failures(connection: Connection, channel: str, direction: Direction) -> int:
    """Those of the other direction stay; returns how many they are."""
    connection.execute(
        "DELETE FROM breaker_failures WHERE channel = %s AND direction = %s", (channel, direction)
    )
    row = connection.execute(
        "SELECT count(*) AS n FROM breaker_failures WHERE channel = %s", (channel,)
    ).fetchone()
    assert row is not None
    count: int = row["n"]
    return count


def _set(connection: Connection, channel: str, key: str, value: str) -> None:
    connection.execute(
        """
        INSERT INTO kv (channel, key, value) VALUES (%s, %s, %s)
        ON CONFLICT (channel, key) DO UPDATE SET value = excluded.value, updated_at = now()
        """,
        (channel, key, value),
    )


def _read(row: dict[str, Any]) -> Breaker:
    """Operators type into these rows, so anything may stand there."""
    said: dict[str, str] = row["said"]
    state = said.get(_STATE, "closed")
    failures = said.get(_FAILURES, "0")
    return Breaker(
        channel=row["channel"],
        state=state if state in decide.STATES else "closed",
        failures=int(failures) if failures.isascii() and failures.isdigit() else 0,
        open_until=_moment(said.get(_OPEN_UNTIL)),
        direction=row["direction"],
    )


def _moment(text: str | None) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
