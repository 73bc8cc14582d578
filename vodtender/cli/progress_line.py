"""One line on stderr that is drawn over and over, where a person watches."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Self

from vodtender.cli.output import fit
from vodtender.log import printable

_COLUMNS = 79


class ProgressLine:
    """Gone at the end of a `with`. Off a terminal it is never there."""

    def __init__(self) -> None:
        self._watched = sys.stderr.isatty()

    def show(self, text: str) -> None:
        """Replaces what it said."""
        self._write(fit(printable(text), _COLUMNS))

    def _write(self, text: str) -> None:
        if self._watched:
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._write("")
