"""Lines of IRC, as Twitch sends them: tags, source, command, parameters.

References: https://modern.ircdocs.horse/#messages, https://ircv3.net/specs/extensions/message-tags.
Whatever comes is parsed into something; only a line without a command is none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

_ESCAPED = re.compile(r"\\(.?)", re.DOTALL)
_MEANINGS = {":": ";", "s": " ", "\\": "\\", "r": "\r", "n": "\n"}
_TO_ESCAPE = re.compile(r"[; \\\r\n]")
_ESCAPES = {meaning: f"\\{letter}" for letter, meaning in _MEANINGS.items()}


class Line(NamedTuple):
    """One line. `source` is who sent it (`nick!user@host` or a server), or empty."""

    tags: dict[str, str]
    source: str
    command: str
    params: list[str]

    @property
    def nick(self) -> str:
        """The source's name."""
        return self.source.partition("!")[0]

    @property
    def last(self) -> str:
        """The last parameter, which alone may hold spaces; empty if there is none."""
        return self.params[-1] if self.params else ""


def parse(text: str) -> Line | None:
    """The parts of one line, given without its end; None if it has no command."""
    tags: dict[str, str] = {}
    if text.startswith("@"):
        written, _, text = text[1:].partition(" ")
        tags = parse_tags(written)
        text = text.lstrip(" ")
    source = ""
    if text.startswith(":"):
        source, _, text = text[1:].partition(" ")
        text = text.lstrip(" ")
    head, colon, trailing = text.partition(" :")
    command, *params = head.split(" ")
    if "" in params:  # several spaces count as one
        params = [param for param in params if param]
    if not command:
        return None
    if colon:
        params.append(trailing)
    return Line(tags, source, command, params)


def parse_tags(written: str) -> dict[str, str]:
    """What stands between `@` and the first space. A tag without a value has an empty one."""
    pairs = [item.partition("=") for item in written.split(";")]
    if "\\" in written:
        found = {name: tag_value(value) for name, _, value in pairs}
    else:
        found = {name: value for name, _, value in pairs}
    found.pop("", None)
    return found


def tag_value(written: str) -> str:
    """What a tag's value means."""
    return _ESCAPED.sub(_meaning, written)


def command_of(line: bytes) -> bytes:
    """The command alone, without looking at the rest: most lines are of no interest."""
    start = 0
    if line[:1] == b"@":
        start = line.find(b" ") + 1
        if start == 0:
            return b""
    if line[start : start + 1] == b":":
        start = line.find(b" ", start) + 1
        if start == 0:
            return b""
    end = line.find(b" ", start)
    return line[start:] if end < 0 else line[start:end]


def write(
    command: str,
    params: Sequence[str] = (),
    *,
    source: str = "",
    tags: Mapping[str, str] | None = None,
) -> str:
    """One line, without its end. Only the last parameter may hold spaces, begin with a colon or
    be empty; nothing may hold a line's end."""
    written = ""
    if tags:
        pairs = (f"{name}={_TO_ESCAPE.sub(_escape, value)}" for name, value in tags.items())
        written = f"@{';'.join(pairs)} "
    if source:
        written += f":{source} "
    written += command
    for param in params[:-1]:
        written += f" {param}"
    for param in params[-1:]:
        written += f" :{param}"
    return written


def _meaning(match: re.Match[str]) -> str:
    return _MEANINGS.get(match[1], match[1])


def _escape(match: re.Match[str]) -> str:
    return _ESCAPES[match[0]]
