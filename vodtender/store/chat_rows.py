"""Rows of `chat_messages` as COPY reads them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from vodtender.model.chat import ChatMessage
from vodtender.model.chat_patterns import Plain
from vodtender.model.irc import tag_value

COLUMNS = (
    '"timestamp", relative_seconds, message_id, vod_id, channel, username, message, kind, user_id,'
    " display_name, color, badges, emotes, reply_to, bits, is_action, notice, system_message,"
    " details"
)
_TABS = COLUMNS.count(",")
NULL = " \x01"
"""What stands for NULL. No field of a `Plain` is ever this."""
COPY = f"COPY {{}} ({COLUMNS}) FROM STDIN WITH (NULL '{NULL}')"
_ESCAPES = (("\\", r"\\"), ("\t", r"\t"), ("\n", r"\n"), ("\r", r"\r"), ("\x01", "\\\x01"))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Home(NamedTuple):
    """Whose rows they are. `began_at` is from where relative times are counted."""

    vod_id: str
    channel: str
    began_at: datetime


def of_plain(messages: Sequence[Plain], home: Home) -> str:
    """One row each. This is what a flood passes through: nothing is escaped unless something has
    to be, which is seen in all rows at once."""
    rows = _plain_rows(messages, home)
    block = "".join(rows)
    if _needs_no_escape(block, len(rows)):
        return block
    odd = [n for n, row in enumerate(rows) if not _needs_no_escape(row, 1)]
    for n, row in zip(odd, _plain_rows([_safe(messages[n]) for n in odd], home), strict=True):
        rows[n] = row
    return "".join(rows)


def _needs_no_escape(rows: str, number: int) -> bool:
    return (
        "\\" not in rows
        and "\r" not in rows
        and rows.count("\n") == number
        and rows.count("\t") == number * _TABS
    )


def _safe(plain: Plain) -> Plain:
    *tags, nick, said = plain
    return (*(_escaped(tag_value(one)) for one in tags), _escaped(nick), _escaped(said))


def _plain_rows(messages: Iterable[Plain], home: Home) -> list[str]:
    began = (home.began_at - _EPOCH) // _MICROSECOND
    place = f"\t{_escaped(home.vod_id)}\t{_escaped(home.channel)}\t"
    last = f"\t{NULL}\tf\t{NULL}\t{NULL}\t{NULL}\n"
    seconds: dict[str, str] = {}
    rows = []
    for id_, sent, user, name, color, badges, emotes, reply, nick, said in messages:
        whole = sent[:10]
        second = seconds.get(whole)
        if second is None:
            second = seconds[whole] = _second(whole)
        rows.append(
            f"{second}.{sent[10:]}Z\t{int(sent) * 1000 - began}e-6\t{id_}{place}{nick}"
            f"\t{said}\tprivmsg\t{user or NULL}\t{name or NULL}\t{color or NULL}"
            f"\t{badges or NULL}\t{emotes or NULL}\t{reply or NULL}{last}"
        )
    return rows


def of_messages(messages: Iterable[ChatMessage], home: Home) -> str:
    """One row each."""
    return "".join(_row(message, home) for message in messages)


def _row(m: ChatMessage, home: Home) -> str:
    optional = (m.user_id, m.display_name, m.color, m.badges, m.emotes, m.reply_to)
    fields = (
        m.timestamp.isoformat(),
        str((m.timestamp - home.began_at).total_seconds()),
        *(_escaped(text) for text in (m.message_id, home.vod_id, home.channel)),
        *(_escaped(text) for text in (m.username, m.message, m.kind)),
        *(_escaped(text) if text else NULL for text in optional),
        NULL if m.bits is None else str(m.bits),
        str(m.is_action),
        *(_escaped(text) if text else NULL for text in (m.notice, m.system_message, m.details)),
    )
    return "\t".join(fields) + "\n"


def _second(since_1970: str) -> str:
    return datetime.fromtimestamp(int(since_1970), UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _escaped(text: str) -> str:
    for letter, escape in _ESCAPES:
        if letter in text:
            text = text.replace(letter, escape)
    return text
