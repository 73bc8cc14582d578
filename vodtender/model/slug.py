"""The name of a VOD's file: readable, and harmless in every shell and on every file system."""

from __future__ import annotations

import re
import unicodedata

from vodtender.errors import UsageError

SLUG_LENGTH = 80
"""Longest slug, in characters; all of them are ASCII, so in bytes too."""

UNTITLED = "untitled"

_DIGITS_TOGETHER = 8
_SPELLED = str.maketrans(
    {
        "ß": "ss",
        "ẞ": "ss",
        "æ": "ae",
        "Æ": "ae",
        "œ": "oe",
        "Œ": "oe",
        "ø": "o",
        "Ø": "o",
        "ð": "d",
        "Ð": "d",
        "đ": "d",
        "Đ": "d",
        "þ": "th",
        "Þ": "th",
        "ł": "l",
        "Ł": "l",
        "ı": "i",
        "&": " and ",
        **dict.fromkeys("'’ʼ`´"),
    }
)
"""Letters that Unicode does not take apart, and apostrophes, which join what they stand in."""

_VOD_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z-]{0,39}")


def file_name(title: str, vod_id: str) -> str:
    """`<title-slug>_<vod_id>.mp4`: at most 125 bytes of `a-z 0-9 - _ .`, and the id's letters.

    The only underscore is the one before the id, so `*_<vod_id>.mp4` names one VOD.

    Raises:
        UsageError: the id holds something that does not belong into a file name.
    """
    if not _VOD_ID.fullmatch(vod_id):
        raise UsageError(
            f"{vod_id[:40]!a} is not a VOD id, so no file can be named after it",
            hint="a VOD id is the number in https://www.twitch.tv/videos/NUMBER",
            code="vod_id",
        )
    return f"{slug(title)}_{vod_id}.mp4"


def slug(title: str) -> str:
    """The title in lower-case ASCII letters, digits and single hyphens; never empty.

    Accents are dropped, other scripts and emoji left out: names that mix directions or
    look alike are hard to type at night, and the title itself is in the database. Long
    numbers are broken up, lest a title that names another VOD carry that VOD's id.
    """
    plain = unicodedata.normalize("NFKD", title.translate(_SPELLED))
    letters = "".join(c for c in plain if not unicodedata.combining(c)).lower()
    words = re.sub(r"[^a-z0-9]+", "-", letters.translate(_SPELLED))
    broken = re.sub(rf"([0-9]{{{_DIGITS_TOGETHER}}})(?=[0-9])", r"\1-", words)
    return broken.strip("-")[:SLUG_LENGTH].rstrip("-") or UNTITLED
