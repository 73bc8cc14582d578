"""Chat as files have it: JSON, CSV, and subtitles as SRT and ASS.

A message goes in and a piece of the file comes out, so that a chat of any length passes through.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from vodtender.model.chat import badges_in, emotes_in

FORMATS = ("json", "csv", "srt", "ass")
SHOWN_SECONDS = 6.0
"""How long a subtitle stays."""

Message = Mapping[str, Any]
"""One row of `chat_messages`."""

_COLUMNS = (
    "message_id",
    "timestamp",
    "relative_seconds",
    "username",
    "display_name",
    "message",
    "kind",
    "deleted_at",
    "user_id",
    "color",
    "badges",
    "emotes",
    "reply_to",
    "bits",
    "is_action",
    "notice",
    "system_message",
)
_DELETED = "[deleted] "
_LINE_ENDS = re.compile(r"[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]+")
_COLOUR = re.compile(r"#[0-9A-Fa-f]{6}")
_ASS_HEAD = """\
[Script Info]
ScriptType: v4.00+
PlayResX: 1920
PlayResY: 1080
WrapStyle: 0

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, \
Bold, Italic, Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, \
Alignment, MarginL, MarginR, MarginV, Encoding
Style: Chat,Arial,36,&H00FFFFFF,&H00FFFFFF,&H00000000,&H80000000,0,0,0,0,100,100,0,0,1,2,0,1,\
40,40,40,1

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""


def written(form: str, head: Message, messages: Iterable[Message]) -> Iterator[str]:
    """The file, piece by piece. `head` is what is known of the whole; only JSON has it."""
    if form == "json":
        return _json(head, messages)
    if form == "csv":
        return _csv(messages)
    return _srt(messages) if form == "srt" else _ass(messages)


def _json(head: Message, messages: Iterable[Message]) -> Iterator[str]:
    """One document, a line for each message."""
    opened = json.dumps({name: _plain(value) for name, value in head.items()}, ensure_ascii=False)
    yield opened[:-1] + ', "messages": ['
    between = "\n"
    for message in messages:
        yield between + json.dumps(_json_message(message), ensure_ascii=False)
        between = ",\n"
    yield "\n]}\n"


def _json_message(message: Message) -> dict[str, Any]:
    found = {name: _plain(message[name]) for name in (*_COLUMNS, "details")}
    found["badges"] = [
        {"name": name, "version": version} for name, version in badges_in(message["badges"])
    ]
    found["emotes"] = [
        {"id": emote.emote_id, "start": emote.start, "end": emote.end}
        for emote in emotes_in(message["emotes"])
    ]
    return found


def _csv(messages: Iterable[Message]) -> Iterator[str]:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(_COLUMNS)
    for message in messages:
        writer.writerow("" if message[name] is None else _cell(message[name]) for name in _COLUMNS)
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)
    return _plain(value)


def _srt(messages: Iterable[Message]) -> Iterator[str]:
    for number, message in enumerate(messages, 1):
        start, end = _span(message)
        # A blank line would end the subtitle, and a `<` may begin markup.
        text = _one_line(f"{_name(message)}: {_said(message)}").replace("<", "‹")
        yield f"{number}\n{_clock(start, ',')} --> {_clock(end, ',')}\n{text}\n\n"


def _ass(messages: Iterable[Message]) -> Iterator[str]:
    yield _ASS_HEAD
    for message in messages:
        start, end = _span(message)
        name, said = _ass_text(_name(message)), _ass_text(_said(message))
        colour = _ass_colour(message["color"])
        text = f"{{\\b1{colour}}}{name}{{\\b0\\c&HFFFFFF&}}: {said}"
        yield f"Dialogue: 0,{_ass_clock(start)},{_ass_clock(end)},Chat,,0,0,0,,{text}\n"


def _span(message: Message) -> tuple[float, float]:
    """What was said before the video begins is shown at its beginning."""
    start = max(0.0, message["relative_seconds"] or 0.0)
    return start, start + SHOWN_SECONDS


def _name(message: Message) -> str:
    return str(message["display_name"] or message["username"])


def _said(message: Message) -> str:
    notice, said = message["system_message"], message["message"]
    text = " ".join(part for part in (notice, said) if part)
    return (_DELETED if message["deleted_at"] is not None else "") + text


def _one_line(text: str) -> str:
    return _LINE_ENDS.sub(" ", text).strip()


def _clock(seconds: float, point: str) -> str:
    milliseconds = round(seconds * 1000)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{milliseconds // 1000:02}{point}{milliseconds % 1000:03}"


def _ass_clock(seconds: float) -> str:
    hundredths = round(seconds * 100)
    minutes, hundredths = divmod(hundredths, 6000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{hundredths // 100:02}.{hundredths % 100:02}"


def _ass_text(text: str) -> str:
    """Braces and backslashes are markup there, and cannot be escaped everywhere."""
    plain = text.replace("\\", "⧵").replace("{", "❴").replace("}", "❵")
    return _one_line(plain)


def _ass_colour(colour: str | None) -> str:
    if colour is None or not _COLOUR.fullmatch(colour):
        return ""
    red, green, blue = colour[1:3], colour[3:5], colour[5:7]
    return f"\\c&H{blue}{green}{red}&".upper().replace("\\C", "\\c")


def moment(at: datetime | None) -> str | None:
    """UTC with `Z`, to the millisecond, as Twitch has them."""
    if at is None:
        return None
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _plain(value: Any) -> Any:
    return moment(value) if isinstance(value, datetime) else value
