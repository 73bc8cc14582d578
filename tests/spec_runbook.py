"""The SQL of the operators' runbook, verbatim, with the heading that promises its effect.

`runbook_sql.yaml` holds the statements on our tables; `extract` takes them from the runbook
itself, wherever that is at hand.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

import yaml

_HERE = Path(__file__).parent
_NAME = Path("shared/spec/operational-runbooks.md")
_OURS = re.compile(r"\b(?:FROM|UPDATE|INTO)\s+(?:vods|kv|chat_messages)\b", re.IGNORECASE)
_FENCE = re.compile(r"^[ ]*```(\w+)\n(.*?)^[ ]*```$", re.DOTALL | re.MULTILINE)
_PSQL = re.compile(r"psql\b[^\n\"]*-c \"(.*?)\"", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Statement:
    """One thing to be typed into psql; may be several statements at once."""

    name: str
    under: str
    sql: str


def known() -> dict[str, Statement]:
    """The statements of the data file, by the names that the tests call them."""
    found = yaml.safe_load((_HERE / "runbook_sql.yaml").read_text())
    return {
        name: Statement(name, entry["under"], entry["sql"].strip()) for name, entry in found.items()
    }


def spec() -> Path | None:
    """The runbook beside the repository, if it is there."""
    for directory in (_HERE.parent, *_HERE.parents):
        path = directory.parent / _NAME
        if path.is_file():
            return path
    return None


def extract(runbook: str) -> set[tuple[str, str]]:
    """Each heading with each of its statements on our tables."""
    found = set()
    for fence in _FENCE.finditer(runbook):
        under = re.findall(r"^#{2,4} (.+)$", runbook[: fence.start()], re.MULTILINE)[-1]
        language, text = fence.groups()
        texts = _statements(text) if language == "sql" else _PSQL.findall(text)
        found |= {(under, _trimmed(sql)) for sql in texts if _OURS.search(sql)}
    return found


def _statements(text: str) -> list[str]:
    """A block of SQL as its statements, without comments."""
    bare = re.sub(r"^\s*--.*$", "", text, flags=re.MULTILINE)
    return [f"{statement};" for statement in bare.split(";") if statement.strip()]


def _trimmed(sql: str) -> str:
    return "\n".join(line.rstrip() for line in textwrap.dedent(sql).strip().splitlines())
