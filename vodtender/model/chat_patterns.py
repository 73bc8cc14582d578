"""A faster way to read what a flood consists of: PRIVMSGs whose tags are laid out alike.

Twitch names the tags of all messages in the same few orders. Each order that was met is made
into a pattern for the whole line; what fits none is parsed as any line is, with the same meaning.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from vodtender.model import irc
from vodtender.model.chat import (
    LONGEST_ID,
    LONGEST_NAME,
    ChatMessage,
    Heard,
    Mark,
    read,
)

Plain = tuple[str, ...]
"""A PRIVMSG as it was on the wire: the values of its tags in the order of `_FORMS`, nick, text.
The time has 13 digits; the text has no U+0001, so it is no action, and there are no bits."""

_FORMS = {
    "id": f"[^;]{{1,{LONGEST_ID}}}+",
    "tmi-sent-ts": "[1-3][0-9]{12}",
    "user-id": "[^;]*+",
    "display-name": "[^;]*+",
    "color": "[^;]*+",
    "badges": "[^;]*+",
    "emotes": "[^;]*+",
    "reply-parent-msg-id": "[^;]*+",
}
"""What the values of the wanted tags look like. That they hold no space is seen by where the
first one is: a set of two characters would take three times as long to match."""
_OPTIONAL = "reply-parent-msg-id"
_MOST_LAYOUTS = 4
_NAMES = re.compile(r"([^ ;=]+)=[^ ;]*(?:;|$)")


class _Layout(NamedTuple):
    """A pattern, and its groups in the order of a `Plain`; `nick` is one of them."""

    pattern: re.Pattern[str]
    groups: tuple[int, ...]
    nick: int


class ChatReader:
    """Reads lines of a chat. Not to be shared by threads."""

    def __init__(self) -> None:
        self._layouts: dict[int, list[_Layout]] = {}
        """By how many tags there are but for the first: that tells nearly all apart."""

    def read(
        self, lines: Sequence[str], first: Heard
    ) -> tuple[list[Plain], list[ChatMessage | Mark]]:
        """What lines say that were heard together; `first` is where and when the first was.
        What is nothing to record is left out."""
        plain, others = list[Plain](), list[ChatMessage | Mark]()
        for place, text in enumerate(lines):
            space = text.find(" ")
            for pattern, groups, nick in self._layouts.get(text.count(";", 0, space), ()):
                found = pattern.fullmatch(text)
                if found is not None and found.start(nick) == space + 2:
                    plain.append(found.group(*groups))
                    break
            else:
                said = self._parsed(text, first, place)
                if said is not None:
                    others.append(said)
        return plain, others

    def _parsed(self, text: str, first: Heard, place: int) -> ChatMessage | Mark | None:
        self._learn(text)
        line = irc.parse(text)
        heard = first._replace(number=first.number + place)
        return None if line is None else read(line, heard, text)

    def _learn(self, text: str) -> None:
        written = text.partition(" ")[0]
        if not written.startswith("@") or " PRIVMSG #" not in text:
            return
        names = _NAMES.findall(written[1:])
        needed = _FORMS.keys() - {_OPTIONAL}
        if len(names) == len(set(names)) == written.count(";") + 1 and needed <= set(names):
            layout = _layout(tuple(names))
            there = self._layouts.setdefault(len(names) - 1, [])
            if layout not in there:
                there.insert(0, layout)
                del there[_MOST_LAYOUTS:]


@lru_cache(maxsize=64)
def _layout(names: tuple[str, ...]) -> _Layout:
    captured = [name for name in names if name in _FORMS]
    tags = ";".join(f"{re.escape(name)}={_value(name)}" for name in names[:-1])
    last = f"{re.escape(names[-1])}={_value(names[-1]).replace('[^;]', '[^; ]')}"
    nick = f"([^ !]{{0,{LONGEST_NAME}}}+)"
    pattern = f"@{tags};{last} :{nick}(?:![^ ]*+)? PRIVMSG #[^ ]++ :([^\x01]*+)()"
    count = len(captured)
    places = [captured.index(name) + 1 if name in captured else count + 3 for name in _FORMS]
    return _Layout(re.compile(pattern), (*places, count + 1, count + 2), count + 1)


def _value(name: str) -> str:
    if name == "bits":
        return ""
    return f"({_FORMS[name]})" if name in _FORMS else "[^;]*+"
