"""What the parent and the child say to each other: JSON, one line each.

Parent to child: one request, and then new rate limits if there are any. Child to parent: any
number of `log` and `progress` lines and, in the end, one `result` or one `error`. An error
travels by its kind and its fields, so that the parent raises the same answer that the child
raised.
"""

from __future__ import annotations

import json
import os
import threading
from datetime import datetime
from typing import Any

from vodtender.errors import (
    Answer,
    AuthExpired,
    Locked,
    RateLimited,
    Rejected,
    SettingsError,
    Transient,
    VodtenderError,
)

RATE_LIMIT = "rate_limit_bytes_per_second"
"""In the request, and alone in a line when it changes; null: no limit."""

_KINDS: dict[str, type[VodtenderError]] = {
    "transient": Transient,
    "auth_expired": AuthExpired,
    "rejected": Rejected,
    "settings": SettingsError,
    "locked": Locked,
}


def error_to_json(error: VodtenderError) -> dict[str, Any]:
    """The fields of an `error` line."""
    line: dict[str, Any] = {
        "type": "error",
        "message": error.message,
        "hint": error.hint,
        "code": error.code,
    }
    if isinstance(error, RateLimited):
        return {**line, "kind": "rate_limited", "until": error.until.isoformat()}
    for kind, meant in _KINDS.items():
        if isinstance(error, meant):
            return {**line, "kind": kind}
    if isinstance(error, Answer):
        raise TypeError(f"{type(error).__name__} is no answer that a fetch can give")
    return {**line, "kind": "transient"}


def error_from_json(line: dict[str, Any]) -> VodtenderError:
    """The error that an `error` line speaks of. KeyError or ValueError for garbage."""
    message, hint, code = str(line["message"]), str(line["hint"]), str(line["code"])
    if line["kind"] == "rate_limited":
        until = datetime.fromisoformat(line["until"])
        return RateLimited(message, until=until, hint=hint, code=code)
    return _KINDS[line["kind"]](message, hint=hint, code=code)


class Speaker:
    """The child's voice: whole lines only, from any thread, to one file descriptor."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()

    def say(self, line: dict[str, Any]) -> None:
        data = json.dumps(line, ensure_ascii=True, allow_nan=False).encode() + b"\n"
        with self._lock:
            while data:
                data = data[os.write(self._descriptor, data) :]

    def log(self, level: str, message: str) -> None:
        self.say({"type": "log", "level": level, "message": message})

    def progress(self, phase: str, **numbers: int | None) -> None:
        self.say({"type": "progress", "phase": phase, **numbers})

    def result(self, kind: str, **fields: Any) -> None:
        self.say({"type": "result", "result": kind, **fields})

    def error(self, error: VodtenderError) -> None:
        self.say(error_to_json(error))
