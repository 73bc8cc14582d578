"""psql on the database of the settings."""

from __future__ import annotations

from collections.abc import Sequence

from vodtender.clients import pg_tools
from vodtender.config.settings import Settings
from vodtender.procedures.direct import open_direct


def open_shell(settings: Settings, arguments: Sequence[str]) -> int:
    """Runs psql until it ends, past any pooler; returns its exit status. The embedded server
    stays up for as long.

    Raises:
        DatabaseUnavailable: it cannot be had.
        Refused: there is no psql.
    """
    with open_direct(settings, migrate=False) as direct:
        with direct.database.transaction() as connection:
            version = connection.info.server_version
        direct.database.close()
        if direct.disk is None:
            tools = pg_tools.psql_for(direct.dsn, version)
        else:
            tools = pg_tools.embedded()
        return pg_tools.hand_over(tools, "psql", arguments, dsn=direct.dsn)
