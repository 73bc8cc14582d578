"""What the outside world saw: every request, in order."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase


@dataclass(frozen=True, slots=True)
class Seen:
    """One request and how it was answered. `status` 0: the connection was cut on purpose,
    or the client broke off while it sent the request.
    """

    at_seconds: float
    method: str
    scheme: str
    host: str
    path: str
    query: str
    headers: dict[str, str] = field(repr=False)
    status: int
    request_bytes: int
    response_bytes: int


class Record:
    """A thread-safe list of what was seen, with questions a test asks of it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._seen: list[Seen] = []
        self._unexpected: list[Seen] = []
        self._crashes: list[str] = []

    def add(self, seen: Seen, *, expected: bool = True) -> None:
        with self._changed:
            self._seen.append(seen)
            if not expected:
                self._unexpected.append(seen)
            self._changed.notify_all()

    @property
    def requests(self) -> list[Seen]:
        with self._changed:
            return list(self._seen)

    @property
    def unexpected(self) -> list[Seen]:
        """Requests for hosts that the sandbox does not play."""
        with self._changed:
            return list(self._unexpected)

    def add_crash(self, text: str) -> None:
        with self._changed:
            self._crashes.append(text)

    @property
    def crashes(self) -> list[str]:
        """Tracebacks of the sandbox's own defects."""
        with self._changed:
            return list(self._crashes)

    def matching(
        self, host: str = "*", path: str = "*", *, method: str = "*", status: int | None = None
    ) -> list[Seen]:
        """Requests whose host, path and method match these shell patterns."""
        return [
            seen
            for seen in self.requests
            if fnmatchcase(seen.host, host)
            and fnmatchcase(seen.path, path)
            and fnmatchcase(seen.method, method)
            and status in (None, seen.status)
        ]

    def count(
        self, host: str = "*", path: str = "*", *, method: str = "*", status: int | None = None
    ) -> int:
        return len(self.matching(host, path, method=method, status=status))

    def hosts(self) -> Counter[str]:
        """How often each host was asked."""
        return Counter(seen.host for seen in self.requests)

    def clear(self) -> None:
        with self._changed:
            self._seen.clear()
            self._unexpected.clear()

    def wait_for(
        self, condition: Callable[[list[Seen]], bool], *, timeout_seconds: float = 10
    ) -> None:
        """Return once the condition holds of what was seen; raises TimeoutError otherwise."""
        deadline = time.monotonic() + timeout_seconds
        with self._changed:
            while not condition(self._seen):
                if not self._changed.wait(deadline - time.monotonic()):
                    raise TimeoutError(f"not seen in {timeout_seconds} s")
