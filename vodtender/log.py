"""What the daemon says while it works: one line per event, safe to show to anybody.

    2026-11-23T10:00:00Z INFO download: finished vod=123 size_bytes=5368709120

or, with LOG_FORMAT=json, one object per line with `time`, `level`, `component`, `msg` and the
fields. No secret leaves (see `redaction`), no value can begin a line of its own or move a
terminal's cursor, and a log that cannot be written never disturbs the work.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from vodtender.config.redaction import MASK, hide, redact
from vodtender.errors import VodtenderError
from vodtender.model.timestamp import rfc3339

__all__ = ["Log", "configure", "get", "hide", "printable", "redact"]

_ROOT = "vodtender"
_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
_WORDS = {
    logging.DEBUG: "DEBUG",
    logging.INFO: "INFO",
    logging.WARNING: "WARN",
    logging.ERROR: "ERROR",
    logging.CRITICAL: "ERROR",
}
"""The words that the Go system's log has, so that filters on them keep working."""

_RESERVED = frozenset({"time", "level", "component", "msg"})
_SECRET_FIELD = re.compile(
    r"password|passwd|secret|authorization|cookie|upload_uri|session_uri"
    r"|(?:^|_)(?:access|refresh|id|oauth|auth)?_?token$|dsn$",
    re.IGNORECASE,
)
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
"""Control characters, what turns the direction of writing, and halves of characters."""

_LONGEST_TEXT = 16 * 1024
_LONGEST_READ = 64 * 1024
"""Of a longer message or value only the beginning is written, and not more than this looked at:
what a server answers is no measure of what a log has to bear."""

_PLAIN_VALUE = re.compile(r"[^\s\"=\\]+")


class Stream(Protocol):
    """What a log is written to."""

    def write(self, text: str, /) -> object: ...
    def flush(self) -> object: ...


class Log:
    """Writes events of one component, with fields that all of them carry.

    `exc` is an exception to name in the event; its traceback is written only if the level is
    debug. Field names are plain words; values may be anything.
    """

    __slots__ = ("_fields", "_logger")

    def __init__(self, logger: logging.Logger, fields: Mapping[str, object] | None = None) -> None:
        self._logger = logger
        self._fields = dict(fields or {})

    def bind(self, **fields: object) -> Log:
        """The same log with more fields on every event."""
        return Log(self._logger, {**self._fields, **fields})

    def debug(self, message: str, /, *, exc: BaseException | None = None, **fields: object) -> None:
        self._write(logging.DEBUG, message, exc, fields)

    def info(self, message: str, /, *, exc: BaseException | None = None, **fields: object) -> None:
        self._write(logging.INFO, message, exc, fields)

    def warning(
        self, message: str, /, *, exc: BaseException | None = None, **fields: object
    ) -> None:
        self._write(logging.WARNING, message, exc, fields)

    def error(self, message: str, /, *, exc: BaseException | None = None, **fields: object) -> None:
        self._write(logging.ERROR, message, exc, fields)

    def _write(
        self, level: int, message: str, exc: BaseException | None, fields: Mapping[str, object]
    ) -> None:
        if not self._logger.isEnabledFor(level):
            return
        extra = {"fields": {**self._fields, **fields}}
        # With "%s" the message is never itself taken for a format.
        self._logger.log(level, "%s", message, exc_info=exc, extra=extra, stacklevel=3)


def get(component: str) -> Log:
    """The log of one component: `download`, `upload`, `yt-dlp`, `chat` …"""
    return Log(logging.getLogger(f"{_ROOT}.{component}"))


def configure(
    level: str = "info",
    format: str = "text",
    stream: Stream | None = None,
    clock: Callable[[], datetime] | None = None,
) -> None:
    """Sends everything that is logged in this process to `stream` (stderr by default).

    Other libraries' records take the same way, from warnings upwards, so that nothing reaches
    the log unredacted. A second call replaces the first.
    """
    root = logging.getLogger()
    for old in [handler for handler in root.handlers if isinstance(handler, _Handler)]:
        root.removeHandler(old)
    root.addHandler(_Handler(stream or sys.stderr, format == "json", level == "debug", clock))
    root.setLevel(logging.WARNING)
    logging.getLogger(_ROOT).setLevel(_LEVELS[level])


