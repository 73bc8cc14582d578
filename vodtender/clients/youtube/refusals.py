"""What Google's error answers mean.

Read are the status and the typed fields: `error.errors[].reason` and, in newer answers,
`error.details[]` with an `ErrorInfo`; never the message.

Sources: https://developers.google.com/youtube/v3/docs/errors,
https://developers.google.com/youtube/v3/docs/videos/insert#errors and, for `ErrorInfo`,
https://cloud.google.com/apis/design/errors#error_info.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from vodtender.clients.retry_after import moment_to_return
from vodtender.errors import Answer, AuthExpired, RateLimited, Rejected, Transient
from vodtender.model.quota import ask_again_at, is_beginning, next_reset

SCOPE = "https://www.googleapis.com/auth/youtube"

_QUOTA = frozenset({"quotaExceeded", "dailyLimitExceeded", "dailyLimitExceededUnreg"})
_TOO_FAST = frozenset(
    {
        "rateLimitExceeded",
        "userRateLimitExceeded",
        "rateLimitExceededUnreg",
        "userRateLimitExceededUnreg",
        "uploadRateLimitExceeded",
        "concurrentLimitExceeded",
        "servingLimitExceeded",
        "RATE_LIMIT_EXCEEDED",
    }
)
_DEAD_TOKEN = frozenset({"authError", "invalid_grant", "invalid_token", "ACCESS_TOKEN_EXPIRED"})
_TROUBLE_THERE = frozenset({"backendError", "internalError", "SERVICE_UNAVAILABLE"})

_WAIT_WHEN_TOO_FAST = timedelta(minutes=1)
LOGIN = "vodtender auth login youtube"
"""What to type for the default account."""

# reasons, our code, what it means, what to do with `login` to type
_PERSON_NEEDED: tuple[tuple[frozenset[str], str, str, str], ...] = (
    (
        frozenset({"insufficientPermissions", "ACCESS_TOKEN_SCOPE_INSUFFICIENT"}),
        "scope_missing",
        f"the stored token lacks the scope {SCOPE}",
        f"set YT_SCOPES={SCOPE} (or leave it unset) and type: {{login}}",
    ),
    (
        frozenset({"accessNotConfigured", "SERVICE_DISABLED"}),
        "api_disabled",
        "the YouTube Data API v3 is not enabled in the Google project",
        "enable it in the Google Cloud console under APIs & Services",
    ),
    (
        frozenset({"youtubeSignupRequired"}),
        "no_channel",
        "the Google account has no YouTube channel",
        "create the channel on youtube.com, or log in with another account: {login}",
    ),
    (
        frozenset(
            {
                "accountClosed",
                "accountSuspended",
                "authenticatedUserAccountClosed",
                "authenticatedUserAccountSuspended",
                "channelClosed",
                "channelSuspended",
            }
        ),
        "account_closed",
        "YouTube says that the account is suspended or closed",
        "see youtube.com with that account",
    ),
)


@dataclass(frozen=True, slots=True)
class _Said:
    """The typed content of an error answer."""

    is_json: bool
    reasons: tuple[str, ...]
    is_daily: bool

    def has(self, wanted: frozenset[str]) -> bool:
        return not wanted.isdisjoint(self.reasons)


def refusal(
    status: int,
    headers: Mapping[str, str],
    content: bytes,
    *,
    now: datetime,
    what: str,
    login: str = LOGIN,
) -> Answer:
    """The answer to raise for a response that is not a success. `what` names the request,
    `login` is the command that logs its account in."""
    said = _read(content)
    return (
        _limit(status, headers, said, now, what)
        or _trouble(status, said, what)
        or _credentials(status, said, what, login)
        or _never(status, said, what)
    )


def reasons(content: bytes) -> tuple[str, ...]:
    """Google's reasons in an error answer; none if it cannot be read."""
    return _read(content).reasons


def _limit(
    status: int, headers: Mapping[str, str], said: _Said, now: datetime, what: str
) -> RateLimited | None:
    if said.has(_QUOTA) or said.is_daily:
        hint = "uploads go on by themselves after midnight Pacific time"
        if is_beginning(now):
            hint = "the day has only begun there, so it is asked again soon"
        return RateLimited(
            f"{what}: YouTube answers with the error quotaExceeded: quota exceeded, this Google "
            "project has used up its day",
            until=ask_again_at(now),
            hint=hint,
            code="quota",
        )
    if "uploadLimitExceeded" in said.reasons:
        return RateLimited(
            f"{what}: YouTube answers with the error uploadLimitExceeded: the channel's own upload "
            "quota is used up",
            until=next_reset(now),
            hint="uploads go on by themselves; a verified channel may upload more",
            code="quota",
        )
    if status == 429 or said.has(_TOO_FAST):
        until = moment_to_return(headers, now) or now + _WAIT_WHEN_TOO_FAST
        return RateLimited(f"{what}: YouTube asks for a pause", until=until)
    return None


def _trouble(status: int, said: _Said, what: str) -> Transient | None:
    if status >= 500 or status in (408, 409) or said.has(_TROUBLE_THERE):
        return Transient(f"{what}: YouTube answered {status}", code="server_error")
    if not said.is_json and status != 401:
        # Google's API always explains itself; a bare answer comes from something in between.
        return Transient(f"{what}: an unreadable answer with status {status}", code="garbled")
    return None


def _credentials(status: int, said: _Said, what: str, login: str) -> AuthExpired | None:
    for wanted, code, meaning, hint in _PERSON_NEEDED:
        if said.has(wanted):
            return AuthExpired(f"{what}: {meaning}", hint=hint.format(login=login), code=code)
    if status == 401 or said.has(_DEAD_TOKEN):
        meaning = "YouTube no longer accepts the stored token"
        return AuthExpired(f"{what}: {meaning}", hint=f"type: {login}")
    if "forbidden" in said.reasons or (status == 403 and not said.reasons):
        meaning, hint = "the account may not do this", f"check the account, then: {login}"
        return AuthExpired(f"{what}: {meaning}", hint=hint, code="forbidden")
    return None


def _never(status: int, said: _Said, what: str) -> Rejected:
    reason = said.reasons[0] if said.reasons else f"status_{status}"
    return Rejected(
        f"{what}: YouTube refuses it for good ({reason})",
        hint="correct what it names, then: vodtender retry VOD",
        code=_snake(reason),
    )


def _snake(reason: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", reason).lower())


def _read(content: bytes) -> _Said:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return _Said(is_json=False, reasons=(), is_daily=False)
    error = document.get("error") if isinstance(document, dict) else None
    if isinstance(error, str):  # OAuth's own form (RFC 6749, section 5.2)
        return _Said(is_json=True, reasons=(error,), is_daily=False)
    if not isinstance(error, dict):
        return _Said(is_json=False, reasons=(), is_daily=False)
    found: list[str] = []
    is_daily = False
    for entry in _objects(error.get("errors")) + _objects(error.get("details")):
        reason = entry.get("reason")
        if isinstance(reason, str) and reason and len(reason) <= 100:
            found.append(reason)
        metadata = entry.get("metadata")
        unit = metadata.get("quota_unit") if isinstance(metadata, dict) else None
        # "1/d/{project}" is a limit per day, "1/min/{project}/{user}" one per minute.
        is_daily = is_daily or (isinstance(unit, str) and "/d/" in unit)
    return _Said(is_json=True, reasons=tuple(found), is_daily=is_daily)


def _objects(value: object) -> list[dict[str, Any]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []
