"""What a benchmark finds, and how it measures fairly."""

from __future__ import annotations

import os
import statistics
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Self, TypeVar

Found = TypeVar("Found")


class Effort(Enum):
    """How much is done for a figure."""

    QUICK = "quick"
    FULL = "full"

    def choose(self, quick: int, full: int) -> int:
        return quick if self is Effort.QUICK else full


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the outcome. Without a limit it is only told."""

    name: str
    value: float
    limit: float | None = None
    unit: str = ""
    detail: str = ""

    @property
    def holds(self) -> bool:
        """Whether the limit is kept."""
        return self.limit is None or self.value <= self.limit

    def line(self) -> str:
        verdict = "    " if self.limit is None else "PASS" if self.holds else "FAIL"
        limit = "" if self.limit is None else f"<= {self.limit:g}{self.unit}"
        value = f"{self.value:.2f}{self.unit}"
        return f"{verdict}  {self.name:<46} {value:>10}  {limit:<10}  {self.detail}".rstrip()


def alternating(rounds: int, tasks: Mapping[str, Callable[[], Found]]) -> dict[str, list[Found]]:
    """What each task returned in each round; every other round goes the other way about."""
    found: dict[str, list[Found]] = {name: [] for name in tasks}
    names = list(tasks)
    for number in range(rounds):
        for name in names if number % 2 == 0 else reversed(names):
            found[name].append(tasks[name]())
    return found


def ratio(found: Mapping[str, Sequence[float]], ours: str, theirs: str) -> float:
    """Of the medians."""
    return statistics.median(found[ours]) / statistics.median(found[theirs])


def told(found: Mapping[str, Sequence[float]], *, digits: int = 2) -> str:
    """`ours 1.20 s (min 1.10), theirs …`."""
    return ", ".join(
        f"{name} {statistics.median(taken):.{digits}f} s (min {min(taken):.{digits}f})"
        for name, taken in found.items()
    )


class Peak:
    """The largest of what `look` returns while the block runs."""

    def __init__(self, look: Callable[[], float], every_seconds: float) -> None:
        self.value = 0.0
        self._look = look
        self._every_seconds = every_seconds
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(self._every_seconds):
            self.value = max(self.value, self._look())


@contextmanager
def changed_environment(new: Mapping[str, str]) -> Iterator[None]:
    """This process's own environment, with these variables for as long as the block lasts."""
    before = dict(os.environ)
    os.environ.update(new)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