class _Handler(logging.Handler):
    """Never raises and never complains: a full disk or a closed pipe loses lines, no work."""

    def __init__(
        self,
        stream: Stream,
        as_json: bool,
        tracebacks: bool,
        clock: Callable[[], datetime] | None,
    ) -> None:
        super().__init__()
        self._stream = stream
        self._as_json = as_json
        self._tracebacks = tracebacks
        self._clock = clock

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(Exception):
            self._put(self._line(record))

    def _put(self, line: str) -> None:
        try:
            self._stream.write(line)
        except UnicodeEncodeError:
            encoding = getattr(self._stream, "encoding", None) or "ascii"
            self._stream.write(line.encode(encoding, "backslashreplace").decode(encoding))
        self._stream.flush()

    def _line(self, record: logging.LogRecord) -> str:
        event = _event(record, self._now(record))
        trace = _traceback(record) if self._tracebacks else ""
        return _as_json(event, trace) if self._as_json else _as_text(event, trace)

    def _now(self, record: logging.LogRecord) -> datetime:
        return self._clock() if self._clock else datetime.fromtimestamp(record.created, UTC)


def _event(record: logging.LogRecord, now: datetime) -> dict[str, Any]:
    """The record as redacted values, the four that every line has first."""
    event: dict[str, Any] = {
        "time": rfc3339(now),
        "level": _word(record.levelno),
        "component": _component(record.name),
        "msg": _clean(_message(record)),
    }
    for name, value in getattr(record, "fields", {}).items():
        key = f"field_{name}" if name in _RESERVED else name
        event[key] = MASK if _SECRET_FIELD.search(name) and value is not None else _plain(value)
    if record.exc_info and record.exc_info[1] is not None:
        error = record.exc_info[1]
        event.setdefault("error", _plain(error))
        if isinstance(error, VodtenderError):
            for name in ("code", "hint", "runbook"):
                if text := getattr(error, name):
                    event.setdefault(name, _plain(text))
    return event


def _word(level: int) -> str:
    return (
        _WORDS.get(level) or _WORDS[max((known for known in _WORDS if known <= level), default=10)]
    )


def _component(logger_name: str) -> str:
    """`vodtender.clients.twitch.helix` speaks as `helix`, a library under its own name."""
    if logger_name.startswith(f"{_ROOT}."):
        return logger_name.rpartition(".")[2]
    return logger_name.partition(".")[0]


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:
        # Arguments that do not fit the message must not cost the message.
        return str(record.msg)


def _plain(value: object) -> str | int | float | bool | None:
    """A field's value as JSON knows it; text is redacted."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else str(value)  # noqa: PLR0124
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, datetime):
        return rfc3339(value if value.tzinfo else value.replace(tzinfo=UTC))
    try:
        text = _named(value) if isinstance(value, BaseException) else str(value)
    except Exception:
        text = f"<{type(value).__name__}>"
    return _clean(text)


def _clean(text: str) -> str:
    """Redacted before it is cut: half a secret would not be recognised."""
    redacted = redact(text[:_LONGEST_READ])
    return redacted if len(redacted) <= _LONGEST_TEXT else redacted[:_LONGEST_TEXT] + "…"


def _named(error: BaseException) -> str:
    """Our own errors are written for people; of others the type says more than the text."""
    if isinstance(error, VodtenderError):
        return error.message
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _traceback(record: logging.LogRecord) -> str:
    if not record.exc_info or record.exc_info[1] is None:
        return ""
    return _clean("".join(traceback.format_exception(record.exc_info[1]))).rstrip("\n")


def _as_json(event: Mapping[str, Any], trace: str) -> str:
    document = {**event, "traceback": trace} if trace else event
    line = json.dumps(document, ensure_ascii=False)
    # Within a JSON document these characters stand only in strings.
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", line) + "\n"


def _as_text(event: Mapping[str, Any], trace: str) -> str:
    head = f"{event['time']} {event['level']} {printable(event['component'])}: "
    fields = [
        f"{printable(name)}={_quoted(value)}"
        for name, value in event.items()
        if name not in _RESERVED and value is not None
    ]
    lines = [head + " ".join([printable(event["msg"]), *fields])]
    lines += [f"    | {printable(line)}" for line in trace.splitlines()]
    return "\n".join(lines) + "\n"


def _quoted(value: str | float | bool) -> str:
    """A value that ends where it seems to end: in quotation marks unless it is one word."""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    if _PLAIN_VALUE.fullmatch(text):
        return printable(text)
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{printable(escaped)}"'


def printable(text: str) -> str:
    """The text on one line, harmless to a terminal: `\\n`, `\\x1b` or `\\u202e` instead."""
    return _UNSAFE.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    character = match[0]
    short = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(character)
    if short:
        return short
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
