"""What a procedure that moves many bytes tells while it runs, and whether it is to stop."""

from __future__ import annotations

from collections.abc import Callable

Tell = Callable[[str, int, int], object]
"""Told what is done now ("dumping"), how many bytes of how many."""

Stop = Callable[[], bool]
"""Asked often: whether to give up what is half done."""


def silent(_phase: str, _done: int, _total: int) -> None:
    """Tells nobody."""


def never() -> bool:
    """Nothing stops it."""
    return False
