"""Changes the key under which secrets are stored: all of them in one transaction, or none.

The new key is ENCRYPTION_KEY, the one before it OLD_ENCRYPTION_KEY. Whoever has both reads
both, so nothing stands still between the change of the settings and this, and what a process
with the old key alone still writes can be sealed anew by doing this again.
"""

from __future__ import annotations

from dataclasses import dataclass

from vodtender.config.settings import Settings
from vodtender.pipeline.oauth_services import SERVICES
from vodtender.pipeline.token_box import TokenBox
from vodtender.procedures.change import Change
from vodtender.procedures.login import target
from vodtender.store import audit, tokens, workers
from vodtender.store.database import Connection, Database

_WAIT_SECONDS = 150.0
"""Longer than a renewal may hold its row."""


@dataclass(frozen=True, slots=True)
class Rekeyed:
    """What was sealed anew, and the daemons that run and may not know the new key."""

    changes: list[Change]
    workers: tuple[str, ...]


def rekey(
    database: Database, settings: Settings, *, actor: str, reason: str | None, dry_run: bool
) -> Rekeyed:
    """Seals every login and every upload session under ENCRYPTION_KEY; without one, stores
    them readable.

    Raises:
        CredentialsMissing: one of them cannot be opened, so none was changed.
    """
    box = TokenBox(settings)
    with database.transaction(
        actor=actor, keep=not dry_run, timeout_seconds=_WAIT_SECONDS
    ) as connection:
        logins, sessions = tokens.lock_all(connection)
        changes = [_login(connection, box, row) for row in logins]
        changes += [_session(connection, box, session) for session in sessions]
        done = [change for change in changes if change.changed]
        if done:
            audit.record(
                connection,
                actor=actor,
                action="auth rekey",
                target="secrets",
                before={change.target: change.before["key"] for change in done},
                after={change.target: change.after["key"] for change in done},
                reason=reason,
            )
        alive = workers.find(connection, heard_within_seconds=settings.lease_seconds)
    return Rekeyed(changes, tuple(worker.worker_id for worker in alive))


def _login(connection: Connection, box: TokenBox, row: tokens.StoredTokens) -> Change:
    is_current = box.is_current(row)
    change = _change(
        target(SERVICES[row.provider], row.account), box, is_current, plain=box.is_plain(row)
    )
    if not is_current:
        tokens.reseal(connection, row.provider, row.account, box.reseal(row))
    return change


def _session(connection: Connection, box: TokenBox, session: tokens.SealedSession) -> Change:
    is_current = box.is_current_session(session)
    name = f"upload session of VOD {session.twitch_vod_id}, part {session.part}"
    change = _change(name, box, is_current, plain=box.is_plain_session(session))
    if not is_current:
        tokens.reseal_session(connection, session, box.reseal_session(session))
    return change


def _change(name: str, box: TokenBox, is_current: bool, *, plain: bool) -> Change:
    after = "ENCRYPTION_KEY" if box.encrypts else None
    before = None if plain else "OLD_ENCRYPTION_KEY"
    if is_current:
        return Change(name, {"key": after}, {"key": after}, note="nothing to do")
    return Change(name, {"key": before}, {"key": after})
