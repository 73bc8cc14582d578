"""What every piece of work needs at hand."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vodtender import log
from vodtender.clients.ytdlp.workdir import discard
from vodtender.config.settings import Settings
from vodtender.errors import Locked, VodtenderError
from vodtender.model.backoff import Backoff
from vodtender.model.breaker import BreakerPolicy
from vodtender.model.settlement import Policy
from vodtender.model.vod import Vod
from vodtender.pipeline.accounts import Accounts
from vodtender.pipeline.bandwidth import Bandwidth
from vodtender.pipeline.directory import DataDirectory
from vodtender.pipeline.intact import IntactFiles
from vodtender.pipeline.room import DownloadRoom
from vodtender.store.database import Database

if TYPE_CHECKING:
    from vodtender.clients.twitch.helix import Helix

_NEWS_SECONDS = 60.0
_log = log.get("workplace")


@dataclass(frozen=True, slots=True)
class Workplace:
    """One worker's: its name, where it keeps files, and the settings as policies.

    `stopping` is set when work in hand is to be brought to a safe point and ended. `at_work`
    are the rows of the VODs that its lanes have not done with, storing and clearing up included.
    """

    settings: Settings
    database: Database
    directory: DataDirectory
    worker_id: str
    accounts: Accounts
    room: DownloadRoom
    helix: Helix | None = None
    intact: IntactFiles = field(default_factory=IntactFiles)
    stopping: threading.Event = field(default_factory=threading.Event)
    bandwidth: Bandwidth = field(default_factory=Bandwidth)
    at_work: set[int] = field(default_factory=set)
    chance: random.Random = field(default_factory=random.Random)
    _told: dict[str, float] = field(default_factory=dict)

    def is_gone(self, twitch_vod_id: str) -> bool | None:
        """Whether Twitch's API says, too, that there is no such VOD; None: it cannot be asked."""
        if self.helix is None:
            return None
        try:
            return self.helix.video(twitch_vod_id) is None
        except VodtenderError:
            return None

    def is_news(self, what: str) -> bool:
        """Whether it has not been said in the last minute: what lasts is not said each time
        somebody looks."""
        now = time.monotonic()
        if now - self._told.get(what, -_NEWS_SECONDS) < _NEWS_SECONDS:
            return False
        self._told[what] = now
        return True

    def drop_work(self, vod: Vod) -> None:
        """Removes a VOD's work directory, unless somebody works in it again."""
        try:
            discard(self.directory.work(vod.twitch_vod_id))
        except (Locked, OSError) as error:
            _log.debug("work directory stays", vod=vod.twitch_vod_id, why=str(error))

    @property
    def policy(self) -> Policy:
        """What decisions depend on."""
        settings = self.settings
        return Policy(
            download=Backoff(
                settings.download_max_attempts,
                settings.download_backoff_base,
                settings.processing_retry_cooldown,
            ),
            upload=Backoff(
                settings.upload_max_attempts,
                settings.upload_backoff_base,
                settings.processing_retry_cooldown,
            ),
            absence_wait=settings.upload_absence_wait,
        )

    @property
    def breaker_policy(self) -> BreakerPolicy:
        """When a channel is halted, and for how long."""
        return BreakerPolicy(
            self.settings.circuit_failure_threshold, self.settings.circuit_open_cooldown
        )
