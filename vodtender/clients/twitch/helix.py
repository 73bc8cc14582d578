"""Twitch's API (Helix) as far as finding VODs goes: channels, their VODs, who is live.

Reference: https://dev.twitch.tv/docs/api/reference/ and, for the limits,
https://dev.twitch.tv/docs/api/guide/#twitch-rate-limits
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import requests
from urllib3.exceptions import HTTPError

from vodtender.clients import http
from vodtender.clients.retry_after import moment_to_return
from vodtender.clients.twitch import helix_answers as reading
from vodtender.clients.twitch.app_token import (
    AppTokens,
    MemoryTokenCache,
    TokenCache,
    credentials_refused,
)
from vodtender.clients.twitch.helix_answers import Page
from vodtender.errors import Answer, NotFound, RateLimited, Transient
from vodtender.model.discovery import Kind, ListedVod, LiveStream

URL = "https://api.twitch.tv/helix"
PAGE_SIZE = 100
"""The most that Helix gives, and takes, at once."""

_WAIT_WHEN_TOO_FAST = timedelta(minutes=1)
_SHORTEST_PAUSE = timedelta(seconds=1)
_LOGIN = re.compile(r"[a-z0-9_]{1,25}")

_log = logging.getLogger(__name__)


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Helix:
    """Helix for one registered application. Safe to use from several threads.

    Every method may raise, and raises nothing foreign:
        AuthExpired: `twitch_credentials`: the client id and secret are refused.
        RateLimited: until then nothing is sent, whoever asks.
        Transient: trouble there or on the way; a code that starts with `status_` is an
            answer that Helix does not document for what was asked.
    """

    def __init__(
        self,
        client_id: str,
        client_secret: str,
        session: requests.Session | None = None,
        token_cache: TokenCache | None = None,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._client_id = client_id
        self._session = session or http.session()
        cache = MemoryTokenCache() if token_cache is None else token_cache
        self._tokens = AppTokens(client_id, client_secret, self._session, cache)
        self._clock = clock
        self._pause_until: datetime | None = None

    def users(self, logins: Iterable[str]) -> dict[str, str]:
        """User ids by login (lower-case). A login that Twitch does not know is left out."""
        wanted = _logins(logins)
        what = "asking Twitch for the channels' ids"
        found = self._known_users(wanted, what)
        pairs = ((_login_of(e, "login"), reading.identifier(e.get("id"))) for e in found)
        return {login: user_id for login, user_id in pairs if user_id and login in wanted}

    def user_id(self, login: str) -> str:
        """One channel's user id.

        Raises:
            NotFound: there is no such channel, or it is closed.
        """
        user_id = self.users([login]).get(login.lower())
        if user_id is None:
            raise unknown_channel(login)
        return user_id

    def videos(
        self, user_id: str, kind: Kind, after: str | None = None, *, channel: str = ""
    ) -> Page:
        """A page of a channel's VODs of one kind, newest first, from the cursor `after` on.

        `channel` is the login to note where Helix does not name it.

        Raises:
            Transient: also with the code `cursor_refused`: begin without a cursor.
        """
        what = f"asking Twitch for the {kind}s of {channel or user_id}"
        query = {"user_id": user_id, "type": kind, "sort": "time", "first": str(PAGE_SIZE)}
        if after:
            query["after"] = after
        answer = self._get("/videos", query, what)
        if answer.status_code == 400 and after:
            raise Transient(
                f"{what}: Twitch no longer accepts the place in the list where we stopped",
                hint="the next look begins at the newest VOD",
                code="cursor_refused",
            )
        page = reading.page(_document(answer, what), kind, channel, after)
        if page.unreadable:
            _log.warning("%s: %d entries without a VOD id were left out", what, page.unreadable)
        return page

    def pages(
        self, user_id: str, kind: Kind, after: str | None = None, *, channel: str = ""
    ) -> Iterator[Page]:
        """Page after page, each asked for when it is taken. Ends where nothing new comes."""
        seen: set[str] = set()
        cursors = {after}
        while True:
            page = self.videos(user_id, kind, after, channel=channel)
            ids = {video.vod_id for video in page.videos}
            if ids and ids <= seen:
                return
            yield page
            if page.cursor is None or page.cursor in cursors:
                return
            seen |= ids
            cursors.add(page.cursor)
            after = page.cursor

    def video(self, vod_id: str) -> ListedVod | None:
        """One VOD; None when Twitch says that it does not exist (any more)."""
        what = f"asking Twitch for VOD {vod_id}"
        answer = self._get("/videos", {"id": vod_id}, what)
        if answer.status_code == 404 and reading.as_object(answer.content) is not None:
            return None
        data = reading.entries(_document(answer, what)) or []
        found = [v for v in map(reading.video, data) if v and v.vod_id == vod_id]
        if data and not found:
            raise _garbled(what)
        return found[0] if found else None

    def live_streams(self, logins: Iterable[str]) -> dict[str, LiveStream]:
        """The streams on the air now, by login (lower-case). Ask only for channels that
        `users` knows: an answer that leaves one out means that it is not live."""
        wanted = _logins(logins)
        what = "asking Twitch who is live"
        streams: dict[str, LiveStream] = {}
        for some in _hundreds(wanted):
            query = {"user_login": some, "first": str(PAGE_SIZE)}
            document = _document(self._get("/streams", query, what), what)
            for entry in _objects(document):
                streams[_login_of(entry, "user_login")] = reading.stream(entry)
        return {login: stream for login, stream in streams.items() if login in wanted}

    # --- inside ---------------------------------------------------------------------

    def _known_users(self, logins: list[str], what: str) -> list[dict[str, Any]]:
        """Helix refuses a whole request for one login it finds malformed; then the halves
        are asked for, so that only that one is missing."""
        found: list[dict[str, Any]] = []
        pending = _hundreds(logins)
        while pending:
            some = pending.pop()
            answer = self._get("/users", {"login": some}, what)
            if answer.status_code == 400 and reading.as_object(answer.content) is not None:
                half = len(some) // 2
                pending += [part for part in (some[:half], some[half:]) if half]
            else:
                found += _objects(_document(answer, what))
        return found

    def _get(self, path: str, query: dict[str, Any], what: str) -> requests.Response:
        """The answer: a success, or a refusal of what was asked (4xx) for the caller to read."""
        now = self._clock()
        self._respect_pause(now, what)
        token = self._tokens.current(now)
        answer = self._send(path, query, token, what)
        if answer.status_code == 401:  # revoked, or ended before its time
            token = self._tokens.current(now, refused=token)
            answer = self._send(path, query, token, what)
        self._note_limit(answer, now)
        refusal = self._refusal(answer, now, what)
        if refusal is not None:
            raise refusal
        return answer

    def _send(self, path: str, query: dict[str, Any], token: str, what: str) -> requests.Response:
        headers = {
            "Authorization": f"Bearer {token}",
            "Client-Id": self._client_id,
            "Accept": "application/json",
        }
        try:
            return self._session.get(
                URL + path, params=query, headers=headers, allow_redirects=False
            )
        except (OSError, ValueError, HTTPError) as error:
            raise http.answer_for(error, what=what) from error

    def _refusal(self, answer: requests.Response, now: datetime, what: str) -> Answer | None:
        """None for a success and for what the caller has to read."""
        status = answer.status_code
        if status == 429:
            until = self._pause_until or now + _WAIT_WHEN_TOO_FAST
            return RateLimited(f"{what}: Twitch asks for a pause", until=until)
        if status >= 500 or status == 408:
            return Transient(f"{what}: Twitch answered {status}", code="server_error")
        if status in (401, 403) and reading.as_object(answer.content) is not None:
            return credentials_refused(what)
        return None

    def _respect_pause(self, now: datetime, what: str) -> None:
        until = self._pause_until
        if until is not None and now < until:
            raise RateLimited(f"{what}: the limit of Twitch's API is reached", until=until)

    def _note_limit(self, answer: requests.Response, now: datetime) -> None:
        """Remember when to come back, if this answer was the last for now."""
        if answer.status_code != 429 and not _is_used_up(answer):
            return
        server_now = _server_time(answer) or now
        moment = moment_to_return(answer.headers, server_now)
        if moment is not None:  # by Twitch's clock; ours may be another
            self._pause_until = now + max(moment - server_now, _SHORTEST_PAUSE)
        elif answer.status_code == 429:
            self._pause_until = now + _WAIT_WHEN_TOO_FAST


def unknown_channel(login: str) -> NotFound:
    """The error for a login that `users` has left out."""
    return NotFound(
        f"Twitch knows no channel {login[:40]!a}; nothing can be found there",
        hint="correct TWITCH_CHANNELS; a channel that was renamed has a new login",
        code="unknown_channel",
    )


def _logins(logins: Iterable[str]) -> list[str]:
    """Each once, without those that cannot be any."""
    lowered = (login.strip().lower() for login in logins)
    return list(dict.fromkeys(login for login in lowered if _LOGIN.fullmatch(login)))


def _hundreds(logins: list[str]) -> list[list[str]]:
    return [logins[n : n + PAGE_SIZE] for n in range(0, len(logins), PAGE_SIZE)]


def _objects(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [entry for entry in reading.entries(document) or [] if isinstance(entry, dict)]


def _login_of(entry: dict[str, Any], name: str) -> str:
    login = entry.get(name)
    return login.lower() if isinstance(login, str) else ""


def _document(answer: requests.Response, what: str) -> dict[str, Any]:
    """The JSON of a success.

    Raises:
        Transient: it is none, or not one of Helix's.
    """
    document = reading.as_object(answer.content)
    if document is not None and answer.status_code >= 300:
        status = answer.status_code
        raise Transient(f"{what}: Twitch refuses with status {status}", code=f"status_{status}")
    if document is None or reading.entries(document) is None:
        raise _garbled(what)
    return document


def _garbled(what: str) -> Transient:
    return Transient(f"{what}: the answer is not one of Twitch's API", code="garbled")


def _is_used_up(answer: requests.Response) -> bool:
    return answer.headers.get("Ratelimit-Remaining", "").strip() in ("0", "-1")


def _server_time(answer: requests.Response) -> datetime | None:
    try:
        found = parsedate_to_datetime(answer.headers.get("Date", ""))
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
