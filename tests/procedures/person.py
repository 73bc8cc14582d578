"""Somebody at the terminal."""

from __future__ import annotations

from collections.abc import Callable

from tests.pipeline.logins import Clock


class Person:
    """See `procedures.permission.Person`. Waiting moves the clock, and at the `after`-th wait
    the person `does` something."""

    def __init__(
        self,
        clock: Clock,
        *,
        after: int = 0,
        does: Callable[[], object] = lambda: None,
        seconds_per_wait: float | None = None,
    ) -> None:
        self.clock = clock
        self.waits: list[float] = []
        self.told: list[str] = []
        self.opened: Callable[[str], object] = lambda _url: None
        self._after = after
        self._does = does
        self._seconds_per_wait = seconds_per_wait

    def open(self, url: str) -> None:
        self.opened(url)

    def enter(self, url: str, code: str) -> None:
        self.told.append(f"{url} {code}")

    def typed(self) -> str | None:
        return None

    def tell(self, text: str) -> None:
        self.told.append(text)

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.clock.forward(seconds=self._seconds_per_wait or seconds)
        if len(self.waits) == self._after:
            self._does()
