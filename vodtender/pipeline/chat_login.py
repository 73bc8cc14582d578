"""Under whose name the chat is read: anybody's, unless a token that may read it is there."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from vodtender import log
from vodtender.clients.twitch import oauth
from vodtender.clients.twitch.irc import ChatLogin
from vodtender.config.settings import DEFAULT_ACCOUNT, Settings
from vodtender.errors import AuthExpired, CredentialsMissing, DatabaseUnavailable, VodtenderError
from vodtender.pipeline.oauth_services import TWITCH
from vodtender.pipeline.renewal import Renewal
from vodtender.pipeline.token_box import TokenBox
from vodtender.store import tokens
from vodtender.store.database import Database

READ, EDIT = "chat:read", "chat:edit"
_CHECKED_SECONDS = 300.0
_LOGIN = "vodtender auth login twitch"
_log = log.get("chat")


@dataclass(frozen=True, slots=True)
class Credentials:
    """What there is to log in with. `source` is `TWITCH_OAUTH_TOKEN`, `auth login` or None;
    `login` None means that the chat is read without a name, and `problem` why, if that is not
    by choice. `warning` is worth knowing and stops nothing."""

    source: str | None
    username: str | None
    scopes: tuple[str, ...]
    login: ChatLogin | None
    problem: str | None
    warning: str | None
    hint: str


_NOBODY = Credentials(None, None, (), None, None, None, "")


class ChatLogins:
    """Looks at the token with Twitch before it is used, and again after a while. To be called
    by several threads is no harm."""

    def __init__(
        self, settings: Settings, database: Database, clock: Callable[[], datetime]
    ) -> None:
        self._settings = settings
        self._database = database
        self._clock = clock
        self._renewal = Renewal(settings, database, TokenBox(settings), clock)
        self._found = _NOBODY
        self._looked_at = float("-inf")
        self._told: set[str] = set()

    def login(self) -> ChatLogin | None:
        """Whom to log in as now. What stands in the way is logged, once."""
        if time.monotonic() - self._looked_at > _CHECKED_SECONDS:
            try:
                self._found = self.look()
                self._looked_at = time.monotonic()
            except VodtenderError as error:
                _log.warning("cannot look at the chat login; reading without it", exc=error)
                return None
        for text in (self._found.problem, self._found.warning):
            if text is not None and text not in self._told:
                self._told.add(text)
                _log.warning(text, hint=self._found.hint)
        return self._found.login

    def look(self) -> Credentials:
        """What there is, and what Twitch says of it.

        Raises:
            Answer: Twitch cannot be asked.
            DatabaseUnavailable: the stored login cannot be had.
        """
        token = self._settings.twitch_oauth_token
        if token is not None:
            return self._judged("TWITCH_OAUTH_TOKEN", token)
        with self._database.transaction() as connection:
            if tokens.get(connection, TWITCH, DEFAULT_ACCOUNT) is None:
                return _NOBODY
        try:
            token = self._renewal.tokens(TWITCH, DEFAULT_ACCOUNT).access_token
        except DatabaseUnavailable:
            raise
        except (AuthExpired, CredentialsMissing) as error:
            return _refused("auth login", error.message, error.hint or _LOGIN)
        return self._judged("auth login", token)

    def _judged(self, source: str, token: str) -> Credentials:
        try:
            identity = oauth.inspect(token, self._clock())
        except AuthExpired:
            why = f"Twitch refuses the chat login of {source}: it has ended or was taken back"
            return _refused(source, why, self._hint(source))
        owner, scopes = identity.account_name, tuple(identity.scopes)
        if owner is None:
            why = f"the chat login of {source} is nobody's: it is an application's token"
            return _refused(source, why, self._hint(source))
        if READ not in scopes:
            why = f"the chat login of {source} lacks the scope {READ}; reading without it"
            return Credentials(source, owner, scopes, None, why, None, self._hint(source))
        return Credentials(
            source,
            owner,
            scopes,
            ChatLogin(owner, token),
            None,
            self._oddity(source, owner, scopes),
            self._hint(source),
        )

    def _oddity(self, source: str, owner: str, scopes: tuple[str, ...]) -> str | None:
        if EDIT not in scopes:
            return f"the chat login of {source} lacks the scope {EDIT}; to read, {READ} is enough"
        named = self._settings.twitch_bot_username
        if source == "TWITCH_OAUTH_TOKEN" and named not in (None, owner):
            return f"TWITCH_BOT_USERNAME is {named}, but TWITCH_OAUTH_TOKEN is {owner}'s"
        return None

    def _hint(self, source: str) -> str:
        if source == "auth login":
            return _LOGIN
        return f"unset TWITCH_OAUTH_TOKEN, then {_LOGIN}"


def _refused(source: str, why: str, hint: str) -> Credentials:
    return Credentials(source, None, (), None, why, None, hint)
