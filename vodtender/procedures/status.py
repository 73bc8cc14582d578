"""What is going on: one document, for the screen, for programs and for `/status`."""

from __future__ import annotations

from typing import Any

from vodtender.config.settings import Settings
from vodtender.errors import DatabaseUnavailable
from vodtender.store.database import Database


def document(database: Database, _settings: Settings) -> dict[str, Any]:
    """The whole status. Raises DatabaseUnavailable."""
    with database.transaction(timeout_seconds=10):
        return {"queue_depth": 0}


def unavailable(error: DatabaseUnavailable) -> dict[str, Any]:
    """The same keys while the database is away."""
    return {"queue_depth": 0, "database": {"ok": False, "error": error.message}}
