"""Hears NOTIFY from the database, so that an operator's edit takes effect at once.

Where LISTEN is not to be had (a pooler in transaction mode lets it pass and stays silent), the
lanes' polling does the same a few seconds later.
"""

from __future__ import annotations

import threading

from psycopg import sql

from vodtender import log
from vodtender.daemon.lanes import Bell
from vodtender.errors import DatabaseUnavailable
from vodtender.store.database import CHANNEL, Database, connect, translated

_RETRY_SECONDS = 10.0
_CHECK_SECONDS = 1.0
_log = log.get("daemon")


class Listener(threading.Thread):
    """Rings the bell for each notification."""

    def __init__(self, database: Database, bell: Bell) -> None:
        super().__init__(name="listener", daemon=True)
        self._database = database
        self._bell = bell
        self.failure: BaseException | None = None
        self._stopping = threading.Event()

    def run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._listen_while_it_goes()
        except BaseException as error:
            self.failure = error

    def stop(self) -> None:
        """Ends within a second."""
        self._stopping.set()

    def _listen_while_it_goes(self) -> None:
        try:
            self._listen()
        except DatabaseUnavailable as error:
            _log.debug("not listening", why=error.message)
            self._stopping.wait(_RETRY_SECONDS)

    def _listen(self) -> None:
        with translated(), connect(self._database.dsn, autocommit=True) as connection:
            connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(CHANNEL)))
            while not self._stopping.is_set():
                for _ in connection.notifies(timeout=_CHECK_SECONDS, stop_after=1):
                    self._bell.ring()
