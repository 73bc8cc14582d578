"""Who changed what, when and why."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from vodtender.log import redact
from vodtender.model.timestamp import rfc3339
from vodtender.store.database import Connection


@dataclass(frozen=True, slots=True)
class AuditLine:
    """One change by a command, or one the daemon made that operators must be able to trace."""

    id: int
    at: datetime
    actor: str
    action: str
    target: str
    before: Any
    after: Any
    reason: str | None


def record(
    connection: Connection,
    *,
    actor: str,
    action: str,
    target: str,
    before: Any = None,
    after: Any = None,
    reason: str | None = None,
) -> None:
    """Writes one line, in the transaction that makes the change. `before` and `after` are of
    JSON's types; times and other things in them are stored as text. A secret in the reason is
    masked."""
    connection.execute(
        "INSERT INTO audit (actor, action, target, before, after, reason)"
        " VALUES (%s, %s, %s, %s, %s, %s)",
        (
            actor,
            action,
            target,
            None if before is None else Jsonb(before, dumps=_dumped),
            None if after is None else Jsonb(after, dumps=_dumped),
            None if reason is None else redact(reason),
        ),
    )


def find(
    connection: Connection,
    *,
    target: str | None = None,
    action: str | None = None,
    after: datetime | None = None,
    limit: int = 50,
) -> list[AuditLine]:
    """The last lines that fit, newest first. An action is found by its first word, too."""
    with connection.cursor(row_factory=class_row(AuditLine)) as cursor:
        return cursor.execute(
            """
            SELECT id, at, actor, action, target, before, after, reason FROM audit
            WHERE (%(target)s::text IS NULL OR target = %(target)s)
                AND (%(action)s::text IS NULL OR action = %(action)s
                    OR starts_with(action, %(action)s || ' '))
                AND (%(after)s::timestamptz IS NULL OR at > %(after)s)
            ORDER BY id DESC LIMIT %(limit)s
            """,
            {"target": target, "action": action, "after": after, "limit": limit},
        ).fetchall()


def _dumped(value: Any) -> str:
    return json.dumps(value, default=_as_text)


def _as_text(value: Any) -> str:
    return rfc3339(value) if isinstance(value, datetime) else str(value)
