"""Statements that have to wait for each other."""

from __future__ import annotations

import threading
import time
from typing import Any

import psycopg

from vodtender.store.database import Connection

_PATIENCE_SECONDS = 20.0


class Statement:
    """One statement in a thread of its own."""

    def __init__(self, connection: psycopg.Connection[Any], text: str) -> None:
        self._pid = connection.info.backend_pid
        self._failure: BaseException | None = None
        self._done: psycopg.Cursor[Any] | None = None
        self._thread = threading.Thread(target=self._run, args=(connection, text), daemon=True)
        self._thread.start()

    def _run(self, connection: psycopg.Connection[Any], text: str) -> None:
        try:
            self._done = connection.execute(text.encode())
        except psycopg.Error as error:
            self._failure = error

    def wait_until_it_waits(self, observer: Connection) -> None:
        """Until it waits for somebody's lock."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            row = observer.execute(
                "SELECT cardinality(pg_blocking_pids(%s)) > 0 AS waits", (self._pid,)
            ).fetchone()
            if row is not None and row["waits"]:
                return
        raise AssertionError("it does not wait for anybody")

    def join(self) -> psycopg.Cursor[Any]:
        """Its result; raises what it raised."""
        self._thread.join(_PATIENCE_SECONDS)
        assert not self._thread.is_alive(), "it does not end"
        if self._failure is not None:
            raise self._failure
        assert self._done is not None
        return self._done
