"""Asks Twitch which channels are live."""

from __future__ import annotations

from collections.abc import Sequence

from vodtender.errors import Rejected
from vodtender.model.discovery import LiveStream
from vodtender.pipeline.workplace import Workplace


def live_streams(place: Workplace, channels: Sequence[str]) -> dict[str, LiveStream]:
    """The streams on the air by channel: from Twitch's API, else through yt-dlp.

    Raises:
        Answer: it cannot be told now.
    """
    if place.helix is not None:
        return place.helix.live_streams(channels)
    from vodtender.clients.ytdlp.process import live_stream

    found: dict[str, LiveStream] = {}
    for channel in channels:
        try:
            stream = live_stream(
                channel,
                cookies_path=place.settings.ytdlp_cookies_path,
                extra_args=place.settings.ytdlp_args,
                should_stop=place.stopping.is_set,
            )
        except Rejected:
            continue  # discovery says what is wrong with it
        if stream is not None:
            found[channel] = stream
    return found
