"""The cookies file with which Twitch knows a viewer: read, judged, installed.

The form is Netscape's, as browsers' extensions and yt-dlp write it: seven fields between tabs.
The file is read for each fetch, so an installed one counts at once; nobody writes into it but
`install`. No message here holds a cookie's value.
Source: https://curl.se/docs/http-cookies.html
"""

from __future__ import annotations

import errno
import math
import os
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from vodtender.clients.fsync import sync_directory
from vodtender.errors import SettingsError, UsageError

AUTH_COOKIE = "auth-token"
"""The cookie that yt-dlp sends to Twitch as its login."""
OLD_AFTER = timedelta(days=30)
"""The runbook: "Keep cookies fresh (< 30 days old)"."""
_ENDS_SOON = timedelta(days=7)
_MOUNTED = frozenset({errno.EROFS, errno.EBUSY, errno.EACCES, errno.EXDEV})
_HTTP_ONLY = "#HttpOnly_"
_FIELDS = 7
_LARGEST_BYTES = 4 << 20
_HINT = "vodtender auth import cookies FILE"


@dataclass(frozen=True, slots=True)
class Cookies:
    """A cookies file that yt-dlp understands. `text` is secret."""

    text: str
    count: int
    """How many cookies are Twitch's."""
    has_login: bool
    """Whether one of them is `auth-token`."""
    expires_at: datetime | None
    """When `auth-token` ends; None: at no known time."""

    def __repr__(self) -> str:
        return f"Cookies(count={self.count}, expires_at={self.expires_at})"


def parse(text: str) -> Cookies:
    """Read the text of a cookies file; cookies of other sites are left out.

    Raises UsageError(code="cookies_format") that names the line for what is none.
    """
    kept: list[str] = []
    logins: list[datetime | None] = []
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), start=1):
        fields = _fields(line, number)
        if fields is None or not _is_twitch(fields[0]):
            continue
        kept.append(line.rstrip("\r\n"))
        if fields[5] == AUTH_COOKIE and fields[6]:
            logins.append(_time(fields[4]))
    clean = "\n".join(["# Netscape HTTP Cookie File", *kept, ""])
    known = [time for time in logins if time is not None]
    expires_at = max(known) if known and len(known) == len(logins) else None
    return Cookies(clean, len(kept), bool(logins), expires_at)


def read(path: Path) -> Cookies:
    """Read the installed file. Raises SettingsError(code="cookies_unreadable")."""
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise _unreadable(path, "it is too large to be one")
        return parse(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise _unreadable(path, "it is no text") from None
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    except UsageError as error:
        raise _unreadable(path, error.message) from error


def check_login(cookies: Cookies, now: datetime) -> None:
    """Raises UsageError(code="cookies_no_login" or "cookies_expired") for useless ones."""
    if not cookies.has_login:
        raise UsageError(
            f"There is no {AUTH_COOKIE} cookie of twitch.tv in it: it does not log anybody in.",
            hint="log in at twitch.tv, export the cookies of that site, then: " + _HINT,
            code="cookies_no_login",
        )
    if cookies.expires_at is not None and cookies.expires_at <= now:
        raise UsageError(
            f"The login in these cookies ended at {cookies.expires_at:%Y-%m-%d %H:%M} UTC.",
            hint="log in at twitch.tv again, export its cookies, then: " + _HINT,
            code="cookies_expired",
        )


def warnings(cookies: Cookies, exported_at: datetime, now: datetime) -> tuple[str, ...]:
    """What a person should know of good cookies before it is too late; mostly nothing."""
    found: list[str] = []
    age = now - exported_at
    if age > OLD_AFTER:
        found.append(f"the cookies are {age.days} days old; renew them every 30 days: {_HINT}")
    if cookies.expires_at is not None and cookies.expires_at - now < _ENDS_SOON:
        ends = f"{cookies.expires_at:%Y-%m-%d %H:%M} UTC"
        found.append(f"the login in the cookies ends at {ends}: {_HINT}")
    return tuple(found)


def install(cookies: Cookies, path: Path, exported_at: datetime) -> None:
    """Put the cookies at `path`, for its owner's eyes only: all of them or none. The file's
    time is when they were exported. Installed by root, they belong to whoever owned the file
    before, or owns the directory: the daemon may be somebody else.

    Raises SettingsError(code="cookies_not_writable").
    """
    temporary: str | None = None
    try:
        path = path.resolve()
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(cookies.text)
            file.flush()
            if os.geteuid() == 0:
                owner = (path if path.exists() else path.parent).stat()
                os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
            os.utime(file.fileno(), (exported_at.timestamp(),) * 2)
            os.fsync(file.fileno())
        os.replace(temporary, path)
        temporary = None
        sync_directory(path.parent, required=True)
    except OSError as error:
        raise _not_writable(path, error) from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def _fields(line: str, number: int) -> list[str] | None:
    """The fields of a line; None for a comment or an empty one."""
    line = line.rstrip("\r\n").removeprefix(_HTTP_ONLY)
    if not line.strip() or line.startswith("#"):
        return None
    if number == 1 and line.lstrip()[:1] in {"[", "{"}:
        raise _format(number, "this is JSON; the Netscape form (cookies.txt) is wanted")
    fields = line.split("\t")
    if len(fields) != _FIELDS:
        why = f"{len(fields)} fields between tabs instead of {_FIELDS}"
        raise _format(number, why if "\t" in line else f"{why} (were tabs turned into spaces?)")
    if fields[1] not in {"TRUE", "FALSE"} or fields[3] not in {"TRUE", "FALSE"}:
        raise _format(number, "its second and fourth field must be TRUE or FALSE")
    if fields[4]:
        _seconds(fields[4], number)
    return fields


def _seconds(text: str, number: int) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not text.replace(".", "", 1).isdecimal() or not math.isfinite(seconds):
        raise _format(number, "its fifth field is not a time in seconds")
    return seconds


def _time(text: str) -> datetime | None:
    """When a cookie ends. Empty and 0 mean: with the browser, so at no known time."""
    seconds = float(text or 0)
    if not seconds:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, OSError, ValueError):
        return None


def _is_twitch(domain: str) -> bool:
    return domain == "twitch.tv" or domain.endswith(".twitch.tv")


def _format(number: int, why: str) -> UsageError:
    return UsageError(
        f"Line {number} of the cookies is not one of a cookies.txt: {why}.",
        hint="export twitch.tv's cookies in the Netscape form, then: " + _HINT,
        code="cookies_format",
    )


def _unreadable(path: Path, why: str) -> SettingsError:
    return SettingsError(
        f"The cookies file {path} (YTDLP_COOKIES_PATH) cannot be used: {why}",
        hint=_HINT,
        code="cookies_unreadable",
    )


def _not_writable(path: Path, error: OSError) -> SettingsError:
    hint = "name a file that vodtender may write in YTDLP_COOKIES_PATH"
    if error.errno in _MOUNTED:
        hint += (
            "; or, if this one is mounted from a secret, replace that: kubectl create secret "
            f"generic vod-cookies --from-file={path.name}=FILE --dry-run=client -o yaml "
            "| kubectl apply -f -"
        )
    return SettingsError(
        f"The cookies cannot be installed as {path} (YTDLP_COOKIES_PATH): {error.strerror}. "
        "Nothing was changed.",
        hint=hint,
        code="cookies_not_writable",
    )
