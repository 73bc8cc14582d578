"""Upload sessions, and what has been spent of YouTube's quota."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from psycopg.rows import class_row

from vodtender.store.database import Connection


@dataclass(frozen=True, slots=True)
class Upload:
    """One part's upload. `session_uri` is sealed; without a `video_id` it is not finished.

    `size_bytes` is the part's, `sha256` that of the VOD's file. `sent_bytes` is the size as soon
    as the chunk that can complete the upload was begun, and 0 before.
    """

    vod_id: int
    part: int
    parts: int
    account: str
    project: str
    marker: str
    session_uri: str | None
    size_bytes: int
    sha256: str | None
    sent_bytes: int
    opened_at: datetime
    video_id: str | None


@dataclass(frozen=True, slots=True)
class Spent:
    """What a project has used of a day."""

    units: int
    uploads: int
    backfill_uploads: int
    last_upload_at: datetime | None


@dataclass(frozen=True, slots=True)
class AccountHold:
    """Until when an account's uploads wait, and why."""

    account: str
    held_until: datetime
    reason: str
    code: str


def of_vod(connection: Connection, vod_id: int) -> list[Upload]:
    """The uploads of one VOD, by part."""
    with connection.cursor(row_factory=class_row(Upload)) as cursor:
        return cursor.execute(
            "SELECT vod_id, part, parts, account, project, marker, session_uri, size_bytes,"
            " sha256, sent_bytes, opened_at, video_id FROM uploads"
            " WHERE vod_id = %s ORDER BY part",
            (vod_id,),
        ).fetchall()


def put(connection: Connection, upload: Upload) -> None:
    """Stores an upload, in place of an earlier one of the same part and of all that belong to
    another division into parts."""
    connection.execute(
        "DELETE FROM uploads WHERE vod_id = %s AND (part = %s OR parts <> %s)",
        (upload.vod_id, upload.part, upload.parts),
    )
    connection.execute(
        "INSERT INTO uploads (vod_id, part, parts, account, project, marker, session_uri,"
        " size_bytes, sha256, sent_bytes, opened_at, video_id)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            upload.vod_id,
            upload.part,
            upload.parts,
            upload.account,
            upload.project,
            upload.marker,
            upload.session_uri,
            upload.size_bytes,
            upload.sha256,
            upload.sent_bytes,
            upload.opened_at,
            upload.video_id,
        ),
    )


def note_last(connection: Connection, vod_id: int, part: int) -> None:
    """The chunk that can complete the upload is about to be sent."""
    connection.execute(
        "UPDATE uploads SET sent_bytes = size_bytes WHERE vod_id = %s AND part = %s",
        (vod_id, part),
    )


def finish(connection: Connection, vod_id: int, part: int, video_id: str) -> None:
    """The part is on YouTube; its session is of no more use."""
    connection.execute(
        "UPDATE uploads SET video_id = %s, session_uri = NULL, sent_bytes = size_bytes"
        " WHERE vod_id = %s AND part = %s",
        (video_id, vod_id, part),
    )


def forget(connection: Connection, vod_id: int, part: int | None = None) -> None:
    """Drops one part's session, or all of a VOD: the next upload opens a new one."""
    connection.execute(
        "DELETE FROM uploads WHERE vod_id = %s AND (%s::integer IS NULL OR part = %s)",
        (vod_id, part, part),
    )


# --- quota ------------------------------------------------------------------------------


def record_attempt(
    connection: Connection,
    *,
    now: datetime,
    quota_day: date,
    project: str,
    account: str,
    twitch_vod_id: str,
    part: int,
    backfill: bool,
) -> None:
    """An upload is about to begin. Whatever comes of it, it counts."""
    connection.execute(
        "INSERT INTO upload_attempts (at, quota_day, project, account, vod_id, part, backfill)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s)",
        (now, quota_day, project, account, twitch_vod_id, part, backfill),
    )


def lock_project(connection: Connection, project: str) -> None:
    """One decision at a time about a project's quota, until the transaction ends."""
    connection.execute("SELECT pg_advisory_xact_lock(hashtext('quota ' || %s))", (project,))


def add_units(connection: Connection, project: str, quota_day: date, units: int) -> None:
    """Counts units of the API's quota."""
    connection.execute(
        """
        INSERT INTO quota_usage AS used (project, quota_day, units) VALUES (%s, %s, %s)
        ON CONFLICT (project, quota_day) DO UPDATE SET units = used.units + excluded.units
        """,
        (project, quota_day, units),
    )


def spent(
    connection: Connection, project: str | None, quota_day: date, *, not_for: str | None = None
) -> Spent:
    """What a project, or all of them, used of a day; the last upload is that of another VOD than
    `not_for`, so that a second try need not wait for the first."""
    row = connection.execute(
        """
        SELECT
            (SELECT coalesce(sum(units), 0)::bigint FROM quota_usage
                WHERE quota_day = %(day)s
                AND (%(project)s::text IS NULL OR project = %(project)s)) AS units,
            count(*) AS uploads,
            count(*) FILTER (WHERE backfill) AS backfill_uploads,
            max(at) FILTER (WHERE vod_id IS DISTINCT FROM %(not_for)s) AS last_upload_at
        FROM upload_attempts
        WHERE quota_day = %(day)s AND (%(project)s::text IS NULL OR project = %(project)s)
        """,
        {"day": quota_day, "project": project, "not_for": not_for},
    ).fetchone()
    assert row is not None
    return Spent(row["units"], row["uploads"], row["backfill_uploads"], row["last_upload_at"])


def hold_account(
    connection: Connection, account: str, until: datetime, reason: str, code: str
) -> None:
    """An account's uploads wait."""
    connection.execute(
        """
        INSERT INTO upload_holds (account, held_until, reason, code) VALUES (%s, %s, %s, %s)
        ON CONFLICT (account) DO UPDATE SET held_until = excluded.held_until,
            reason = excluded.reason, code = excluded.code
        """,
        (account, until, reason, code),
    )


def holds(connection: Connection) -> list[AccountHold]:
    """The accounts that wait at the moment."""
    with connection.cursor(row_factory=class_row(AccountHold)) as cursor:
        return cursor.execute(
            "SELECT account, held_until, reason, code FROM upload_holds"
            " WHERE held_until > now() ORDER BY account"
        ).fetchall()


def release_holds(connection: Connection, account: str | None = None) -> None:
    """Ends the wait of one account, or of all."""
    connection.execute(
        "DELETE FROM upload_holds WHERE %(account)s::text IS NULL OR account = %(account)s",
        {"account": account},
    )
