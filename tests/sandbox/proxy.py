"""The door to the sandbox: an HTTP proxy that answers for every host itself.

A client sent here by `HTTPS_PROXY` asks for `CONNECT host:443`; the proxy speaks TLS with a
certificate made for that name, so the client meets the real host name and nothing in it
needs to know. Plain `http://` requests are answered without TLS.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
import traceback
from collections.abc import Callable
from fnmatch import fnmatchcase
from http import HTTPStatus
from urllib.parse import urlsplit

from tests.sandbox.certificates import Certificates
from tests.sandbox.faults import Faults
from tests.sandbox.record import Record, Seen
from tests.sandbox.wire import Cut, Headers, Host, Request, Response

LONGEST_LINE_BYTES = 1 << 16
WRITE_BYTES = 1 << 18
IDLE_TIMEOUT_SECONDS = 120.0
BODILESS = {204, 304}


class Proxy:
    """Listens on 127.0.0.1, one thread per connection, until `stop`."""

    def __init__(
        self,
        hosts: dict[str, Host],
        faults: Faults,
        record: Record,
        certificates: Certificates | None = None,
    ) -> None:
        self.hosts = hosts
        self.faults = faults
        self.record = record
        self.certificates = certificates or Certificates()
        self.tunnels: dict[str, Callable[[int], Callable[[socket.socket], None] | None]] = {}
        """Hosts that do not speak HTTP: who serves a connection to one of their ports."""
        self.port = 0
        self._listener: socket.socket | None = None
        self._lock = threading.Lock()
        self._connections: dict[threading.Thread, socket.socket] = {}
        self._acceptor: threading.Thread | None = None
        self._stopping = threading.Event()
        self.connected = True
        """False: connections are closed as soon as they come."""

    def start(self, port: int = 0) -> None:
        self._listener = socket.create_server(("127.0.0.1", port), backlog=256)
        self.port = self._listener.getsockname()[1]
        self._acceptor = threading.Thread(target=self._accept, name="sandbox", daemon=True)
        self._acceptor.start()

    def stop(self) -> None:
        """Close everything and wait for the threads; what is in hand is cut."""
        self._stopping.set()
        self.faults.clear()
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
        if self._acceptor is not None:
            self._acceptor.join(5)
        for thread in self._break_all():
            thread.join(5)

    def disconnect(self) -> None:
        """Break every connection, and every new one until `connected` is set again."""
        self.connected = False
        self._break_all()

    def _break_all(self) -> list[threading.Thread]:
        with self._lock:
            for connection in self._connections.values():
                # Wakes a thread that is blocked on it; the thread closes it.
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)
            return list(self._connections)

    def host_for(self, name: str) -> Host | None:
        exact = self.hosts.get(name)
        if exact is not None:
            return exact
        return next((h for p, h in self.hosts.items() if fnmatchcase(name, p)), None)

    def _accept(self) -> None:
        assert self._listener is not None
        while not self._stopping.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.settimeout(IDLE_TIMEOUT_SECONDS)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            with self._lock:
                self._connections[thread] = connection
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        conversation = Conversation(self, connection)
        try:
            # What the client does to its own connection is its business.
            with contextlib.suppress(OSError, Cut, ValueError):
                conversation.run()
        finally:
            conversation.close()
            with self._lock:
                self._connections.pop(threading.current_thread(), None)

    def replace_connection(self, connection: socket.socket) -> None:
        with self._lock:
            self._connections[threading.current_thread()] = connection

    @property
    def stopping(self) -> bool:
        return self._stopping.is_set()


class Conversation:
    """One client's connection: perhaps a CONNECT, then requests until somebody closes it."""

    def __init__(self, proxy: Proxy, connection: socket.socket) -> None:
        self._proxy = proxy
        self._connection = connection
        self._reader = connection.makefile("rb")
        self._tunnel_host: str | None = None

    def close(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._reader.close()
        with contextlib.suppress(OSError):
            self._connection.close()

    def run(self) -> None:
        while self._proxy.connected and not self._proxy.stopping:
            head = self._read_head()
            if head is None:
                return
            method, target, headers = head
            if method == "CONNECT":
                if not self._open_tunnel(target, headers):
                    return
            elif not self._answer(self._request(method, target, headers)):
                return

    def _read_head(self) -> tuple[str, str, Headers] | None:
        line = self._reader.readline(LONGEST_LINE_BYTES)
        while line in (b"\r\n", b"\n"):
            line = self._reader.readline(LONGEST_LINE_BYTES)
        if not line:
            return None
        method, target, _version = line.decode("latin-1").split(" ", 2)
        headers: Headers = {}
        while True:
            line = self._reader.readline(LONGEST_LINE_BYTES)
            if not line:
                return None
            if line in (b"\r\n", b"\n"):
                return method, target, headers
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()

    def _open_tunnel(self, target: str, headers: Headers) -> bool:
        """Speak TLS as this host; False when no request will follow: a fault wants that it
        cannot be reached, or it does not speak HTTP and has been served."""
        host, _, port = target.rpartition(":")
        request = Request("CONNECT", "https", host, "", "", headers, self._reader)
        refusals = [f.before(request) for f in self._proxy.faults.due(request) if f.before]
        refusal = next((r for r in refusals if r is not None), None)
        if refusal is not None:
            self._note(request, time.monotonic(), self._proxy.host_for(host), refusal)
            self._send(request, refusal)
            return False
        self._connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        serve = self._proxy.tunnels[host](int(port)) if host in self._proxy.tunnels else None
        if serve is not None:
            serve(self._connection)
            return False
        self._reader.close()
        context = self._proxy.certificates.context(host)
        self._connection = context.wrap_socket(self._connection, server_side=True)
        self._proxy.replace_connection(self._connection)
        self._reader = self._connection.makefile("rb")
        self._tunnel_host = host
        return True

    def _request(self, method: str, target: str, headers: Headers) -> Request:
        parts = urlsplit(target)
        if self._tunnel_host is not None:
            scheme, host = "https", self._tunnel_host
        else:
            scheme, host = "http", parts.hostname or headers.get("host", "").split(":")[0]
        request = Request(
            method, scheme, host, parts.path or "/", parts.query, headers, self._reader
        )
        if headers.get("expect", "").lower() == "100-continue":
            request.before_body = lambda: self._connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        return request

    def _answer(self, request: Request) -> bool:
        """Answer one request; False when the connection is not to be used again."""
        host = self._proxy.host_for(request.host)
        started = time.monotonic()
        try:
            response = self._work(request, host)
            if not response.lost:
                request.drain()
        except (Cut, OSError):
            self._note(request, started, host)
            raise
        # Noted before it is sent: whoever has the answer finds its request in the record.
        self._note(request, started, host, response)
        if response.lost:
            return False
        whole = self._send(request, response)
        return whole and request.headers.get("connection", "").lower() != "close"

    def _note(
        self,
        request: Request,
        started: float,
        host: Host | None,
        response: Response | None = None,
    ) -> None:
        answered = response is not None and response.answers
        seen = Seen(
            started,
            request.method,
            request.scheme,
            request.host,
            request.path,
            request.query_text,
            request.headers,
            response.status if response is not None and answered else 0,
            request.body_bytes_read,
            response.sent_bytes if response is not None else 0,
        )
        self._proxy.record.add(seen, expected=host is not None)

    def _work(self, request: Request, host: Host | None) -> Response:
        faults = self._proxy.faults.due(request)
        response: Response | None = None
        for fault in faults:
            if fault.before is not None:
                response = fault.before(request) or response
        if response is None:
            response = self._ask(host, request)
        for fault in faults:
            if fault.after is not None:
                response = fault.after(response)
        return response

    def _ask(self, host: Host | None, request: Request) -> Response:
        if host is None:
            return Response.of_text(f"the sandbox does not play {request.host}\n", 502)
        try:
            return host(request)
        except (Cut, OSError):
            raise
        except json.JSONDecodeError:
            return Response.of_json({"error": "the body is not JSON", "status": 400}, 400)
        except Exception:  # a defect of the sandbox: the `world` fixture fails the test
            self._proxy.record.add_crash(traceback.format_exc())
            return Response.of_text("the sandbox itself failed\n", 500)

    def _send(self, request: Request, response: Response) -> bool:
        """Send the answer; False when it ends before its end."""
        lines = [f"HTTP/1.1 {response.status} {_phrase(response.status)}"]
        lines += [f"{name}: {value}" for name, value in response.headers.items()]
        given = {name.lower() for name in response.headers}
        if response.length_unsaid:
            lines.append("Connection: close")
        elif "content-length" not in given and response.status not in BODILESS:
            lines.append(f"Content-Length: {len(response.body)}")
        self._connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        if request.method == "HEAD":
            return True
        body = memoryview(response.body)[: response.sent_bytes]
        if response.hold is not None:
            self._send_body(body[: response.hold.after_bytes], response.bytes_per_second)
            response.hold.wait()
            body = body[response.hold.after_bytes :]
        self._send_body(body, response.bytes_per_second)
        return response.answers and not response.length_unsaid

    def _send_body(self, body: memoryview, bytes_per_second: float | None) -> None:
        step = WRITE_BYTES
        if bytes_per_second is not None:
            step = max(1, int(bytes_per_second / 20))
        for start in range(0, len(body), step):
            piece = body[start : start + step]
            self._connection.sendall(piece)
            if bytes_per_second is not None and not self._proxy.stopping:
                time.sleep(len(piece) / bytes_per_second)


def _phrase(status: int) -> str:
    if status == 308:
        return "Resume Incomplete"
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
