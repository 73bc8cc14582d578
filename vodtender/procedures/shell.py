"""psql on the database of the settings."""

from __future__ import annotations

from collections.abc import Sequence

from vodtender.clients import psql
from vodtender.config.settings import Settings
from vodtender.procedures.direct import open_direct


def open_shell(settings: Settings, arguments: Sequence[str]) -> int:
    """Runs psql until it ends, past any pooler; returns its exit status. The embedded server
    stays up for as long.

    Raises:
        DatabaseUnavailable: it cannot be had.
        VodtenderError: there is no psql.
    """
    program = psql.find(embedded=settings.dsn is None)
    with open_direct(settings, migrate=False) as direct:
        direct.database.close()  # it was only to see, and to say it better than psql does
        return psql.run(program, direct.dsn, arguments)
