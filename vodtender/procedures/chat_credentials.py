"""Whom the chat is read as, looked at with Twitch."""

from __future__ import annotations

from datetime import UTC, datetime

from vodtender.config.settings import Settings
from vodtender.errors import Answer
from vodtender.pipeline.chat_login import ChatLogins, Credentials
from vodtender.store.database import Database


def look(settings: Settings, database: Database) -> Credentials:
    """What there is, and what Twitch says of it; that it cannot be asked is a problem, too.
    Raises DatabaseUnavailable."""
    logins = ChatLogins(settings, database, lambda: datetime.now(UTC))
    try:
        return logins.look()
    except Answer as error:
        return Credentials(None, None, (), None, error.message, None, error.hint)
