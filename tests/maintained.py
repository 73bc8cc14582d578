"""A database of one's own, opened past any pooler, with somebody who may do anything in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from vodtender.clients.postgres.server import EmbeddedServer
from vodtender.config.load import load
from vodtender.procedures.direct import Direct, open_direct


@dataclass(frozen=True, slots=True)
class Maintained:
    """`dsn` is our role's, `admin_dsn` the superuser's; empty: nobody has told it."""

    dsn: str
    admin_dsn: str

    def environ(self, **more: str) -> dict[str, str]:
        admin = {"DB_ADMIN_DSN": self.admin_dsn} if self.admin_dsn else {}
        return {"DB_DSN": self.dsn, **admin, **more}

    @contextmanager
    def direct(self, **more: str) -> Iterator[Direct]:
        with open_direct(load(self.environ(**more), None)) as direct:
            yield direct

    def execute(self, *statements: str, admin: bool = False) -> None:
        with psycopg.connect(self.admin_dsn if admin else self.dsn, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def value(self, query: str) -> Any:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            row = connection.execute(query.encode()).fetchone()
        assert row is not None
        return row[0]

    @contextmanager
    def transaction(self, *statements: str, **parameters: Any) -> Iterator[psycopg.Connection]:
        """One that stays open for as long as the block."""
        with psycopg.connect(self.dsn, **parameters) as connection:
            for statement in statements:
                connection.execute(statement.encode())
            yield connection
            connection.rollback()


@pytest.fixture
def maintained(
    fresh_database_dsn: str,
    postgres_server: EmbeddedServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Maintained:
    """With the whole schema and no rows."""
    monkeypatch.chdir(tmp_path)
    name = conninfo_to_dict(fresh_database_dsn)["dbname"]
    return Maintained(fresh_database_dsn, make_conninfo(postgres_server.admin_dsn, dbname=name))
