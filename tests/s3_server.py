"""`python -m tests.s3_server`: moto's S3 on a free port of loopback, until stdin closes.

The first line it prints is the port. `POST /-/faults` takes what is to go wrong from then on, as
a list of `Fault`s (see tests/s3.py); an empty list ends it. `GET /-/seen` tells the requests.
"""

from __future__ import annotations

import io
import json
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs

from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server

_App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

_ERROR = """<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>{code}</Code><Message>as a test wants it</Message><RequestId>1</RequestId></Error>"""
_FORGET = ("HTTP_X_AMZ_CHECKSUM_CRC32", "HTTP_X_AMZ_CHECKSUM_ALGORITHM", "HTTP_X_AMZ_CHECKSUM_TYPE")


class Faulty:
    """S3 with faults."""

    def __init__(self, app: _App) -> None:
        self._app = app
        self._guard = threading.Lock()
        self._faults: list[dict[str, Any]] = []
        self._seen: list[str] = []

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"].startswith("/-/"):
            return self._told(environ, start)
        operation = _operation(environ)
        with self._guard:
            self._seen.append(operation)
            fault = self._due(operation, environ["PATH_INFO"])
        if fault is None:
            return self._app(environ, start)
        return self._wrong(fault, environ, start)

    def _due(self, operation: str, path: str) -> dict[str, Any] | None:
        for fault in self._faults:
            if fault["operation"] in ("*", operation) and fault["key"] in path:
                if fault["skip"]:
                    fault["skip"] -= 1
                    continue
                if fault["times"]:
                    fault["times"] -= 1
                    return dict(fault)
        return None

    def _wrong(
        self, fault: dict[str, Any], environ: dict[str, Any], start: Callable[..., Any]
    ) -> Iterable[bytes]:
        if fault["code"]:
            body = _ERROR.format(code=fault["code"]).encode()
            head = environ["REQUEST_METHOD"] == "HEAD"
            start(f"{fault['status']} x", [("Content-Type", "application/xml")])
            _body(environ)
            return [b"" if head else body]
        if fault["flip"]:
            flipped = bytearray(_body(environ))
            flipped[len(flipped) // 2] ^= 1
            environ["wsgi.input"] = io.BytesIO(bytes(flipped))
        if fault["plain"]:
            for name in _FORGET:
                environ.pop(name, None)
        answer = b"".join(self._app(environ, start))
        if fault["loses"]:
            end = {"REQUEST_METHOD": "DELETE", "QUERY_STRING": "", "CONTENT_LENGTH": "0"}
            self._app({**environ, **end, "wsgi.input": io.BytesIO()}, lambda *_said: None)
        return [answer]

    def _told(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        with self._guard:
            if environ["PATH_INFO"] == "/-/faults":
                self._faults = json.loads(_body(environ))
                self._seen = []
            seen = json.dumps(self._seen).encode()
        start("200 OK", [("Content-Type", "application/json")])
        return [seen]


def _body(environ: dict[str, Any]) -> bytes:
    data: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    return data


def _operation(environ: dict[str, Any]) -> str:
    """The request by the name of its API, as far as the tests tell them apart."""
    method = str(environ["REQUEST_METHOD"])
    query = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
    in_bucket = "/" in environ["PATH_INFO"].strip("/")
    if method == "PUT":
        return "UploadPart" if "partNumber" in query else "PutObject"
    if method == "POST":
        named = {"uploads": "Create", "uploadId": "Complete", "restore": "Restore"}
        return next((name for key, name in named.items() if key in query), "Post")
    if method == "GET":
        if not in_bucket:
            return "ListUploads" if "uploads" in query else "List"
        return "ListParts" if "uploadId" in query else "GetObject"
    return {"HEAD": "HeadObject", "DELETE": "DeleteObject"}.get(method, method)


def main() -> None:
    app = Faulty(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=MotoRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(f"{server.server_address[1]}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()
