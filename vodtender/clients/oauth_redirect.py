"""Catches the redirect at the end of a login in a browser on this machine (RFC 8252)."""

from __future__ import annotations

import hmac
import queue
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

from vodtender.errors import AuthExpired, Refused

_LOOPBACK = {"127.0.0.1": ("127.0.0.1",), "::1": ("::1",), "localhost": ("127.0.0.1", "::1")}
_PAGE = (
    "<!doctype html><html lang=en><meta charset=utf-8><title>vodtender</title>"
    "<p style='font:1.2em sans-serif;margin:3em'>{text}</p></html>"
)


class RedirectReceiver:
    """Listens on this machine only, from `with` on, until it is left.

    `redirect_uri` then holds the address to give to the service, with the port that was free
    if none was asked for.

    Raises:
        Refused: the redirect URI is not of this machine, or its port is taken.
    """

    def __init__(self, redirect_uri: str, state: str) -> None:
        parts = urlsplit(redirect_uri)
        host = parts.hostname or ""
        if parts.scheme != "http" or host not in _LOOPBACK:
            raise Refused(
                f"the redirect URI {redirect_uri} does not lead to this machine, so a browser "
                "login cannot end here",
                hint="register http://localhost:PORT as redirect URI, or log in with a code: "
                "add --device",
            )
        self._state = state
        self._path = parts.path or "/"
        self._answers: queue.Queue[dict[str, str]] = queue.Queue()
        self._host = host
        self._port = parts.port or 0
        self._servers: list[ThreadingHTTPServer] = []
        self.redirect_uri = redirect_uri

    def _listen(self, host: str, port: int) -> list[ThreadingHTTPServer]:
        servers: list[ThreadingHTTPServer] = []
        for address in _LOOPBACK[host]:
            try:
                server = _server(address, port, self._handler())
            except OSError as error:
                if servers:
                    break  # no IPv6 here
                raise Refused(
                    f"nothing can listen on {host} port {port} ({error.strerror})",
                    hint="end what uses that port, or log in with a code: add --device",
                ) from error
            servers.append(server)
            port = int(server.server_address[1])
        return servers

    def __enter__(self) -> RedirectReceiver:
        self._servers = self._listen(self._host, self._port)
        if not self._port:
            shown = f"[{self._host}]" if ":" in self._host else self._host
            port = self._servers[0].server_address[1]
            self.redirect_uri = f"http://{shown}:{port}{self._path}"
        for server in self._servers:
            threading.Thread(
                target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
            ).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def poll(self, seconds: float) -> str | None:
        """The code that came with the redirect; None: not within so many seconds.

        Raises:
            AuthExpired: `access_denied`, or the error that the service names.
        """
        try:
            answer = self._answers.get(timeout=seconds)
        except queue.Empty:
            return None
        if "code" in answer:
            return answer["code"]
        reason = answer["error"] if answer["error"].replace("_", "").isalnum() else "refused"
        raise AuthExpired(f"the login was not permitted ({reason[:50]})", code=reason[:50].lower())

    def paste(self, address: str) -> bool:
        """Takes the redirect's address from a person whose browser, on another machine, could
        not open it. False if it is not of this login."""
        return self._receive(address.strip())[0] == 200

    def _receive(self, target: str) -> tuple[int, str]:
        """Status and text for one request of the browser's."""
        parts = urlsplit(target)
        if (parts.path or "/") != self._path:
            return 404, "Nothing is here."
        fields = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if not hmac.compare_digest(fields.get("state", "").encode(), self._state.encode()):
            return 400, "This answer belongs to another login. Begin again at the terminal."
        if "code" not in fields and "error" not in fields:
            return 400, "This answer holds no code."
        self._answers.put(fields)
        if "code" in fields:
            return 200, "Done. You can close this page and go back to the terminal."
        return 200, "The permission was not given. You can close this page."

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receive = self._receive

        class Handler(BaseHTTPRequestHandler):
            timeout = 10

            def do_GET(self) -> None:
                status, text = receive(self.path)
                page = _PAGE.format(text=text).encode()
                self.send_response(status)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(page)))
                self.send_header("Referrer-Policy", "no-referrer")
                self.end_headers()
                self.wfile.write(page)

            def log_message(self, *_args: Any) -> None:
                """The request line holds the code."""

        return Handler


def _server(address: str, port: int, handler: type[BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        daemon_threads = True

        def server_bind(self) -> None:
            # HTTPServer's own looks up the machine's name, which can take seconds.
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.socket.bind(self.server_address)
            self.server_address = self.socket.getsockname()
            self.server_name, self.server_port = address, self.server_address[1]

        def handle_error(self, _request: Any, _client_address: Any) -> None:
            """A browser that hangs up is no event."""

    return Server((address, port), handler)
