"""psql on the database of the settings."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from vodtender.clients import psql
from vodtender.config.settings import Settings
from vodtender.procedures.opening import open_embedded


def open_shell(settings: Settings, arguments: Sequence[str]) -> int:
    """Runs psql until it ends, past any pooler; returns its exit status. The embedded server
    stays up for as long.

    Raises:
        DatabaseUnavailable: the embedded server cannot be had.
        VodtenderError: there is no psql.
    """
    with ExitStack() as stack:
        embedded = open_embedded(settings, stack)
        dsn = settings.direct_dsn or "" if embedded is None else embedded.dsn
        return psql.run(psql.find(embedded=embedded is not None), dsn, arguments)
