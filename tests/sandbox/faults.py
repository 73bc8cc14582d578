"""What goes wrong, and when: a script of faults, applied on the wire.

    world.faults.status(503, host="youtube.googleapis.com", times=2)
    world.faults.cut(10_000, path="*/3.ts")
    world.faults.google("quotaExceeded", path="/upload/*")
    gate = world.faults.hold(path="/upload/*", method="PUT", skip=1)
    gate.wait_reached(); …; gate.release()

`hold`, `hold_body`, `hold_answer` and `stall` return a gate: the moment to kill something.
Patterns are shell patterns. `skip` lets that many matching requests pass first, `times` says
how often the fault then strikes (None: for ever). Several faults may match one request; every
one of them that is due strikes.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from tests.sandbox import google_errors
from tests.sandbox.wire import Hold, Request, Response

LONGEST_HOLD_SECONDS = 120.0


class Gate:
    """Holds a request until the test lets it go (or the world stops)."""

    def __init__(self) -> None:
        self._reached = threading.Event()
        self._released = threading.Event()

    def wait_reached(self, timeout_seconds: float = 10) -> None:
        if not self._reached.wait(timeout_seconds):
            raise TimeoutError(f"no request reached the gate in {timeout_seconds} s")

    @property
    def reached(self) -> bool:
        return self._reached.is_set()

    def release(self) -> None:
        self._released.set()

    def hold(self, seconds: float = LONGEST_HOLD_SECONDS) -> None:
        self._reached.set()
        self._released.wait(seconds)


@dataclass(eq=False)
class Fault:
    """One thing that goes wrong with matching requests."""

    host: str = "*"
    path: str = "*"
    method: str = "*"
    skip: int = 0
    times: int | None = 1
    when: Callable[[Request], bool] | None = None
    before: Callable[[Request], Response | None] | None = None
    after: Callable[[Response], Response] | None = None
    struck: int = 0
    _passed: int = field(default=0, repr=False)

    def matches(self, request: Request) -> bool:
        if request.method == "CONNECT" and self.method != "CONNECT":
            return False
        return (
            fnmatchcase(request.host, self.host)
            and fnmatchcase(request.path, self.path)
            and fnmatchcase(request.method, self.method)
            and (self.when is None or self.when(request))
        )

    def due(self) -> bool:
        """Count one matching request; say whether the fault strikes it."""
        if self._passed < self.skip:
            self._passed += 1
            return False
        if self.times is not None and self.struck >= self.times:
            return False
        self.struck += 1
        return True


class Faults:
    """The script. Methods return the `Fault`, whose `struck` tells how often it did.

    All take, by name: `host`, `path`, `method` (patterns), `skip`, `times`, and `when`, a
    function of the request.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._gates: list[Gate] = []

    def due(self, request: Request) -> list[Fault]:
        with self._lock:
            return [f for f in self._faults if f.matches(request) and f.due()]

    def add(self, fault: Fault) -> Fault:
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """Nothing goes wrong from now on; whoever is held goes on."""
        with self._lock:
            self._faults.clear()
            gates, self._gates = self._gates, []
        for gate in gates:
            gate.release()

    # --- instead of the answer ------------------------------------------------------

    def answer(self, response: Response, **match: Any) -> Fault:
        """Answer this, without doing the work."""
        return self.add(_fault(match, before=lambda _request: response))

    def status(
        self, status: int, body: str = "", *, headers: dict[str, str] | None = None, **match: Any
    ) -> Fault:
        """Answer this status and text, without doing the work."""
        sent = {"Content-Type": "text/html; charset=utf-8", **(headers or {})}
        return self.answer(Response(status, body.encode(), sent), **match)

    def json(
        self,
        status: int,
        value: object,
        *,
        headers: dict[str, str] | None = None,
        **match: Any,
    ) -> Fault:
        return self.answer(Response.of_json(value, status, headers), **match)

    def html(self, status: int = 200, **match: Any) -> Fault:
        """A garbage answer: a web page where an API's JSON should be."""
        return self.status(status, "<html><body><h1>Oops</h1></body></html>", **match)

    def google(self, reason: str, **match: Any) -> Fault:
        """The error that Google's API sends for this reason (`quotaExceeded`, …)."""
        return self.answer(google_errors.response(reason), **match)

    def invalid_grant(self, status: int = 400, **match: Any) -> Fault:
        """Google's token endpoint refuses the refresh token."""
        text = "Token has been expired or revoked."
        match.setdefault("host", "oauth2.googleapis.com")
        match.setdefault("path", "/token")
        return self.json(status, {"error": "invalid_grant", "error_description": text}, **match)

    def rate_limited(self, *, reset_after_seconds: float = 1, **match: Any) -> Fault:
        """429 with Twitch's `Ratelimit-Reset` (epoch seconds) and the standard `Retry-After`."""

        def too_many(_request: Request) -> Response:
            headers = {
                "Ratelimit-Limit": "800",
                "Ratelimit-Remaining": "0",
                "Ratelimit-Reset": str(int(time.time() + reset_after_seconds)),
                "Retry-After": str(max(1, round(reset_after_seconds))),
            }
            body = {"error": "Too Many Requests", "status": 429, "message": "Rate limit exceeded"}
            return Response.of_json(body, 429, headers)

        return self.add(_fault(match, before=too_many))

    # --- before the answer ----------------------------------------------------------

    def delay(self, seconds: float, **match: Any) -> Fault:
        """Do nothing for a while, then go on as usual."""

        def wait(_request: Request) -> None:
            self._gate().hold(seconds)

        return self.add(_fault(match, before=wait))

    def unreachable(self, host: str, **match: Any) -> Fault:
        """The proxy says that it cannot connect to this host."""
        return self.status(502, host=host, method="CONNECT", **match)

    def hold(self, **match: Any) -> Gate:
        """Stop matching requests before the work is done, until the gate is released."""
        gate = self._gate()
        self.add(_fault(match, before=lambda _request: gate.hold()))
        return gate

    def hold_body(self, after_bytes: int, **match: Any) -> Gate:
        """Read that much of the request's body, and the rest once the gate is released."""
        gate = self._gate()

        def hold(request: Request) -> None:
            request.hold_body = Hold(after_bytes, gate.hold)

        self.add(_fault(match, before=hold))
        return gate

    def hold_answer(self, **match: Any) -> Gate:
        """Do the work, then hold the answer until the gate is released."""
        gate = self._gate()

        def held(response: Response) -> Response:
            gate.hold()
            return response

        self.add(_fault(match, after=held))
        return gate

    def cut_request(self, after_bytes: int, **match: Any) -> Fault:
        """Close the connection once that much of the request's body has arrived."""

        def cut(request: Request) -> None:
            request.cut_body_after_bytes = after_bytes

        return self.add(_fault(match, before=cut))

    def _gate(self) -> Gate:
        gate = Gate()
        with self._lock:
            self._gates.append(gate)
        return gate

    # --- after the work -------------------------------------------------------------

    def lose_answer(self, **match: Any) -> Fault:
        """Do the work, then close the connection without a word."""

        def lose(response: Response) -> Response:
            response.lost = True
            return response

        return self.add(_fault(match, after=lose))

    def cut(self, after_bytes: int, **match: Any) -> Fault:
        """Close the connection after that many bytes of the answer's body."""

        def cut(response: Response) -> Response:
            response.cut_after_bytes = after_bytes
            return response

        return self.add(_fault(match, after=cut))

    def leave_length_unsaid(self, cut_after_bytes: int | None = None, **match: Any) -> Fault:
        """Let the body end with the connection, where nobody can tell whether it was cut."""

        def leave(response: Response) -> Response:
            response.length_unsaid = True
            response.cut_after_bytes = cut_after_bytes
            return response

        return self.add(_fault(match, after=leave))

    def stall(self, after_bytes: int, **match: Any) -> Gate:
        """Send that much of the body, then nothing until the gate is released."""
        gate = self._gate()

        def stall(response: Response) -> Response:
            response.hold = Hold(after_bytes, gate.hold)
            return response

        self.add(_fault(match, after=stall))
        return gate

    def slow(self, bytes_per_second: float, **match: Any) -> Fault:
        """Send the body at this speed."""

        def slow(response: Response) -> Response:
            response.bytes_per_second = bytes_per_second
            return response

        return self.add(_fault(match, after=slow))

    def truncate(self, to_bytes: int, **match: Any) -> Fault:
        """Send only the body's beginning, with a Content-Length that agrees with it."""

        def truncate(response: Response) -> Response:
            response.body = bytes(response.body[:to_bytes])
            return response

        return self.add(_fault(match, after=truncate))

    def corrupt(self, at_byte: int = 0, length: int = 16, **match: Any) -> Fault:
        """Overwrite part of the body with zeros."""

        def corrupt(response: Response) -> Response:
            body = bytearray(response.body)
            end = min(len(body), at_byte + length)
            body[at_byte:end] = bytes(max(0, end - at_byte))
            response.body = body
            return response

        return self.add(_fault(match, after=corrupt))

    def empty_json(self, **match: Any) -> Fault:
        return self.add(_fault(match, before=lambda _request: Response.of_json({})))

    def change_json(self, change: Callable[[object], object], **match: Any) -> Fault:
        """Pass the answer's JSON through a function."""

        def changed(response: Response) -> Response:
            response.body = json.dumps(change(json.loads(bytes(response.body)))).encode()
            return response

        return self.add(_fault(match, after=changed))


def _fault(
    match: dict[str, Any],
    *,
    before: Callable[[Request], Response | None] | None = None,
    after: Callable[[Response], Response] | None = None,
) -> Fault:
    return Fault(before=before, after=after, **match)
