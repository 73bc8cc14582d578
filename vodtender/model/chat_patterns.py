"""A faster way to read what a flood consists of: PRIVMSGs whose tags are laid out alike.

Twitch names the tags of all messages in the same few orders. Each order that was met is made
into a pattern for the whole line; what fits none is parsed as any line is, with the same result.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

from vodtender.model import irc
from vodtender.model.chat import (
    END_OF_TIME_MS,
    LONGEST_ID,
    LONGEST_NAME,
    ChatMessage,
    Heard,
    Mark,
    read,
)

_WANTED = ("id", "tmi-sent-ts", "user-id", "display-name", "color", "badges", "emotes")
_WANTED_SOMETIMES = ("reply-parent-msg-id", "bits")
_MOST_LAYOUTS = 8
_NAMES = re.compile(r"([^ ;=]+)=[^ ;]*(?:;|$)")


class _Layout(NamedTuple):
    """A pattern, and its groups in the order of the tags above, then nick and text."""

    pattern: re.Pattern[str]
    groups: tuple[int, ...]


class ChatReader:
    """Reads lines of a chat. Not to be shared by threads."""

    def __init__(self) -> None:
        self._layouts: list[_Layout] = []

    def read(self, lines: Sequence[str], first: Heard) -> list[ChatMessage | Mark]:
        """What lines say that were heard together; `first` is where and when the first was.
        What is nothing to record is left out."""
        found = []
        for place, text in enumerate(lines):
            said = self._at_once(text) or self._parsed(text, first, place)
            if said is not None:
                found.append(said)
        return found

    def _at_once(self, text: str) -> ChatMessage | None:
        if "\\" not in text and "\x01" not in text:
            for pattern, groups in self._layouts:
                found = pattern.fullmatch(text)
                if found is not None:
                    return _message(found.group(*groups))
        return None

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
        if len(names) == len(set(names)) == written.count(";") + 1 and set(_WANTED) <= set(names):
            layout = _layout(tuple(names))
            if layout not in self._layouts:
                self._layouts = [layout, *self._layouts][:_MOST_LAYOUTS]


@lru_cache(maxsize=64)
def _layout(names: tuple[str, ...]) -> _Layout:
    wanted = (*_WANTED, *_WANTED_SOMETIMES)
    captured = [name for name in names if name in wanted]
    nothing = len(captured) + 3
    tags = ";".join(
        f"{re.escape(name)}=" + ("([^ ;]*)" if name in wanted else "[^ ;]*") for name in names
    )
    pattern = f"@{tags} :([^ !]*)(?:![^ ]*)? PRIVMSG #[^ ]+ :(.*)()"
    places = [captured.index(name) + 1 if name in captured else nothing for name in wanted]
    return _Layout(re.compile(pattern, re.DOTALL), (*places, nothing - 2, nothing - 1))


def _message(groups: tuple[str, ...]) -> ChatMessage | None:
    """None if anything in it is out of the ordinary."""
    (id_, sent, user_id, display_name, color, badges, emotes, reply_to, bits, nick, said) = groups
    if (
        not 0 < len(id_) <= LONGEST_ID
        or len(nick) > LONGEST_NAME
        or bits
        or not (sent.isascii() and sent.isdigit() and len(sent) < 20)
        or not 0 < (since_1970 := int(sent)) < END_OF_TIME_MS
    ):
        return None
    return ChatMessage(
        id_,
        datetime.fromtimestamp(since_1970 / 1000, UTC),
        nick,
        said,
        "privmsg",
        user_id or None,
        display_name or None,
        color or None,
        badges or None,
        emotes or None,
        reply_to or None,
    )
