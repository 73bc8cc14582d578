"""What has to be done every now and then, by whichever daemon comes first."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from vodtender import log
from vodtender.daemon import registration
from vodtender.daemon.lanes import Bell, Gate
from vodtender.errors import DatabaseUnavailable, Locked, SettingsError
from vodtender.pipeline import prune
from vodtender.pipeline.chat_flush import store_left_behind
from vodtender.pipeline.chat_joining import join_due
from vodtender.pipeline.prune import Fate
from vodtender.pipeline.workplace import Workplace
from vodtender.procedures.login_status import overview as overview_of_logins
from vodtender.store import claims, leases, overview, workers

_log = log.get("daemon")


@dataclass(slots=True)
class Chores:
    """The daemon's periodic jobs. Each bears being called at any time."""

    place: Workplace
    gate: Gate
    bell: Bell
    _told: set[str] = field(default_factory=set)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _at_work: int = 0

    def heartbeat(self) -> None:
        """Says that this worker lives, learns whether it is to drain, and lets go of what
        workers that died on this machine have held."""
        place = self.place
        room = place.directory.room()
        with place.database.transaction(timeout_seconds=10) as connection:
            draining = workers.heartbeat(
                connection,
                place.worker_id,
                disk_free_bytes=room.free_bytes,
                disk_total_bytes=room.total_bytes,
                downloads_paused=place.room.why_some_wait(),
            )
            # A worker that stops has taken its row away itself.
            if draining is None and not place.stopping.is_set():
                registration.enter(connection, place)
        if draining:
            self.gate.drain()
        for worker_id in place.directory.dead_workers():
            self._bury(worker_id)

    def prune(self) -> None:
        """Removes local files whose time has come, by one worker per directory."""
        place = self.place
        try:
            with prune.lease(place.database, place.directory, place.worker_id):
                self._prune()
        except (Locked, SettingsError) as error:
            _log.debug("not pruned", why=error.message)
            return
        self.bell.ring()

    def _prune(self) -> None:
        place = self.place
        dry_run = place.settings.retention_dry_run
        for file in prune.prune(
            place.database,
            place.directory,
            prune.by_settings(place.settings),
            actor=place.worker_id,
            dry_run=dry_run,
        ):
            if file.fate is Fate.REMOVED and dry_run:
                _log.info("would be removed", vod=file.vod_id, path=file.path, why=file.why)
        oldest = place.settings.data_cleanup_max_age
        if oldest is not None:
            prune.clean_up(place.database, place.directory, oldest.total_seconds())

    def compact(self) -> None:
        """Keeps the counts short."""
        with self.place.database.transaction() as connection:
            overview.compact_counts(connection)

    def renew_tokens(self) -> None:
        """Renews tokens before they expire."""
        self.place.accounts.renew_due()

    def look_after_logins(self) -> None:
        """Says what a person should know of logins and cookies before it is too late; each
        thing once."""
        found = overview_of_logins(self.place.database, self.place.settings, datetime.now(UTC))
        cookies = found.cookies
        problems = [cookies.problem] if cookies is not None and cookies.problem is not None else []
        for text in (*problems, *found.warnings):
            if text not in self._told:
                _log.warning(text)
            self._told.add(text)

    def look_after_chat(self) -> None:
        """Stores what recorders that died here have left, and gives chats to their VODs."""
        place = self.place
        store_left_behind(place.database, place.directory)
        join_due(place.database, place.settings.vod_reconcile_delay, place.stopping.is_set)

    def guarded(self, chore: Callable[[], None]) -> Callable[[], None]:
        """The same, with the database's absence borne, and mistakes in it contained. Does
        nothing once the daemon stops."""

        def run() -> None:
            with self._changed:
                if self.place.stopping.is_set():
                    return
                self._at_work += 1
            try:
                self._contained(chore)
            finally:
                with self._changed:
                    self._at_work -= 1
                    self._changed.notify_all()

        return run

    def wait(self, seconds: float) -> None:
        """Until those at work are done, or for so long: what hangs in the network holds up no
        stop. Once `stopping` is set none begins."""
        with self._changed:
            self._changed.wait_for(lambda: not self._at_work, seconds)

    def _contained(self, chore: Callable[[], None]) -> None:
        try:
            chore()
        except Exception as error:
            if self.place.stopping.is_set():
                # The database may have been stopped under it: that is no news.
                _log.debug("left off, for it stops", chore=chore.__name__, why=str(error))
            elif isinstance(error, DatabaseUnavailable):
                self.gate.database_failed(error)
            else:
                _log.error("internal error", chore=chore.__name__, exc=error)

    def _bury(self, worker_id: str) -> None:
        with self.place.database.transaction() as connection:
            released = claims.release_all(connection, worker_id)
            leases.release_all(connection, worker_id)
            workers.remove(connection, worker_id)
        with contextlib.suppress(OSError):
            self.place.directory.unregister(worker_id)
        _log.info("a worker has died; its work is free", worker=worker_id, vods=released)
        self.bell.ring()
