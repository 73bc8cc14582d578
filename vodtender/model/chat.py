"""What is said in a chat, what is taken back, and what nobody heard.

References: https://dev.twitch.tv/docs/chat/irc/ (commands and tags).
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from hashlib import blake2b
from typing import NamedTuple

from vodtender.model.irc import Line

RECORDED = frozenset({b"PRIVMSG", b"USERNOTICE", b"CLEARCHAT", b"CLEARMSG"})
"""Commands that say something about the chat; others are about the connection or who is there."""

LONGEST_ID = 100
LONGEST_NAME = 100
"""Of what is looked up by an index, which has no room for an entry of kilobytes."""
END_OF_TIME_MS = 4_102_444_800_000
_ACTION = "\x01ACTION "


class Heard(NamedTuple):
    """Where and when a line arrived: its number within its connection, both chosen so that the
    same line, read a second time from a file, has the same."""

    at: datetime
    connection: str
    number: int


class ChatMessage(NamedTuple):
    """One PRIVMSG or USERNOTICE, in the order of the columns of `chat_messages`.

    Badges and emotes are as Twitch writes them: `subscriber/12,bits/100` and
    `25:0-4,12-16/1902:6-10` (code points of `message`, both ends included; see `emotes_in`).
    """

    message_id: str
    timestamp: datetime
    username: str
    message: str
    kind: str
    user_id: str | None = None
    display_name: str | None = None
    color: str | None = None
    badges: str | None = None
    emotes: str | None = None
    reply_to: str | None = None
    bits: int | None = None
    is_action: bool = False
    notice: str | None = None
    system_message: str | None = None
    details: str | None = None


class Mark(NamedTuple):
    """Something that was said, taken back: one message (`target_id`), all of one user
    (`username`), or everything (neither). `ban_seconds` is 0 for a ban without end."""

    mark_id: str
    at: datetime
    target_id: str | None
    username: str | None
    ban_seconds: int | None


class Gap(NamedTuple):
    """A time in which nobody listened; `until` is None while it lasts."""

    since: datetime
    until: datetime | None
    why: str


class Emote(NamedTuple):
    """Where in a message an emote stands: code points, `end` not included."""

    emote_id: str
    start: int
    end: int


def read(line: Line, heard: Heard, text: str) -> ChatMessage | Mark | None:
    """What a line says; `text` is the whole line. None if it is nothing to record."""
    command = line.command
    if command == "PRIVMSG":
        return _privmsg(line, heard, text)
    if command == "USERNOTICE":
        return _usernotice(line, heard, text)
    if command == "CLEARMSG":
        return _clearmsg(line, heard, text)
    if command == "CLEARCHAT":
        return _clearchat(line, heard, text)
    return None


def emotes_in(written: str | None) -> list[Emote]:
    """The emotes of a message, in the order in which they stand in it."""
    found = []
    for one in (written or "").split("/"):
        emote_id, _, places = one.rpartition(":")
        for place in places.split(","):
            start, _, end = place.partition("-")
            if emote_id and start.isascii() and start.isdigit() and end.isascii() and end.isdigit():
                found.append(Emote(emote_id, int(start), int(end) + 1))
    return sorted(found, key=lambda emote: emote.start)


def badges_in(written: str | None) -> list[tuple[str, str]]:
    """The badges of a message with their versions, in Twitch's order."""
    pairs = ((name, version) for name, _, version in (b.partition("/") for b in _split(written)))
    return list(pairs)


def _split(written: str | None) -> list[str]:
    return written.split(",") if written else []


def _privmsg(line: Line, heard: Heard, text: str) -> ChatMessage | None:
    tags, params = line.tags, line.params
    if len(params) < 2:
        return None
    said = params[-1]
    is_action = said.startswith(_ACTION)
    if is_action:
        said = said[len(_ACTION) :].removesuffix("\x01")
    get = tags.get
    bits = get("bits")
    return ChatMessage(
        _id(get("id"), tags, heard, text),
        _moment(get("tmi-sent-ts"), heard),
        line.source.partition("!")[0][:LONGEST_NAME],
        said,
        "privmsg",
        get("user-id") or None,
        get("display-name") or None,
        get("color") or None,
        get("badges") or None,
        get("emotes") or None,
        get("reply-parent-msg-id") or None,
        _number(bits) if bits else None,
        is_action,
    )


def _usernotice(line: Line, heard: Heard, text: str) -> ChatMessage | None:
    """Subscriptions, raids, announcements …: what the system says, and what the user adds."""
    tags = line.tags
    if not line.params:
        return None
    prefix = "msg-param-"
    details = {name[len(prefix) :]: v for name, v in tags.items() if name.startswith(prefix)}
    return ChatMessage(
        message_id=_id(tags.get("id"), tags, heard, text),
        timestamp=_moment(tags.get("tmi-sent-ts"), heard),
        username=(tags.get("login") or line.nick)[:LONGEST_NAME],
        message=line.params[1] if len(line.params) > 1 else "",
        kind="usernotice",
        user_id=tags.get("user-id") or None,
        display_name=tags.get("display-name") or None,
        color=tags.get("color") or None,
        badges=tags.get("badges") or None,
        emotes=tags.get("emotes") or None,
        notice=tags.get("msg-id") or None,
        system_message=tags.get("system-msg") or None,
        details=json.dumps(details, ensure_ascii=False) if details else None,
    )


def _clearmsg(line: Line, heard: Heard, text: str) -> Mark | None:
    target = line.tags.get("target-msg-id")
    if not target:
        return None
    at = _moment(line.tags.get("tmi-sent-ts"), heard)
    return Mark(_id(None, line.tags, heard, text), at, target[:LONGEST_ID], None, None)


def _clearchat(line: Line, heard: Heard, text: str) -> Mark:
    username = line.params[1][:LONGEST_NAME] if len(line.params) > 1 else None
    seconds = _number(line.tags.get("ban-duration") or "0") if username else None
    at = _moment(line.tags.get("tmi-sent-ts"), heard)
    return Mark(_id(None, line.tags, heard, text), at, None, username, seconds)


def _id(given: str | None, tags: dict[str, str], heard: Heard, text: str) -> str:
    """Twitch's own id. Where there is none, what the line says stands for it if that has a time
    of Twitch's, so that two connections that hear it know it for one; else its place."""
    if given and len(given) <= LONGEST_ID:
        return given
    where = text if "tmi-sent-ts" in tags else f"{heard.connection} {heard.number}"
    return f"own-{blake2b(where.encode(), digest_size=16).hexdigest()}"


def _moment(milliseconds: str | None, heard: Heard) -> datetime:
    """When Twitch says that it was sent; when it was heard if Twitch says nothing sensible."""
    if milliseconds and milliseconds.isascii() and milliseconds.isdigit():
        since_1970 = int(milliseconds[:20])
        if 0 < since_1970 < END_OF_TIME_MS:
            return datetime.fromtimestamp(since_1970 / 1000, UTC)
    return heard.at


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else None
