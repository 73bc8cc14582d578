"""One line on a terminal for work that is counted in bytes: how far, how fast, how long still."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Self

from vodtender.cli.output import duration, size

if TYPE_CHECKING:
    from rich.progress import Progress, Task


class TransferBar:
    """`bar.tell(phase, done, total)` may be called from any thread, as often as one likes. Off
    a terminal, and without `shown`, nothing is drawn."""

    def __init__(self, *, shown: bool = True) -> None:
        self._progress = _progress() if shown and sys.stderr.isatty() else None
        self._tasks: dict[str, int] = {}

    def tell(self, phase: str, done: int, total: int) -> None:
        if self._progress is None:
            return
        if phase not in self._tasks:
            self._tasks[phase] = self._progress.add_task(phase, total=total)
        self._progress.update(self._tasks[phase], completed=done, total=total)  # type: ignore[arg-type]

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Out of the way while somebody is asked something."""
        if self._progress is None:
            yield
            return
        self._progress.stop()
        try:
            yield
        finally:
            self._progress.start()

    def __enter__(self) -> Self:
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._progress is not None:
            self._progress.stop()


def _progress() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn
    from rich.text import Text

    class Amount(ProgressColumn):
        def render(self, task: Task) -> Text:
            parts = [f"{size(task.completed)} of {size(task.total)}"]
            if task.finished:
                parts.append(f"in {duration(task.finished_time)}")
            elif task.speed:
                parts.append(f"{size(task.speed)}/s")
                if task.time_remaining is not None:
                    parts.append(f"{duration(task.time_remaining)} left")
            return Text(", ".join(parts))

    console = Console(file=sys.stderr, highlight=False, markup=False, emoji=False)
    return Progress(TextColumn("{task.description:>12}"), BarColumn(30), Amount(), console=console)
