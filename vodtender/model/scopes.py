"""Which permissions our work needs, and which of them a login lacks.

Sources: "Authorization" on the pages of `videos.insert`, `channels.list`, `playlistItems.list`
and `playlistItems.insert` at https://developers.google.com/youtube/v3/docs
"""

from __future__ import annotations

from collections.abc import Sequence

YOUTUBE = "https://www.googleapis.com/auth/youtube"
_READONLY = "https://www.googleapis.com/auth/youtube.readonly"
_UPLOAD = "https://www.googleapis.com/auth/youtube.upload"
_EVERYTHING = frozenset(
    {
        YOUTUBE,
        "https://www.googleapis.com/auth/youtube.force-ssl",
        "https://www.googleapis.com/auth/youtubepartner",
    }
)


def missing_youtube(granted: Sequence[str], *, playlist: bool) -> tuple[str, ...]:
    """What is to be asked for besides, to upload, to see what became of it and, with
    `playlist`, to put it into one. To upload alone is not enough: presence on YouTube is what
    proves an upload."""
    if _EVERYTHING.intersection(granted):
        return ()
    if not playlist and {_UPLOAD, _READONLY}.issubset(granted):
        return ()
    return (YOUTUBE,)


def missing_twitch(granted: Sequence[str], wanted: Sequence[str]) -> tuple[str, ...]:
    """Which of the wanted permissions were not given."""
    return tuple(scope for scope in wanted if scope not in granted)
