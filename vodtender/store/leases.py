"""Jobs that one worker at a time does: discovery of a channel, pruning of a directory."""

from __future__ import annotations

from vodtender.store.database import Connection


def take(connection: Connection, name: str, worker_id: str, seconds: float) -> int | None:
    """The claim's number if the lease was free, expired or this worker's own; else None."""
    row = connection.execute(
        """
        INSERT INTO leases AS held (name, worker_id, claim, expires_at)
        VALUES (%(name)s, %(worker_id)s, 1, now() + make_interval(secs => %(seconds)s))
        ON CONFLICT (name) DO UPDATE SET worker_id = excluded.worker_id,
            claim = held.claim + 1, expires_at = excluded.expires_at
        WHERE held.expires_at < now() OR held.worker_id = excluded.worker_id
        RETURNING claim
        """,
        {"name": name, "worker_id": worker_id, "seconds": seconds},
    ).fetchone()
    return None if row is None else row["claim"]


def renew(connection: Connection, name: str, worker_id: str, claim: int, seconds: float) -> bool:
    """Whether the lease is still this worker's; it then lasts anew. Holds the row until the
    transaction ends, so what is written in it is written by the holder."""
    return bool(
        connection.execute(
            "UPDATE leases SET expires_at = now() + make_interval(secs => %s)"
            " WHERE name = %s AND worker_id = %s AND claim = %s",
            (seconds, name, worker_id, claim),
        ).rowcount
    )


def release(connection: Connection, name: str, worker_id: str, claim: int) -> None:
    """Gives it back, if it is still held. The row stays: the numbers must go on growing."""
    connection.execute(
        "UPDATE leases SET expires_at = '-infinity' WHERE name = %s AND worker_id = %s"
        " AND claim = %s",
        (name, worker_id, claim),
    )


def release_all(connection: Connection, worker_id: str) -> None:
    """Gives back whatever a worker holds."""
    connection.execute(
        "UPDATE leases SET expires_at = '-infinity' WHERE worker_id = %s", (worker_id,)
    )
