"""A bad network: a TCP relay that cuts, delays and corrupts at random."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

_CHUNK_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class Badness:
    """Chances for each chunk of up to 16 KiB. `corrupt` flips one bit, which nothing but
    encryption notices; so it is for encrypted connections only."""

    cut: float = 0.0
    delay: float = 0.0
    corrupt: float = 0.0
    longest_delay_seconds: float = 0.5


class Relay:
    """Listens on loopback and passes everything on to where `connect` leads."""

    def __init__(
        self, connect: Callable[[], socket.socket], badness: Badness, chance: Random
    ) -> None:
        self._connect = connect
        self._badness = badness
        self._chance = chance
        self._stopping = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self.cuts = 0
        self._ends: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._accept, name="relay", daemon=True)]
        self._threads[0].start()

    def calm(self) -> None:
        """From now on everything is passed on as it is."""
        self._badness = Badness()

    def close(self) -> None:
        """Breaks every connection and waits until nothing of the relay is left."""
        self._stopping.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join()
        with self._lock:
            ends = list(self._ends)
        for end in ends:
            _shut(end)
        for thread in self._threads[1:]:
            thread.join()

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = self._connect()
            except OSError:
                client.close()
                continue
            with self._lock:
                self._ends |= {client, server}
            thread = threading.Thread(target=self._relay, args=(client, server), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _relay(self, client: socket.socket, server: socket.socket) -> None:
        back = threading.Thread(target=self._pass_on, args=(server, client), daemon=True)
        back.start()
        self._pass_on(client, server)
        back.join()
        for end in (client, server):
            end.close()
        with self._lock:
            self._ends -= {client, server}

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while not self._stopping.is_set():
                chunk = source.recv(_CHUNK_BYTES)
                if not chunk:
                    break
                target.sendall(self._spoilt(chunk))
        for end in (source, target):
            _shut(end)

    def _spoilt(self, chunk: bytes) -> bytes:
        badness, chance = self._badness, self._chance
        if chance.random() < badness.cut:
            self.cuts += 1
            raise ConnectionResetError
        if chance.random() < badness.delay:
            self._stopping.wait(chance.uniform(0, badness.longest_delay_seconds))
        if chance.random() < badness.corrupt:
            spoilt = bytearray(chunk)
            spoilt[chance.randrange(len(spoilt))] ^= 1 << chance.randrange(8)
            return bytes(spoilt)
        return chunk


def _shut(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
