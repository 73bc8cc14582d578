"""Every way in which vodtender can fail, in its own words.

Two families. *Answers* are what the outside world said, boiled down at the edge
(`clients/`) to the five cases the pipeline can act on. *Refusals* are what an operator
meets: each carries the exit status, a hint that can be typed, and the runbook page.

No message here ever holds a secret: whoever raises one passes only what may be logged.
"""

from __future__ import annotations

from datetime import datetime
from enum import IntEnum


class Exit(IntEnum):
    """Exit statuses, as documented for scripts that call vodtender."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    PARTLY = 3
    CREDENTIALS = 4
    DATABASE = 5
    REFUSED = 6
    NOT_FOUND = 7
    LOCKED = 8
    INTERRUPTED = 130


class VodtenderError(Exception):
    """Base of everything vodtender raises on purpose.

    `message` says what happened and what it means, `hint` what to type next,
    `runbook` the page under `runbooks/` (without `.md`).
    """

    exit: Exit = Exit.FAILED
    code: str = "failed"

    def __init__(
        self, message: str, *, hint: str = "", runbook: str = "", code: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.runbook = runbook
        if code is not None:
            self.code = code


# --- Answers: what the outside world said ---------------------------------------------


class Answer(VodtenderError):
    """An outside service's failure, already classified by status code and typed fields."""


class Transient(Answer):
    """Try again later with backoff; the circuit breaker counts it."""

    code = "transient"


class RateLimited(Answer):
    """Wait until `until` (UTC); the circuit breaker does not count it."""

    code = "rate_limited"

    def __init__(
        self, message: str, *, until: datetime, hint: str = "", code: str = "rate_limited"
    ) -> None:
        super().__init__(message, hint=hint, code=code)
        self.until = until


class AuthExpired(Answer):
    """Credentials are refused: that service pauses until a person renews them."""

    exit = Exit.CREDENTIALS
    code = "auth_expired"


class Rejected(Answer):
    """Never this VOD again, unless an operator changes something."""

    code = "rejected"


class Uncertain(Answer):
    """The request may have taken effect. Never repeat it blindly: ask first."""

    code = "uncertain"


class Stopped(VodtenderError):
    """Work in hand was ended on request (shutdown, cancel, lost lease). Not a failure."""

    exit = Exit.INTERRUPTED
    code = "stopped"


# --- Refusals: what an operator meets ---------------------------------------------------


class SettingsError(VodtenderError):
    """A setting is unknown, of the wrong type, impossible, or contradicts another."""

    exit = Exit.USAGE
    code = "settings"


class UsageError(VodtenderError):
    """The command line makes no sense."""

    exit = Exit.USAGE
    code = "usage"


class PartlyDone(VodtenderError):
    """Some of what was asked was done; the message lists what was not."""

    exit = Exit.PARTLY
    code = "partly_done"


class CredentialsMissing(VodtenderError):
    """No usable credentials are stored or set for what was asked."""

    exit = Exit.CREDENTIALS
    code = "credentials_missing"


class DatabaseUnavailable(VodtenderError):
    """The database cannot be reached, is not ours, or belongs to a newer vodtender."""

    exit = Exit.DATABASE
    code = "database_unavailable"


class Refused(VodtenderError):
    """Not confirmed, or not safe now. Nothing was changed."""

    exit = Exit.REFUSED
    code = "refused"


class NotFound(VodtenderError):
    """No such VOD, account, page …"""

    exit = Exit.NOT_FOUND
    code = "not_found"


class Locked(VodtenderError):
    """Somebody else holds the lock."""

    exit = Exit.LOCKED
    code = "locked"


class LeaseLost(VodtenderError):
    """This worker no longer owns what it was working on; it must write nothing more."""

    code = "lease_lost"
