"""What a command did to one thing, or would do in a dry run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Change:
    """`before` and `after` have the same keys. What stayed as it was says why in `note`."""

    target: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    note: str = ""

    @property
    def changed(self) -> bool:
        """Whether anything is (or would be) different."""
        return dict(self.before) != dict(self.after)
