"""Forms of settings that only Twitch, YouTube, yt-dlp or Postgres give a meaning to."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from urllib.parse import quote, unquote

from vodtender.config.forms import Form, listing, read_text
from vodtender.errors import SettingsError, UsageError
from vodtender.model.reference import parse_vod_reference
from vodtender.model.s3_location import S3Location
from vodtender.model.video_metadata import PLACEHOLDERS, check_template

_LOGIN = re.compile(r"[a-z0-9_]{1,25}")
_TWITCH_URL = re.compile(r"(?:https?://)?(?:www\.|m\.|go\.)?twitch\.tv/", re.IGNORECASE)


def _read_channel(text: str) -> str:
    """A login, a page's address or `@name`; always lower case, as Twitch compares them."""
    written = text.strip()
    name = _TWITCH_URL.sub("", written, count=1)
    if name != written:
        name = re.split(r"[/?#]", name, maxsplit=1)[0]
    name = name.removeprefix("@").lower()
    if not _LOGIN.fullmatch(name):
        several = "; several channels go into TWITCH_CHANNELS" if "," in written else ""
        raise ValueError(f"expected {CHANNEL.expected}{several}")
    return name


CHANNEL = Form("a Twitch channel's name: letters, digits and _, at most 25", _read_channel, str)
CHANNELS = listing(CHANNEL, separators=", \t\n;")

_ACCOUNT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


def _read_account(text: str) -> str:
    if not _ACCOUNT.fullmatch(text.strip()):
        raise ValueError(f"expected {ACCOUNT.expected}")
    return text.strip()


ACCOUNT = Form("a name of letters, digits and . _ @ -, at most 64", _read_account, str)


def _read_account_of_channel(text: str) -> tuple[str, str]:
    channel, equals, account = text.partition("=")
    if not equals or not _ACCOUNT.fullmatch(account.strip()):
        raise ValueError("expected channel=account, account as in auth login --account")
    return _read_channel(channel), account.strip()


ACCOUNTS = listing(
    Form("channel=account", _read_account_of_channel, lambda pair: f"{pair[0]}={pair[1]}")
)


