"""What moves, drawn below the log while `run` has a terminal."""

from __future__ import annotations

import sys
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from vodtender.cli.output import duration, size
from vodtender.errors import VodtenderError
from vodtender.log import printable
from vodtender.store import overview, pause

if TYPE_CHECKING:
    from vodtender.pipeline.workplace import Workplace
    from vodtender.store.overview import Transfer

_REDRAW_SECONDS = 1.0
_BAR_WIDTH = 16
_WIDE = 90
_ARROWS = {"download": "↓", "upload": "↑", "archive": "→"}
_COUNTED = (
    ("queued", ("queued", "retrying")),
    ("live", ("live",)),
    ("on disk", ("downloaded", "held", "uploading", "finalizing", "kept")),
    ("processing", ("verifying",)),
    ("on YouTube", ("published",)),
    ("failed", ("failed",)),
)


class LiveProgress:
    """Draws a few lines at the bottom of the terminal (stderr), and lets the log pass above
    them. `begin` is to be told what to draw; until then there is nothing."""

    def __init__(self) -> None:
        self._console = Console(file=sys.stderr, highlight=False, markup=False, emoji=False)
        self._live = Live(
            console=self._console, auto_refresh=False, transient=True, vertical_overflow="crop"
        )
        self._done = threading.Event()
        self._thread: threading.Thread | None = None
        self.log_stream = _AboveTheLines(self._console)

    def begin(self, place: Workplace, address: str) -> None:
        """The daemon works: from now on there is something to see."""
        self._thread = threading.Thread(
            target=self._draw_on, args=(place, address), name="progress", daemon=True
        )
        self._thread.start()

    def _draw_on(self, place: Workplace, address: str) -> None:
        while not self._done.is_set():
            self._live.update(self._picture(place, address), refresh=True)
            self._done.wait(_REDRAW_SECONDS)

    def _picture(self, place: Workplace, address: str) -> Group:
        try:
            with place.database.transaction(timeout_seconds=5) as connection:
                moving = overview.transfers(connection)
                counts = overview.counts(connection)
                halt = pause.get(connection)
        except VodtenderError as error:
            ending = place.stopping.is_set()
            return Group(_STOPPING if ending else _line(printable(error.message), "bold red"))
        lines: list[RenderableType] = [_table(moving, self._console.width)] if moving else []
        if halt is not None:
            lines.append(_line(f"paused: {printable(halt.reason)}", "bold yellow"))
        if place.stopping.is_set():
            lines.append(_STOPPING)
        return Group(*lines, _line(f"{_counted(counts)}  |  {address}/status", "dim"))

    def __enter__(self) -> Self:
        self._live.start()
        # Whatever ends this process must not leave the terminal without a cursor.
        self._console.show_cursor(True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        if self._thread is not None:
            self._thread.join(_REDRAW_SECONDS)
        self._live.stop()


class _AboveTheLines:
    """A stream for the log. Its lines are neither wrapped nor read as markup."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def write(self, text: str) -> int:
        self._console.print(Text(text), end="", soft_wrap=True)
        return len(text)

    def flush(self) -> None:
        """Every line is shown at once."""


def _table(moving: list[Transfer], columns: int) -> Table:
    """One line each; a narrow terminal does without the bar."""
    bar = columns >= _WIDE
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(no_wrap=True)
    table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    if bar:
        table.add_column(width=_BAR_WIDTH)
    for _ in range(3):
        table.add_column(justify="right", no_wrap=True)
    for one in moving:
        cells: list[RenderableType] = [
            f"{_ARROWS[one.direction]} {one.vod_id}",
            Text(printable(one.title)),
        ]
        if bar:
            cells.append(_bar(one))
        of = f" of {size(one.bytes_total)}" if one.bytes_total else ""
        cells.append(f"{size(one.bytes_done)}{of}")
        cells.append("" if one.bytes_per_second is None else f"{size(one.bytes_per_second)}/s")
        cells.append("" if one.seconds_left is None else f"{duration(one.seconds_left)} left")
        table.add_row(*cells)
    return table


def _bar(one: Transfer) -> RenderableType:
    if not one.bytes_total:
        return Text(one.phase)
    return ProgressBar(total=one.bytes_total, completed=one.bytes_done, pulse=False)


def _counted(counts: dict[str, dict[str, int]]) -> str:
    total = {
        name: sum(states.get(state, 0) for states in counts.values() for state in counted)
        for name, counted in _COUNTED
    }
    return ", ".join(f"{number} {name}" for name, number in total.items() if number) or "no VODs"


def _line(text: str, style: str) -> Text:
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")


_STOPPING = _line("stopping; Ctrl-C again ends at once", "bold yellow")
