"""What is kept sealed: OAuth tokens, and the addresses of open uploads. What the texts say is
none of the database's business."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from vodtender.store.database import Connection

_COLUMNS = (
    "provider, account, access_token, refresh_token, client_secret, client_id, expires_at,"
    " scopes, owner_id, owner_name, problem, updated_at"
)


@dataclass(frozen=True, slots=True)
class StoredTokens:
    """One row of `oauth_tokens`. The first three texts are sealed."""

    provider: str
    account: str
    access_token: str
    refresh_token: str | None
    client_secret: str | None
    client_id: str | None
    expires_at: datetime | None
    scopes: str
    owner_id: str | None
    owner_name: str | None
    problem: str | None
    updated_at: datetime | None = None


def get(
    connection: Connection, provider: str, account: str, *, lock: bool = False
) -> StoredTokens | None:
    """One account's tokens; with `lock` nobody else renews them until the transaction ends."""
    ending = " FOR UPDATE" if lock else ""
    with connection.cursor(row_factory=class_row(StoredTokens)) as cursor:
        return cursor.execute(
            f"SELECT {_COLUMNS} FROM oauth_tokens WHERE provider = %s AND account = %s{ending}",
            (provider, account),
        ).fetchone()


def find(connection: Connection) -> list[StoredTokens]:
    """All accounts."""
    with connection.cursor(row_factory=class_row(StoredTokens)) as cursor:
        return cursor.execute(
            f"SELECT {_COLUMNS} FROM oauth_tokens ORDER BY provider, account"
        ).fetchall()


def put(connection: Connection, tokens: StoredTokens) -> None:
    """Stores an account's tokens; what had been wrong with earlier ones is forgotten unless
    `tokens.problem` says otherwise."""
    connection.execute(
        f"""
        INSERT INTO oauth_tokens ({_COLUMNS})
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, now())
        ON CONFLICT (provider, account) DO UPDATE SET
            access_token = excluded.access_token, refresh_token = excluded.refresh_token,
            client_secret = excluded.client_secret, client_id = excluded.client_id,
            expires_at = excluded.expires_at, scopes = excluded.scopes,
            owner_id = excluded.owner_id, owner_name = excluded.owner_name,
            problem = excluded.problem, updated_at = now()
        """,
        (
            tokens.provider,
            tokens.account,
            tokens.access_token,
            tokens.refresh_token,
            tokens.client_secret,
            tokens.client_id,
            tokens.expires_at,
            tokens.scopes,
            tokens.owner_id,
            tokens.owner_name,
            tokens.problem,
        ),
    )


def set_problem(connection: Connection, provider: str, account: str, problem: str) -> None:
    """The service no longer accepts them."""
    connection.execute(
        "UPDATE oauth_tokens SET problem = %s WHERE provider = %s AND account = %s",
        (problem, provider, account),
    )


def remove(connection: Connection, provider: str, account: str) -> bool:
    """Forgets an account; whether there was one."""
    return bool(
        connection.execute(
            "DELETE FROM oauth_tokens WHERE provider = %s AND account = %s", (provider, account)
        ).rowcount
    )


def release_waiting(connection: Connection) -> int:
    """After a login: what waited for one goes on at once. Returns how many VODs did."""
    connection.execute("DELETE FROM upload_holds WHERE code = 'login'")
    return connection.execute(
        "UPDATE vods SET problem = NULL, problem_code = NULL, waiting_for = NULL,"
        " next_try_at = NULL WHERE waiting_for = 'login'"
    ).rowcount


@dataclass(frozen=True, slots=True)
class SealedSession:
    """The sealed address of an upload that is not finished."""

    vod_id: int
    twitch_vod_id: str
    part: int
    session_uri: str


def lock_all(connection: Connection) -> tuple[list[StoredTokens], list[SealedSession]]:
    """Everything sealed, kept from everybody else until the transaction ends."""
    with connection.cursor(row_factory=class_row(StoredTokens)) as cursor:
        accounts = cursor.execute(
            f"SELECT {_COLUMNS} FROM oauth_tokens ORDER BY provider, account FOR UPDATE"
        ).fetchall()
    with connection.cursor(row_factory=class_row(SealedSession)) as cursor:
        sessions = cursor.execute(
            "SELECT vod_id, twitch_vod_id, part, session_uri FROM uploads"
            " JOIN vods ON vods.id = vod_id WHERE session_uri IS NOT NULL"
            " ORDER BY vod_id, part FOR UPDATE OF uploads"
        ).fetchall()
    return accounts, sessions


def reseal(
    connection: Connection,
    provider: str,
    account: str,
    sealed: tuple[str | None, str | None, str | None],
) -> None:
    """The same texts under another key: access token, refresh token, client secret."""
    connection.execute(
        "UPDATE oauth_tokens SET access_token = %s, refresh_token = %s, client_secret = %s"
        " WHERE provider = %s AND account = %s",
        (*sealed, provider, account),
    )


def reseal_session(connection: Connection, session: SealedSession, sealed: str) -> None:
    """The same address under another key."""
    connection.execute(
        "UPDATE uploads SET session_uri = %s WHERE vod_id = %s AND part = %s",
        (sealed, session.vod_id, session.part),
    )