def _read_arguments(text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise ValueError(f"expected arguments quoted as for a shell: {error}") from None


def _take_arguments(items: Sequence[str]) -> tuple[str, ...]:
    return tuple(items)


ARGUMENTS = Form("arguments as for a shell", _read_arguments, shlex.join, _take_arguments)


def template(setting: str) -> Form[str]:
    """Text with placeholders. `\\n` in it is a line break: an env file has no other way."""

    def read(text: str) -> str:
        filled = read_text(text).replace("\\n", "\n")
        try:
            check_template(setting, filled)
        except SettingsError as error:
            what = error.message.removeprefix(f"{setting} ")
            raise ValueError(f"it {what}; {error.hint}") from None
        return filled

    names = " ".join(f"{{{name}}}" for name in PLACEHOLDERS)
    return Form(f"text with {names}", read, lambda text: text.replace("\n", "\\n"))


def _read_digits(text: str) -> str:
    digits = text.strip()
    if not re.fullmatch(r"[0-9]{1,6}", digits):
        raise ValueError("expected a YouTube category's number such as 20")
    return digits


CATEGORY = Form("a YouTube category's number", _read_digits, str)


def _read_language(text: str) -> str:
    code = text.strip()
    if not re.fullmatch(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*", code):
        raise ValueError(f"expected {LANGUAGE.expected}")
    return code


LANGUAGE = Form("a language's code such as en or pt-BR (BCP 47)", _read_language, str)


def _read_token(text: str) -> str:
    value = text.strip()
    if not value or any(c.isspace() or not c.isprintable() for c in value):
        raise ValueError("expected text without spaces and control characters")
    return value


TOKEN = Form("text without spaces", _read_token, str)


def _read_redirect(text: str) -> str:
    value = _read_token(text)
    if not re.match(r"https?://[^/]+", value):
        raise ValueError(f"expected {REDIRECT.expected}")
    return value


REDIRECT = Form("an address such as http://127.0.0.1:8085/", _read_redirect, str)


S3_PREFIX = Form("an address such as s3://bucket/prefix/", S3Location.parse_prefix, str)

_STORAGE_CLASS = re.compile(r"[A-Za-z][A-Za-z0-9_]{1,39}")


def _read_storage_class(text: str) -> str:
    """Any name: stores other than Amazon's have classes of their own."""
    name = text.strip().upper()
    if not _STORAGE_CLASS.fullmatch(name):
        raise ValueError(f"expected {STORAGE_CLASS.expected}")
    return name


STORAGE_CLASS = Form("a storage class such as STANDARD_IA", _read_storage_class, str)

_CRON_FIELDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_CRON_PART = re.compile(r"(?:\*|(\d{1,2})(?:-(\d{1,2}))?)(?:/(\d{1,2}))?")


def _read_schedule(text: str) -> str:
    """A cron expression of five fields with numbers, or `off`."""
    fields = text.split()
    if len(fields) == 1 and fields[0].lower() in ("off", "0", "no", "false"):
        return NO_SCHEDULE
    if len(fields) != len(_CRON_FIELDS):
        raise ValueError(f"expected {SCHEDULE.expected}")
    for field, bounds in zip(fields, _CRON_FIELDS, strict=True):
        for part in field.split(","):
            if not _is_due(part, *bounds):
                raise ValueError(f"expected {SCHEDULE.expected}; {part!r} is no such field")
    return " ".join(fields)


def _is_due(part: str, lowest: int, highest: int) -> bool:
    """Whether a part of a field of a cron expression is understood, and ever due."""
    match = _CRON_PART.fullmatch(part)
    if match is None:
        return False
    numbers = [int(number) for number in match.groups()[:2] if number]
    within = all(lowest <= number <= highest for number in numbers)
    return within and numbers == sorted(numbers) and match[3] not in ("0", "00")


NO_SCHEDULE = "off"
SCHEDULE = Form("a cron expression in UTC such as '0 2 * * *', or off", _read_schedule, str)


def _read_chat_token(text: str) -> str:
    """With or without the `oauth:` that chat programs write before it."""
    return _read_token(text.strip().removeprefix("oauth:"))


CHAT_TOKEN = Form("a token of Twitch", _read_chat_token, str)

_CHAT_SERVER = re.compile(r"ircs?://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?/?")


def _read_chat_server(text: str) -> str:
    if not _CHAT_SERVER.fullmatch(text.strip()):
        raise ValueError(f"expected {CHAT_SERVER.expected}")
    return text.strip().rstrip("/")


CHAT_SERVER = Form("an address such as ircs://irc.chat.twitch.tv:6697", _read_chat_server, str)


def _read_vod(text: str) -> str:
    try:
        return parse_vod_reference(text)
    except UsageError:
        raise ValueError(f"expected {VOD.expected}") from None


VOD = Form("a VOD's number or its address", _read_vod, str)


def _read_scopes(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text.replace(",", " ").split()))


def _take_scopes(items: Sequence[str]) -> tuple[str, ...]:
    return _read_scopes(" ".join(items))


SCOPES = Form("scopes with spaces between them", _read_scopes, " ".join, _take_scopes)


# --- The database's address -------------------------------------------------------------
# https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING

_URL = re.compile(r"postgres(?:ql)?://", re.IGNORECASE)
_USERINFO = re.compile(r"(?P<scheme>postgres(?:ql)?://)(?P<user>[^:/?#]*):(?P<password>.*)@", re.I)
_PASSWORD_AS_LIBPQ_SEES_IT = re.compile(r"postgres(?:ql)?://[^:/?#]*:(?P<password>[^@/?#]*)@", re.I)
_PARAMETER = re.compile(
    r"(?<=[?&])(?:password|sslpassword|oauth_client_secret)=(?P<password>[^&]*)"
)
_KEYWORD = re.compile(
    r"(?<![A-Za-z_])(?:password|sslpassword|oauth_client_secret)\s*=\s*"
    r"(?P<password>'(?:[^'\\]|\\.)*'|(?:[^\s'\\]|\\.)*)"
)
_PAIRS = re.compile(r"\s*(?:[A-Za-z_]+\s*=\s*(?:'(?:[^'\\]|\\.)*'|(?:[^\s'\\]|\\.)*)\s*)+", re.S)


def _read_dsn(text: str) -> str:
    dsn = text.strip()
    if any(not c.isprintable() for c in dsn):
        raise ValueError("expected an address without control characters")
    if not _URL.match(dsn) and not _PAIRS.fullmatch(dsn):
        raise ValueError(f"expected {DSN.expected}")
    return dsn


DSN = Form("postgresql://USER@HOST:PORT/DATABASE or host=… dbname=…", _read_dsn, str)


def dsn_passwords(dsn: str) -> tuple[str, ...]:
    """Every password in it, as written and as meant."""
    found: list[str] = []
    for written in _written_passwords(dsn):
        meant = unquote(written) if _URL.match(dsn) else re.sub(r"\\(.)", r"\1", written)
        found += [written, meant]
    return tuple(dict.fromkeys(password for password in found if password))


def _written_passwords(dsn: str) -> list[str]:
    if not _URL.match(dsn):
        found = [match["password"] for match in _KEYWORD.finditer(dsn)]
        return [text[1:-1] if text.startswith("'") else text for text in found]
    patterns = (_PASSWORD_AS_LIBPQ_SEES_IT, _USERINFO, _PARAMETER)
    return [match["password"] for pattern in patterns for match in pattern.finditer(dsn)]


def mask_dsn(dsn: str) -> str:
    """The address with `***` for each password."""
    if not _URL.match(dsn):
        return _KEYWORD.sub(lambda match: match[0].partition("=")[0] + "=***", dsn)
    masked = _USERINFO.sub(lambda match: f"{match['scheme']}{match['user']}:***@", dsn)
    return _PARAMETER.sub(lambda match: match[0].partition("=")[0] + "=***", masked)


def complete_dsn(dsn: str, password: str | None) -> str:
    """The address with that password, unless it already has one."""
    if password is None or dsn_passwords(dsn):
        return dsn
    if _URL.match(dsn):
        return f"{dsn}{'&' if '?' in dsn else '?'}password={quote(password, safe='')}"
    escaped = password.replace("\\", "\\\\").replace("'", "\\'")
    return f"{dsn} password='{escaped}'"
