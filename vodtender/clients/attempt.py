"""Calls that may hang and that nothing breaks off, made so that one need not wait for them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

_LOOK_SECONDS = 0.1


def attempt(
    call: Callable[[], T],
    timeout_seconds: float,
    give_up: Callable[[], bool],
    discard: Callable[[T], object] = lambda _: None,
) -> T:
    """What `call` returns or raises. It is made by a thread, which is left behind when time is
    up or `give_up` says so; `discard` is given what it returns all the same.

    Raises:
        TimeoutError: it was left behind.
    """
    thread = _Attempt(call, discard)
    thread.start()
    deadline = time.monotonic() + timeout_seconds
    while not thread.ended.wait(_LOOK_SECONDS):
        if give_up() or time.monotonic() >= deadline:
            break
    return thread.result()


class _Attempt(threading.Thread, Generic[T]):
    def __init__(self, call: Callable[[], T], discard: Callable[[T], object]) -> None:
        super().__init__(name="attempt", daemon=True)
        self.ended = threading.Event()
        self._call = call
        self._discard = discard
        self._lock = threading.Lock()
        self._found: list[T] = []
        self._failure: BaseException | None = None
        self._left_behind = False

    def run(self) -> None:
        try:
            found = self._call()
            with self._lock:
                if self._left_behind:
                    self._discard(found)
                else:
                    self._found.append(found)
        except BaseException as error:
            self._failure = error
        self.ended.set()

    def result(self) -> T:
        with self._lock:
            self._left_behind = True
            if self._found:
                return self._found[0]
        if self._failure is not None:
            raise self._failure
        raise TimeoutError
