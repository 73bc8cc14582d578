"""The daemon in this very process, on a real database, in the sandbox's world."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from tests.clients.ytdlp.fetches import wait_until
from tests.sandbox.vods import Vod
from tests.sandbox.world import World
from vodtender.config.load import load
from vodtender.config.settings import Settings
from vodtender.daemon import service
from vodtender.daemon.service import RunMode
from vodtender.errors import Exit
from vodtender.procedures import drain
from vodtender.store.database import Database

_SETTINGS = {
    "HTTP_ADDR": "127.0.0.1:0",
    "YT_ENABLED": "0",
    "DISK_RESERVE": "0",
    "DOWNLOAD_BACKOFF_BASE": "100ms",
}
_PATIENCE_SECONDS = 60.0
UNTIL_DONE = RunMode(until_done=True)


class Keeper:
    """A DATA_DIR, a database, and whoever works on them."""

    def __init__(self, world: World, dsn: str, root: Path, **settings: str) -> None:
        self.world = world
        self.dsn = dsn
        self.data = root / "data"
        self._more = settings

    def environ(self, **more: str) -> dict[str, str]:
        return {
            **self.world.settings(youtube=False),
            **_SETTINGS,
            "DB_DSN": self.dsn,
            "DATA_DIR": str(self.data),
            **self._more,
            **more,
        }

    def settings(self, **more: str) -> Settings:
        return load(self.environ(**more))

    def run_until_done(self, **settings: str) -> None:
        """`vodtender run --drain`, to its end."""
        with self.running_until_done(**settings):
            pass

    @contextmanager
    def running_until_done(self, mode: RunMode = UNTIL_DONE, /, **settings: str) -> Iterator[None]:
        """The same, while the block does something; at its end the run is waited for."""
        done = begun(self.environ(**settings), mode)
        yield
        outcome = done.ended()
        if isinstance(outcome, BaseException):
            raise outcome
        assert outcome == Exit.DONE

    # --- what is there ------------------------------------------------------------------

    def sql(self, statement: str, *parameters: Any) -> list[dict[str, Any]]:
        with psycopg.connect(self.dsn, row_factory=dict_row) as connection:
            cursor = connection.execute(statement, parameters or None)
            return [] if cursor.description is None else cursor.fetchall()

    def row(self, vod: Vod | str) -> dict[str, Any]:
        vod_id = vod if isinstance(vod, str) else vod.id
        (row,) = self.sql("SELECT * FROM vods WHERE twitch_vod_id = %s", vod_id)
        return row

    def stages(self) -> dict[str, str]:
        """By VOD."""
        rows = self.sql("SELECT twitch_vod_id, stage FROM vods ORDER BY 1")
        return {row["twitch_vod_id"]: row["stage"] for row in rows}

    def wait_for(self, condition: str, *parameters: Any) -> None:
        """Until a VOD is in this condition."""
        query = f"SELECT FROM vods WHERE {condition} LIMIT 1"
        wait_until(lambda: bool(self.sql(query, *parameters)), _PATIENCE_SECONDS)

    def let_pass(self, interval: str) -> None:
        """All that was noted of VODs was so much earlier."""
        self.sql(
            """
            UPDATE vods SET first_seen_at = first_seen_at - %(i)s::interval,
                length_grew_at = length_grew_at - %(i)s::interval,
                missing_since = missing_since - %(i)s::interval,
                next_try_at = next_try_at - %(i)s::interval
            """.replace("%(i)s", "%s"),
            *[interval] * 4,
        )

    def files(self) -> list[str]:
        """Everything in DATA_DIR that no dot hides, but for work in progress."""
        return sorted(
            path.name
            for path in self.data.iterdir()
            if not path.name.startswith(".") and path.name != "in-progress"
        )

    def file_of(self, vod: Vod) -> Path:
        (path,) = [path for path in self.data.rglob("*") if vod.id in path.name and path.is_file()]
        return path

    def begun(self) -> list[str]:
        """The VODs whose metadata was asked for, in order, each once."""
        asked = self.world.record.matching(host="usher.ttvnw.net")
        return list(dict.fromkeys(Path(one.path).stem for one in asked))


def begun(environ: Mapping[str, str], mode: RunMode = UNTIL_DONE) -> Run:
    """`vodtender run` in this very process, which is much cheaper than one of its own."""
    settings = load(environ)
    run = Run(lambda: service.run(settings, mode))
    run.start()
    return run


@contextmanager
def at_work(environ: Mapping[str, str]) -> Iterator[Run]:
    """The same until the end of the block: then all daemons are told to drain, and this one has
    to end well."""
    run = begun(environ, RunMode())
    try:
        yield run
    finally:
        tell_to_drain(environ["DB_DSN"])
        assert run.ended() == Exit.DONE


def tell_to_drain(dsn: str, worker_id: str | None = None) -> None:
    """One daemon, or all there are."""
    database = Database(lambda: dsn)
    drain.drain(
        database,
        worker_id=worker_id,
        all_workers=worker_id is None,
        actor="op",
        reason=None,
        dry_run=False,
    )
    database.close()


class Run(threading.Thread):
    """Something that ends by itself, in a thread."""

    def __init__(self, work: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self._work = work
        self._outcome: object = None

    def run(self) -> None:
        try:
            self._outcome = self._work()
        except BaseException as error:
            self._outcome = error

    def ended(self, seconds: float = _PATIENCE_SECONDS) -> object:
        """Its result, or its error."""
        self.join(seconds)
        assert not self.is_alive(), f"not ended within {seconds} s"
        return self._outcome
