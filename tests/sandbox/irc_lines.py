"""The lines that Twitch's chat sends, and what was said in them.

Source: https://dev.twitch.tv/docs/chat/irc and /docs/chat/irc/#supported-tags
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

SERVER = "tmi.twitch.tv"


@dataclass(frozen=True, slots=True)
class Said:
    """One message that the chat server has sent. `heard`: by so many connections."""

    id: str
    channel: str
    user: str
    text: str
    sent_ms: int
    heard: int


@dataclass(frozen=True, slots=True)
class Flood:
    """Many messages, all alike but for their number. `heard`: by how many connections each."""

    channel: str
    first: int
    heard: list[int] = field(default_factory=list)

    def ids(self, *, heard_only: bool = True) -> Iterator[str]:
        for place, heard in enumerate(self.heard):
            if heard or not heard_only:
                yield message_id(self.first + place)


def message_id(number: int) -> str:
    """An id of Twitch's form."""
    return f"{number:08x}-5ead-4b0c-8000-{number:012x}"


def escaped(value: str) -> str:
    """A tag's value as IRCv3 wants it."""
    for plain, code in (("\\", "\\\\"), (";", "\\:"), (" ", "\\s"), ("\r", "\\r"), ("\n", "\\n")):
        value = value.replace(plain, code)
    return value


def tags_text(tags: dict[str, str]) -> str:
    return ";".join(f"{name}={escaped(value)}" for name, value in tags.items())


def message_tags(number: int, user: str, room_id: str, sent_ms: int) -> dict[str, str]:
    """What comes with an ordinary message."""
    return {
        "badge-info": "subscriber/14",
        "badges": "subscriber/12,premium/1",
        "client-nonce": f"{number:032x}",
        "color": "#1E90FF",
        "display-name": user.capitalize(),
        "emotes": "",
        "first-msg": "0",
        "flags": "",
        "id": message_id(number),
        "mod": "0",
        "returning-chatter": "0",
        "room-id": room_id,
        "subscriber": "1",
        "tmi-sent-ts": str(sent_ms),
        "turbo": "0",
        "user-id": str(100_000 + sum(user.encode())),
        "user-type": "",
    }


def flood_template(channel: str, room_id: str, text: str) -> str:
    """One message with places for `id`, `ms` and `n`; about 400 bytes, as the real ones."""
    tags = tags_text(message_tags(0, "flooder", room_id, 0))
    tags = tags.replace(message_id(0), "%(id)s").replace("tmi-sent-ts=0", "tmi-sent-ts=%(ms)d")
    source = "flooder!flooder@flooder.tmi.twitch.tv"
    return f"@{tags} :{source} PRIVMSG #{channel} :{text} %(n)d\r\n"


def welcome(nick: str) -> str:
    lines = (
        f"001 {nick} :Welcome, GLHF!",
        f"002 {nick} :Your host is {SERVER}",
        f"003 {nick} :This server is rather new",
        f"004 {nick} :-",
        f"375 {nick} :-",
        f"372 {nick} :You are in a maze of twisty passages, all alike.",
        f"376 {nick} :>",
    )
    return "".join(f":{SERVER} {line}\r\n" for line in lines)


def joined(nick: str, channel: str, room_id: str) -> str:
    person = f"{nick}!{nick}@{nick}.{SERVER}"
    return (
        f":{person} JOIN #{channel}\r\n"
        f":{nick}.{SERVER} 353 {nick} = #{channel} :{nick}\r\n"
        f":{nick}.{SERVER} 366 {nick} #{channel} :End of /NAMES list\r\n"
        f"@emote-only=0;followers-only=-1;r9k=0;room-id={room_id};slow=0;subs-only=0"
        f" :{SERVER} ROOMSTATE #{channel}\r\n"
    )
