"""`python -m scripts.benchmarks.s3_sink`: a store that speaks as much S3 as an upload needs and
forgets what it is given, until stdin closes. The first line it prints is its port.

moto keeps and hashes all that it takes, in Python. This one reads and drops, so what is measured
is the client.
"""

from __future__ import annotations

import sys
import threading
from dataclasses import dataclass
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

_XML = '<?xml version="1.0" encoding="UTF-8"?>'
_ETAG = '"0123456789abcdef0123456789abcdef"'


@dataclass(slots=True)
class _Object:
    """What is remembered of one: no bytes."""

    size_bytes: int = 0
    crc32: str = ""
    storage_class: str = "STANDARD"
    sha256: str = ""


_uploads: dict[str, _Object] = {}
_objects: dict[str, _Object] = {}
_guard = threading.Lock()


class _Sink(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # The client sends a head and a body apart: waiting for more to send would cost 40 ms each.
    disable_nagle_algorithm = True

    def do_HEAD(self) -> None:
        found = _objects.get(urlsplit(self.path).path)
        if found is None:
            self._answer(404, "")
            return
        self.send_response(200)
        for name, value in (
            ("Content-Length", str(found.size_bytes)),
            ("ETag", _ETAG),
            ("Last-Modified", formatdate(usegmt=True)),
            ("x-amz-storage-class", found.storage_class),
            ("x-amz-checksum-crc32", found.crc32),
            ("x-amz-checksum-type", "FULL_OBJECT"),
        ):
            self.send_header(name, value)
        self.end_headers()

    def do_GET(self) -> None:
        self._answer(200, f"{_XML}<ListMultipartUploadsResult></ListMultipartUploadsResult>")

    def do_DELETE(self) -> None:
        with _guard:
            _objects.pop(urlsplit(self.path).path, None)
        self._answer(204, "")

    def do_POST(self) -> None:
        self._swallow()
        path, query = urlsplit(self.path).path, self._query()
        if "uploads" in query:
            made = _Object(storage_class=self.headers.get("x-amz-storage-class", "STANDARD"))
            with _guard:
                upload_id = str(len(_uploads))
                _uploads[upload_id] = made
            body = f"<InitiateMultipartUploadResult><UploadId>{upload_id}</UploadId>"
            self._answer(200, f"{_XML}{body}</InitiateMultipartUploadResult>", whole=True)
            return
        done = _uploads[query["uploadId"][0]]
        done.crc32 = self.headers.get("x-amz-checksum-crc32", "AAAAAA==")
        with _guard:
            _objects[path] = done
        body = f"<CompleteMultipartUploadResult><ETag>{_ETAG}</ETag>"
        self._answer(200, f"{_XML}{body}</CompleteMultipartUploadResult>")

    def do_PUT(self) -> None:
        taken, query = self._swallow(), self._query()
        if "uploadId" in query:
            with _guard:
                _uploads[query["uploadId"][0]].size_bytes += taken
        self._answer(200, "", etag=True)

    def _query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.path).query, keep_blank_values=True)

    def _swallow(self) -> int:
        """Reads the body; returns how many bytes of the object it was."""
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            return self._swallow_chunks()
        left = int(self.headers.get("Content-Length") or 0)
        size = int(self.headers.get("x-amz-decoded-content-length") or left)
        buffer = memoryview(bytearray(min(left, 1 << 18)))
        while left:
            got = self.rfile.readinto(buffer[: min(left, len(buffer))])
            if not got:
                raise ConnectionResetError
            left -= got
        return size

    def _swallow_chunks(self) -> int:
        while size := int(self.rfile.readline().split(b";")[0], 16):
            self.rfile.read(size + 2)
        while self.rfile.readline().strip():
            pass
        return int(self.headers.get("x-amz-decoded-content-length") or 0)

    def _answer(self, status: int, body: str, *, etag: bool = False, whole: bool = False) -> None:
        data = body.encode()
        self.send_response(status)
        if etag:
            self.send_header("ETag", _ETAG)
        if whole:
            self.send_header("x-amz-checksum-algorithm", "CRC32")
            self.send_header("x-amz-checksum-type", "FULL_OBJECT")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if data and self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Nothing is said."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """Whoever goes away goes away."""


def main() -> None:
    server = _Server(("127.0.0.1", 0), _Sink)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
