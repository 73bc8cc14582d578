"""`vodtender run`: start, work, stop."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from vodtender import __version__, log
from vodtender.clients.certificates import trusted_certificates
from vodtender.clients.ytdlp.process import check_arguments
from vodtender.config.settings import Settings
from vodtender.daemon.chat import Chat
from vodtender.daemon.chores import Chores
from vodtender.daemon.lanes import Bell, Gate, LaneThread
from vodtender.daemon.listener import Listener
from vodtender.daemon.lookout import Lookout, LookoutThread
from vodtender.daemon.nothing_left import Verdict, nothing_left
from vodtender.daemon.registration import registered
from vodtender.daemon.timetable import scheduled
from vodtender.daemon.web import WebServer
from vodtender.errors import DatabaseUnavailable, Exit, SettingsError, VodtenderError
from vodtender.pipeline import download, upload, verify
from vodtender.pipeline.accounts import Accounts
from vodtender.pipeline.directory import open_directory
from vodtender.pipeline.room import DownloadRoom
from vodtender.pipeline.workplace import Workplace
from vodtender.procedures.base_backup import follow_setting
from vodtender.procedures.opening import made_anew, open_database, open_embedded
from vodtender.store import overview
from vodtender.store.database import Database

_TICK_SECONDS = 0.25
_RING_SECONDS = 1.0
_CHORES_END_SECONDS = 3.0
_SETTLED = frozenset({"published", "kept", "failed", "skipped"})
"""States in which nothing is done any more."""

ServiceThread = LookoutThread | Listener | LaneThread | Chat
"""Each keeps in `failure` what it died of."""

_log = log.get("daemon")


@dataclass(frozen=True, slots=True)
class RunMode:
    """`until_done`: until nothing more can be done; `once`: without waiting for anything."""

    until_done: bool = False
    once: bool = False

    @property
    def ends(self) -> bool:
        """Whether it ends without being told to."""
        return self.until_done or self.once


class ServiceDiedError(VodtenderError):
    """A thread that must not end has ended."""

    code = "service_died"


def run(
    settings: Settings, mode: RunMode, on_ready: Callable[[Workplace, str], None] | None = None
) -> Exit:
    """Works until a signal comes, or until nothing is left to do in `mode`. A signal is an
    ordinary end: what was in hand is at a safe point, and the next start goes on from there.

    `on_ready` is told the workplace and the address of the HTTP server.

    Raises:
        SettingsError, DatabaseUnavailable: it cannot start.
        VodtenderError: a part of it died; everything was stopped.
    """
    if not settings.channels and not mode.ends:
        raise _no_channel("there would never be anything to do")
    signals = _Signals()
    with ExitStack() as stack:
        stack.enter_context(signals.caught())
        trusted_certificates()  # a wrong SSL_CERT_FILE would keep it from everything it does
        directory = open_directory(settings.data_dir)
        if settings.ytdlp_args:
            check_arguments(settings.ytdlp_args)
        web = WebServer(settings.http_addr)
        stack.callback(web.close)
        if lost := made_anew(settings):
            _log.warning(lost)
        # Before there are connections, which the restart that it may take would break; and with a
        # share in the server, which would end again after it.
        open_embedded(settings, stack, create=True)
        follow_setting(settings, _log.warning)
        database = stack.enter_context(open_database(settings, pooled=True, create=True))
        if not settings.channels:
            _require_work(database)
        place = Workplace(
            settings=settings,
            database=database,
            directory=directory,
            worker_id=f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}",
            accounts=Accounts(settings, database),
            room=DownloadRoom(directory, settings.disk_reserve),
            helix=_helix(settings),
        )
        stack.enter_context(registered(place))
        service = _Service(place, mode, signals, web)
        return service.run(on_ready)


class _Signals:
    """Counts SIGINT and SIGTERM. The first asks to stop; the second ends the process."""

    def __init__(self) -> None:
        # Not an Event: a handler that sets one waits for ever if it interrupts a wait for it.
        self.came = False

    @contextmanager
    def caught(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {
            number: signal.signal(number, self._handle)
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        if self.came:
            os._exit(Exit.INTERRUPTED)  # the children notice that we are gone
        self.came = True


class _Service:
    def __init__(self, place: Workplace, mode: RunMode, signals: _Signals, web: WebServer) -> None:
        self._place = place
        self._mode = mode
        self._signals = signals
        self._web = web
        self._bell = Bell()
        self._gate = Gate(place)
        self._chores = Chores(place, self._gate, self._bell)
        self._next_ring = 0.0
        self._lookout = Lookout(place, self._gate, self._bell, once=mode.ends)
        self._listener = Listener(place.database, self._bell)
        self._chat = Chat(place, self._gate)
        self._lanes = [
            LaneThread(f"{lane.name} {number}", place, lane, self._gate, self._bell)
            for lane, count in (
                (download.LANE, place.settings.max_concurrent_downloads),
                (upload.LANE, 1),
                (verify.LANE, 1),
            )
            for number in range(1, count + 1)
        ]

    def run(self, on_ready: Callable[[Workplace, str], None] | None) -> Exit:
        scheduler = scheduled(self._chores)
        self._web.serve(self._place, self._gate)
        _log.info(
            "started",
            version=__version__,
            worker=self._place.worker_id,
            http=self._web.address,
            channels=",".join(self._place.settings.channels),
        )
        if on_ready is not None:
            on_ready(self._place, self._web.address)
        # Before anything is taken in hand: what the dead hold would be taken for somebody's work.
        self._chores.guarded(self._chores.heartbeat)()
        scheduler.start()
        for thread in self._threads:
            thread.start()
        try:
            self._watch()
        finally:
            self._place.stopping.set()
            self._bell.ring()
            self._listener.stop()
            scheduler.shutdown(wait=False)
            self._join()
        return Exit.DONE

    @property
    def _threads(self) -> list[ServiceThread]:
        return [*self._lookout.threads, self._listener, self._chat, *self._lanes]

    def _watch(self) -> None:
        """Until there is a reason to stop."""
        while not self._signals.came:
            time.sleep(_TICK_SECONDS)
            for thread in self._threads:
                if not thread.is_alive():
                    raise _died(thread)
            if not self._web.is_alive():
                raise ServiceDiedError("The HTTP server has ended.", hint="see the log above")
            if self._is_done():
                _log.info("nothing more can be done now")
                return
        _log.info("stopping: work in hand is brought to a safe point")

    def _is_done(self) -> bool:
        draining = self._gate.draining.is_set()
        if not (self._mode.ends or draining):
            return False
        if not (draining or self._lookout.is_settled):
            return False
        if time.monotonic() >= self._next_ring:
            self._next_ring = time.monotonic() + _RING_SECONDS
            self._bell.ring()  # what was waiting may be due
        try:
            verdict = nothing_left(self._place, self._gate, patient=self._mode.until_done)
        except DatabaseUnavailable as error:
            self._gate.database_failed(error)
            return False
        if verdict is Verdict.NO_ROOM:
            _log.warning("downloads are left", why=self._place.room.why_some_wait())
        return verdict is not Verdict.BUSY

    def _join(self) -> None:
        deadline = time.monotonic() + self._place.settings.shutdown_timeout.total_seconds()
        working = [*self._lanes, self._chat]
        for thread in working:
            if thread.ident is not None:
                thread.join(max(0.0, deadline - time.monotonic()))
        slow = [thread.name for thread in working if thread.is_alive()]
        if slow:
            _log.warning("not at a safe point in time; left behind", lanes=", ".join(slow))
        self._chores.wait(min(_CHORES_END_SECONDS, max(0.0, deadline - time.monotonic())))


def _require_work(database: Database) -> None:
    """Without a channel there is work only if VODs were added by hand."""
    with database.transaction() as connection:
        states = overview.counts(connection).values()
    if not any(state not in _SETTLED for counted in states for state in counted):
        raise _no_channel("no VOD waits in the database")


def _no_channel(consequence: str) -> SettingsError:
    return SettingsError(
        f"No channel is set, and {consequence}.",
        hint="TWITCH_CHANNEL=name vodtender run; single VODs: vodtender add URL,"
        " then vodtender run --drain",
        code="no_channel",
    )


def _helix(settings: Settings) -> Any:
    if settings.twitch_client_id is None or settings.twitch_client_secret is None:
        return None
    from vodtender.clients.twitch.helix import Helix

    return Helix(settings.twitch_client_id, settings.twitch_client_secret)


def _died(thread: ServiceThread) -> VodtenderError:
    if isinstance(thread.failure, VodtenderError):
        return thread.failure
    _log.error("a thread has died", thread=thread.name, exc=thread.failure)
    return ServiceDiedError(
        f"The thread {thread.name!r} has died: {thread.failure!r}; everything was stopped.",
        hint="run it again with --debug and report the traceback",
    )
