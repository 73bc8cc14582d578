"""The daemon's HTTP server: status, health and metrics."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from vodtender import log, metrics
from vodtender.config.forms import Address
from vodtender.daemon.gauges import Gauges
from vodtender.errors import DatabaseUnavailable, SettingsError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from vodtender.daemon.lanes import Gate
    from vodtender.pipeline.workplace import Workplace
    from vodtender.store.database import Database

_BACKLOG = 128
_STATUS_SECONDS = 10.0
_METRICS_SECONDS = 5.0
_HEALTH_SECONDS = 3.0
_AWAY_SECONDS = 0.5
"""So long an answer waits for the database."""

_log = log.get("http")


class WebServer:
    """Binds its address at once, so that one that is taken is an error before anything starts;
    answers from `serve` on, in a thread of its own.

    Raises:
        SettingsError: the address is taken or not this machine's.
    """

    def __init__(self, address: Address) -> None:
        self._socket = _bound(address)
        host, port = self._socket.getsockname()[:2]
        self.address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        self._server: Any = None
        self._thread: threading.Thread | None = None

    def serve(self, place: Workplace, gate: Gate) -> None:
        """Begins to answer."""
        import uvicorn

        config = uvicorn.Config(
            application(place, gate),
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            timeout_keep_alive=5,
            timeout_graceful_shutdown=2,
            server_header=False,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), name="http", daemon=True
        )
        self._thread.start()

    def is_alive(self) -> bool:
        """Whether it still answers."""
        return self._thread is not None and self._thread.is_alive()

    def close(self) -> None:
        """Stops answering."""
        if self._server is not None:
            self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(5)
        self._socket.close()


def application(place: Workplace, gate: Gate) -> Any:
    """The routes, as an ASGI application."""
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.middleware import Middleware
    from starlette.routing import Route

    routes = _Routes(place, gate)
    return Starlette(
        routes=[
            Route("/status", routes.status),
            Route("/livez", routes.livez),
            Route("/healthz", routes.healthz),
            Route("/readyz", routes.readyz),
            Route("/metrics", routes.metrics),
        ],
        middleware=[Middleware(_Timed)],
        exception_handlers={HTTPException: _refused, Exception: _broken},
    )


class _Routes:
    """Plain functions are run in threads, so that a database that hangs holds up no other
    answer; `livez` needs none, so that it answers when all of them hang."""

    def __init__(self, place: Workplace, gate: Gate) -> None:
        self._place = place
        self._gate = gate
        self._gauges = Gauges(place)

    def status(self, _request: Request) -> Response:
        from vodtender.procedures import status

        settings = self._place.settings
        try:
            with self._database(_STATUS_SECONDS) as (database, seconds):
                return _json(status.document(database, settings, timeout_seconds=seconds))
        except DatabaseUnavailable as error:
            return _json(status.unavailable(error, settings), 503)

    async def livez(self, _request: Request) -> Response:
        return _json({"status": "ok"})

    def healthz(self, _request: Request) -> Response:
        return self._answers_if_the_database_does()

    def readyz(self, _request: Request) -> Response:
        return self._answers_if_the_database_does()

    def metrics(self, _request: Request) -> Response:
        """While the database is away only what this process counts, so that graphs of the rest
        show a gap and no wrong zero."""
        from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
        from starlette.responses import Response

        gauges = b""
        with suppress(DatabaseUnavailable), self._database(_METRICS_SECONDS) as (_, seconds):
            gauges = self._gauges.text(seconds)
        body = generate_latest(metrics.REGISTRY) + gauges
        return Response(body, media_type=CONTENT_TYPE_LATEST)

    def _answers_if_the_database_does(self) -> Response:
        try:
            with (
                self._database(_HEALTH_SECONDS) as (database, seconds),
                database.transaction(timeout_seconds=seconds) as connection,
            ):
                connection.execute("SELECT 1")
        except DatabaseUnavailable as error:
            return _json({"status": "database unavailable", "error": error.message}, 503)
        return _json({"status": "ok"})

    @contextmanager
    def _database(self, seconds: float) -> Iterator[tuple[Database, float]]:
        """The database, and how long to wait for it: not long when it is known to be away, so
        that probes get their answer in time."""
        watch = self._gate.database
        try:
            yield self._place.database, seconds if watch.away_since is None else _AWAY_SECONDS
        except DatabaseUnavailable as error:
            watch.failed(error, time.time())
            raise
        watch.works()


async def _refused(_request: Request, error: Any) -> Response:
    """No such path, or not with this method."""
    response = _json({"error": error.detail}, error.status_code)
    response.headers.update(error.headers or {})
    return response


async def _broken(_request: Request, error: Exception) -> Response:
    _log.error("internal error", exc=error)
    return _json({"error": "Internal Server Error"}, 500)


class _Timed:
    """Measures how long answers take, by route."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.monotonic()
        status = "500"

        async def noting(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            # Others' paths and methods would make a time series each.
            known = status not in ("404", "405")
            path, method = (scope["path"], scope["method"]) if known else ("other", "other")
            elapsed = time.monotonic() - began
            metrics.http_request_seconds.labels(method, path, status).observe(elapsed)


def _json(document: Any, status: int = 200) -> Response:
    from starlette.responses import Response

    body = json.dumps(document, ensure_ascii=False, indent=2) + "\n"
    return Response(body, status_code=status, media_type="application/json")


def _bound(address: Address) -> socket.socket:
    try:
        return _listening(address)
    except OSError as error:
        raise SettingsError(
            f"HTTP_ADDR {address.host}:{address.port} cannot be listened on: {error.strerror}",
            hint="another daemon may run already (vodtender status); port 0 takes a free one",
            code="http_addr",
        ) from error


def _listening(address: Address) -> socket.socket:
    found = socket.getaddrinfo(
        address.host or None, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    family, kind, protocol, _, where = found[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(where)
        listening.listen(_BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening
