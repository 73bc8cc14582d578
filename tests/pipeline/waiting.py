"""Two things at once, and the moments between: threads, and what database connections wait for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg


class Asking(threading.Thread):
    """Asks for something in a thread; `answer()` is what it got, or its error."""

    def __init__(self, ask: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._ask = ask
        self._answer: Any = None
        self.start()

    def run(self) -> None:
        try:
            self._answer = self._ask()
        except Exception as error:
            self._answer = error

    def answer(self) -> Any:
        self.join(20)
        assert not self.is_alive()
        return self._answer


def wait_for_backends(dsn: str, query: str) -> list[int]:
    """The processes of the database's connections that are in such a state."""
    deadline = time.monotonic() + 20
    with psycopg.connect(dsn, autocommit=True) as connection:
        while True:
            rows = connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
                f" AND pid <> pg_backend_pid() AND {query}"
            ).fetchall()
            if rows:
                return [row[0] for row in rows]
            assert time.monotonic() < deadline
            time.sleep(0.01)


WAITS_FOR_LOCK = "wait_event_type = 'Lock'"
BETWEEN_STATEMENTS = "state = 'idle in transaction'"


def kill(dsn: str, pids: list[int]) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        for pid in pids:
            connection.execute("SELECT pg_terminate_backend(%s)", (pid,))
