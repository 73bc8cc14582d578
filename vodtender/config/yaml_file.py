"""Reads `vodtender.yaml` into texts with the lines they stand on.

Values stay as they are written: YAML would make an octal number of `0123`, a number of minutes
of `1:30` and a date of `2026-11-23`. So only the tree is taken from the library, never the
values that it makes of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import yaml

LARGEST_BYTES = 1024 * 1024

_NULL = "tag:yaml.org,2002:null"


@dataclass(frozen=True, slots=True)
class Entry:
    """A value as written. `origin` is `environment` or `FILE:LINE`."""

    value: str | tuple[str, ...]
    origin: str

    @property
    def is_set(self) -> bool:
        return bool(self.value.strip()) if isinstance(self.value, str) else bool(self.value)


@dataclass(frozen=True, slots=True)
class Document:
    """What a file says: the entries by name in capitals, and what is wrong with it."""

    entries: dict[str, Entry]
    problems: list[str]


def read(path: Path) -> Document:
    """Everything the file says. What is wrong is listed, not raised."""
    try:
        text = _text(path)
        root = _tree(path, text)
        if root is None:
            return Document({}, [])
        return _document(path, root)
    except ValueError as error:
        return Document({}, [str(error)])


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_BYTES + 1)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ValueError(f"{path}: cannot be read: {reason}") from None
    if len(data) > LARGEST_BYTES:
        raise ValueError(f"{path}: larger than 1 MiB, so this is no settings file")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{path}:{line}: not UTF-8") from None


def _tree(path: Path, text: str) -> yaml.Node | None:
    import yaml

    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        # What is quoted may be a value: `DB_PASSWORD: *abc` is an alias that does not exist.
        what = re.sub(r"'[\w!.-]{2,}'", "'…'", error.problem or error.context or "")
        raise ValueError(f"{path}:{line}: not YAML: {what}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ValueError(f"{path}:{line}: a control character, which YAML forbids") from None
    except RecursionError:
        raise ValueError(f"{path}: nested too deeply") from None


def _document(path: Path, root: yaml.Node) -> Document:
    import yaml

    if not isinstance(root, yaml.MappingNode):
        if root.tag == _NULL:
            return Document({}, [])
        line = root.start_mark.line + 1
        raise ValueError(f"{path}:{line}: expected lines of the form NAME: value")
    document, lines = Document({}, []), dict[str, int]()
    for key, value in root.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            document.problems.append(f"{path}:{line}: expected a setting's name")
            continue
        name = key.value.strip().upper()
        if name in lines:
            document.problems.append(
                f"{path}:{line}: {name} is set a second time, first on line {lines[name]}"
            )
            continue
        lines[name] = line
        try:
            document.entries[name] = Entry(_value(value), f"{path}:{line}")
        except ValueError as error:
            document.problems.append(f"{path}:{line}: {name}: {error}")
    return document


def _value(node: yaml.Node) -> str | tuple[str, ...]:
    import yaml

    if isinstance(node, yaml.SequenceNode):
        return tuple(_items(node))
    if isinstance(node, yaml.MappingNode):
        raise ValueError("expected one value, not a mapping")  # noqa: TRY004 - the operator's value is wrong
    return "" if node.tag == _NULL else str(node.value)


def _items(node: yaml.SequenceNode) -> Iterator[str]:
    import yaml

    for item in node.value:
        if not isinstance(item, yaml.ScalarNode):
            raise ValueError("expected a list of plain values")  # noqa: TRY004 - as above
        yield "" if item.tag == _NULL else str(item.value)
