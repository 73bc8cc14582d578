"""Google's client library over our own HTTP session.

The library expects an `httplib2.Http`. That one ignores `HTTPS_PROXY` when an optional
package is missing, follows 308 as a redirect, and after a dropped connection sends a request
a second time by itself, with a body that is already used up, and waits for ever. `Transport`
offers the one method that the library calls and has none of these.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

import requests

from vodtender.clients.http import USER_AGENT
from vodtender.clients.youtube.library import httplib2

TokenSource = Callable[[str | None], str]
"""Gives an access token. Called with a token that was refused, it gives a newer one.
Raises `AuthExpired` when there is none to be had."""

_LARGEST_ANSWER_BYTES = 16 * 1024 * 1024
_LONGEST_ANSWER_SECONDS = 300.0
_UNAUTHORIZED = 401


class Readable(Protocol):
    """A stretch of a file that the library wants sent."""

    def read(self, size: int = -1, /) -> bytes: ...


class Transport:
    """Stands in for `httplib2.Http`: `request` returns `(httplib2.Response, bytes)`.

    Adds the bearer token, and renews it once when it is refused. A request is then repeated
    only if its body can be: a stretch of a file cannot, so the 401 is returned, and the next
    request carries the new token.
    """

    credentials = None
    """The library looks here for Google's own credentials objects; there are none."""

    def __init__(self, session: requests.Session, token: TokenSource) -> None:
        self._session = session
        self._token = token

    def request(
        self,
        uri: str,
        method: str = "GET",
        body: str | bytes | Readable | None = None,
        headers: Mapping[str, str] | None = None,
        **_unused: object,
    ) -> tuple[httplib2.Response, bytes]:
        """One exchange. Raises what requests raises; never follows a redirect."""
        token = self._token(None)
        response, content = self._exchange(uri, method, body, headers or {}, token)
        if response.status != _UNAUTHORIZED:
            return response, content
        token = self._token(token)
        if body is not None and not isinstance(body, (str, bytes)):
            return response, content
        return self._exchange(uri, method, body, headers or {}, token)

    def _exchange(
        self,
        uri: str,
        method: str,
        body: str | bytes | Readable | None,
        headers: Mapping[str, str],
        token: str,
    ) -> tuple[httplib2.Response, bytes]:
        ours, length = _prepared(headers)
        with self._session.request(
            method,
            uri,
            data=_as_data(body, length),
            headers={**ours, "Authorization": f"Bearer {token}"},
            allow_redirects=False,
            stream=True,
        ) as answer:
            content = _read(answer)
        fields = {name.lower(): value for name, value in answer.headers.items()}
        fields.pop("content-encoding", None)
        response = httplib2.Response({**fields, "status": str(answer.status_code)})
        response.reason = answer.reason or ""
        return response, content

    def close(self) -> None:
        """The library calls this; the session belongs to whoever made it."""


class _Stretch:
    """A body of known length, in the shape that requests streams."""

    def __init__(self, source: Readable, length: int) -> None:
        self._source = source
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[bytes]:
        while block := self.read(64 * 1024):
            yield block

    def read(self, size: int = -1) -> bytes:
        return self._source.read(size)


def _prepared(headers: Mapping[str, str]) -> tuple[dict[str, str], int]:
    """The library's headers without those that requests sets itself, and the body's length."""
    kept = {name.lower(): value for name, value in headers.items()}
    length = int(kept.pop("content-length", "0"))
    # Google compresses only for user agents that say "gzip" (developers.google.com, Performance).
    kept["user-agent"] = f"{USER_AGENT} (gzip)"
    return kept, length


def _as_data(body: str | bytes | Readable | None, length: int) -> bytes | _Stretch | None:
    if isinstance(body, str):
        return body.encode()
    if body is None or isinstance(body, bytes):
        return body
    return _Stretch(body, length)


def _read(answer: requests.Response) -> bytes:
    """The whole answer, within a size and a time that no honest one exceeds."""
    deadline = time.monotonic() + _LONGEST_ANSWER_SECONDS
    content = bytearray()
    for block in answer.iter_content(64 * 1024):
        content += block
        if len(content) > _LARGEST_ANSWER_BYTES or time.monotonic() > deadline:
            raise requests.exceptions.ChunkedEncodingError("the answer does not end")
    return bytes(content)
