"""What a video is called on YouTube: title, description and tags that YouTube accepts.

Limits: https://developers.google.com/youtube/v3/docs/videos#properties
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from string import Formatter
from typing import Any

from vodtender.errors import SettingsError
from vodtender.model.legal_text import cut, one_line, printable, utf16_units
from vodtender.model.timestamp import rfc3339

TITLE_MAX = 100
DESCRIPTION_MAX_BYTES = 5000
TAGS_MAX = 500

PLACEHOLDERS = ("title", "channel", "date", "vod_id", "url", "part", "parts", "duration")

_MARKER = "vodtender:"
_LOOKS_LIKE_MARKER = re.compile(rf"^(\s*){_MARKER}", re.MULTILINE | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class VodFacts:
    """What templates may speak of."""

    vod_id: str
    title: str
    channel: str
    began_at: datetime
    duration_seconds: float
    url: str


@dataclass(frozen=True, slots=True)
class Presentation:
    """How videos are presented: the settings YT_TITLE_TEMPLATE, YT_PRIVACY and so on."""

    title_template: str = "{title}"
    description_template: str = "{title}\n\n{channel}, {date}, {duration}\n{url}"
    privacy: str = "private"
    category_id: str = "20"
    tags: tuple[str, ...] = ()
    language: str | None = None
    recording_date: bool = True


@dataclass(frozen=True, slots=True)
class VideoMetadata:
    """A video's resource as it is sent to YouTube."""

    title: str
    description: str
    marker: str
    tags: tuple[str, ...]
    category_id: str
    privacy: str
    language: str | None
    recorded_at: datetime | None

    def body(self) -> dict[str, Any]:
        """The resource of `videos.insert`, for the parts that `parts()` names."""
        snippet: dict[str, Any] = {
            "title": self.title,
            "description": self.description,
            "categoryId": self.category_id,
        }
        if self.tags:
            snippet["tags"] = list(self.tags)
        if self.language:
            snippet["defaultLanguage"] = self.language
            snippet["defaultAudioLanguage"] = self.language
        status = {"privacyStatus": self.privacy, "selfDeclaredMadeForKids": False}
        resource: dict[str, Any] = {"snippet": snippet, "status": status}
        if self.recorded_at is not None:
            resource["recordingDetails"] = {"recordingDate": rfc3339(self.recorded_at)}
        return resource

    def parts(self) -> str:
        """The value of the request's `part` parameter: what `body` holds."""
        return ",".join(self.body())


def marker(vod_id: str, part: int = 1, parts: int = 1) -> str:
    """The line in a description by which an upload is recognised as ours."""
    return f"{_MARKER}{vod_id}" if parts <= 1 else f"{_MARKER}{vod_id}/{part}"


def carries(description: str, wanted: str) -> bool:
    """Whether a description holds that marker as a line of its own."""
    return any(line.strip() == wanted for line in description.splitlines())


def compose(
    vod: VodFacts, presentation: Presentation, part: int = 1, parts: int = 1
) -> VideoMetadata:
    """The metadata of one part of a VOD (of the whole, where `parts` is 1).

    Raises:
        SettingsError: a template has a placeholder that does not exist.
    """
    values = _values(vod, part, parts)
    ours = marker(vod.vod_id, part, parts)
    return VideoMetadata(
        title=_title(presentation.title_template, values, part, parts),
        description=_description(presentation.description_template, values, ours),
        marker=ours,
        tags=legal_tags(presentation.tags),
        category_id=presentation.category_id,
        privacy=presentation.privacy,
        language=presentation.language,
        recorded_at=vod.began_at if presentation.recording_date else None,
    )


def check_template(setting: str, template: str) -> None:
    """Raises SettingsError, naming the setting, if the template cannot be filled."""
    for _ in _fields(setting, template):
        pass


def _values(vod: VodFacts, part: int, parts: int) -> dict[str, str]:
    seconds = max(0, round(vod.duration_seconds))
    return {
        "title": one_line(vod.title),
        "channel": one_line(vod.channel),
        "date": vod.began_at.astimezone(UTC).date().isoformat(),
        "vod_id": vod.vod_id,
        "url": vod.url,
        "part": str(part),
        "parts": str(parts),
        "duration": f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}",
    }


def _fields(setting: str, template: str) -> Iterable[tuple[str, str | None]]:
    """Literal text and placeholder, alternating. Only plain names count: with attributes or
    indexes a template could reach into the program."""
    try:
        pieces = list(Formatter().parse(template))
    except ValueError as error:
        raise SettingsError(
            f"{setting} cannot be read as a template: {error}",
            hint="a brace that is meant as a brace is written twice: {{ or }}",
        ) from None
    for literal, name, spec, conversion in pieces:
        if name is not None and (name not in PLACEHOLDERS or spec or conversion):
            raise SettingsError(
                f"{setting} has an unknown placeholder {{{name}}}",
                hint="known are " + " ".join(f"{{{known}}}" for known in PLACEHOLDERS),
            )
        yield literal, name


def _fill(setting: str, template: str, values: Mapping[str, str]) -> str:
    return "".join(
        literal + (values[name] if name is not None else "")
        for literal, name in _fields(setting, template)
    )


def _title(template: str, values: Mapping[str, str], part: int, parts: int) -> str:
    """YouTube says "100 characters" and not of which kind. Counted here are UTF-16 units, of
    which a text has never fewer than characters, so that neither reading refuses it."""
    whole = one_line(_fill("YT_TITLE_TEMPLATE", template, values))
    if not whole:
        whole = one_line(f"{values['channel']} {values['date']}")
    suffix = f" ({part}/{parts})" if parts > 1 else ""
    names_part = any(name == "part" for _, name in _fields("YT_TITLE_TEMPLATE", template))
    if names_part and utf16_units(whole) <= TITLE_MAX:
        return whole
    return cut(whole, TITLE_MAX - len(suffix), utf16_units) + suffix


def _description(template: str, values: Mapping[str, str], ours: str) -> str:
    """The marker comes last and is never cut; nothing else may look like one, or a stream
    titled like a marker would pass for another VOD's upload."""
    text = printable(_fill("YT_DESCRIPTION_TEMPLATE", template, values)).strip()
    text = _LOOKS_LIKE_MARKER.sub(r"\1vodtender ", text)
    ending = f"\n\n{ours}" if text else ours
    return cut(text, DESCRIPTION_MAX_BYTES - len(ending.encode()), _utf8_bytes) + ending


def _utf8_bytes(text: str) -> int:
    return len(text.encode())


def legal_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Those tags, cleaned, that fit into the 500 characters YouTube allows for all of them
    together; a tag with a space counts with two quotation marks, and commas count."""
    kept: list[str] = []
    used = 0
    for raw in tags:
        tag = one_line(raw.replace(",", " ").replace('"', ""))
        cost = utf16_units(tag) + (2 if " " in tag else 0) + (1 if kept else 0)
        if tag and tag not in kept and used + cost <= TAGS_MAX:
            kept.append(tag)
            used += cost
    return tuple(kept)
