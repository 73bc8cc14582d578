"""A worker that finds VODs and brings them down, one piece of work at a time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.daemon.keeper import Keeper
from tests.pipeline.publisher import place_for
from tests.sandbox.vods import Vod
from tests.sandbox.world import World
from vodtender.clients.twitch.helix import Helix
from vodtender.pipeline import download
from vodtender.pipeline.discover import Looked, discover
from vodtender.pipeline.work import work_on_next
from vodtender.store.database import Database


class Fetcher(Keeper):
    """One worker. `look` and `fetch` do what the daemon's threads would."""

    def __init__(self, world: World, dsn: str, root: Path, **settings: str) -> None:
        super().__init__(world, dsn, root, **settings)
        self.database = Database(lambda: dsn, pool_size=4)
        self._workers = 0
        self.restart()

    def restart(self, **settings: str) -> None:
        """Another process, with nothing but the database and the disk; the last one is dead."""
        self._workers += 1
        self.sql("UPDATE leases SET expires_at = now() - interval '1 s'")
        self.sql("UPDATE vods SET lease_expires_at = now() - interval '1 s' WHERE worker_id <> ''")
        found = self.settings(**settings)
        helix = None
        if found.twitch_client_id and found.twitch_client_secret:
            helix = Helix(found.twitch_client_id, found.twitch_client_secret)
        self.place = replace(
            place_for(found, self.database, f"worker-{self._workers}"), helix=helix
        )

    def close(self) -> None:
        self.database.close()

    def add(self, vod: Vod) -> Vod:
        """The database knows it."""
        self.sql(
            "INSERT INTO vods (twitch_vod_id, channel, title, date) VALUES (%s, %s, %s, %s)",
            *(vod.id, vod.channel.login, vod.title, vod.published_at),
        )
        return vod

    def new(self, kind: str = "fine", **more: object) -> Vod:
        """A VOD that Twitch has and the database knows."""
        return self.add(self.world.add_vod("alice", kind, **more))

    def look(self, channel: str = "alice") -> Looked:
        return discover(self.place, channel)

    def fetch(self) -> bool:
        """One download, or what takes its place; False if there was none to do."""
        return work_on_next(self.place, download.LANE)
