"""The YouTube accounts: whose they are, and what they may still upload today."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from vodtender import log
from vodtender.config.settings import Settings
from vodtender.errors import AuthExpired, DatabaseUnavailable, RateLimited
from vodtender.model.quota import pacific_day, project_of
from vodtender.pipeline.oauth_services import SERVICES, YOUTUBE, uploads_wanted
from vodtender.pipeline.renewal import Renewal
from vodtender.pipeline.token_box import TokenBox
from vodtender.store import tokens as store
from vodtender.store import uploads
from vodtender.store.database import Connection, Database, clock

if TYPE_CHECKING:
    from vodtender.clients.youtube.api import YouTube

_log = log.get("accounts")


class Accounts:
    """YouTube by account name. Safe to use from several threads.

    What YouTube says of its day is read by the database's clock, as everything else is: this
    machine's may be hours away from it, and a wait until midnight would end a day late.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._settings = settings
        self._database = database
        self._clock = clock
        self._behind = timedelta(0)
        self._lock = threading.Lock()
        self._clients: dict[str, YouTube] = {}
        self.box = TokenBox(settings)
        self._renewal = Renewal(settings, database, self.box, self._now)

    def name_for(self, channel: str) -> str:
        """The account that a channel's VODs go to."""
        return self._settings.youtube_account(channel)

    def uploads_wanted(self, connection: Connection) -> bool:
        """Whether VODs go to YouTube: as set, else if there is an account to use."""
        wish = self._settings.upload_wish
        return uploads_wanted(self._settings, store.find(connection)) if wish is None else wish

    def youtube(self, account: str) -> YouTube:
        """The account's client. Its tokens are looked up when they are needed."""
        with self._lock:
            if account not in self._clients:
                self._clients[account] = self._client(account)
            return self._clients[account]

    def _client(self, account: str) -> YouTube:
        from vodtender.clients.youtube.api import YouTube

        return YouTube(
            lambda refused: self._renewal.tokens(YOUTUBE, account, refused=refused).access_token,
            clock=self._now,
            on_units=lambda units: self._count(account, units),
            on_limit=lambda answer: self._hold(account, answer),
            upload_cost_units=self._settings.yt_upload_cost_units,
            login=SERVICES[YOUTUBE].login_hint(account),
        )

    def renew_due(self) -> int:
        """Renews all tokens that end soon, Twitch's too; see `Renewal.renew_due`."""
        return self._renewal.renew_due()

    def project(self, connection: Connection, account: str) -> str:
        """The Google project whose quota an account uses."""
        stored = store.get(connection, YOUTUBE, account)
        return project_of((stored.client_id if stored else None) or self._settings.yt_client_id)

    def _hold(self, account: str, answer: RateLimited | AuthExpired) -> None:
        """What YouTube has told one VOD counts for all of the account: none of them asks again
        before the day is over, or somebody has logged in, or a while has passed."""
        if isinstance(answer, AuthExpired):
            until, code = self._now() + self._settings.processing_retry_cooldown, "login"
        elif answer.code == "quota":
            until, code = answer.until, "quota"
        else:
            return
        reason = f"{answer.message}. {answer.hint}" if answer.hint else answer.message
        try:
            with self._database.transaction() as connection:
                uploads.hold_account(connection, account, until, reason, code)
        except DatabaseUnavailable as error:
            _log.warning("the account's wait could not be stored", why=error.message)

    def _now(self) -> datetime:
        """The database's time, as far as it is known."""
        return self._clock() + self._behind

    def _count(self, account: str, units: int) -> None:
        try:
            with self._database.transaction() as connection:
                now = clock(connection)
                self._behind = now - self._clock()
                project = self.project(connection, account)
                uploads.add_units(connection, project, pacific_day(now), units)
        except DatabaseUnavailable as error:
            _log.warning("quota units could not be counted", units=units, why=error.message)
