"""yt-dlp's extractors of Twitch, raising our answers where Twitch's reply says what is wrong, so
that no sentence is ever searched for a meaning.
"""

from __future__ import annotations

from typing import Any

from yt_dlp.extractor.twitch import TwitchBaseIE, TwitchVideosIE, TwitchVodIE
from yt_dlp.utils import ExtractorError, unified_timestamp

from vodtender.clients.ytdlp import answers
from vodtender.errors import Rejected, Transient


class VodIE(TwitchVodIE):  # type: ignore[misc]
    """yt-dlp's VOD extractor, raising our answers where Twitch's reply is clear."""

    answers_with_cookies = False

    @classmethod
    def ie_key(cls) -> str:
        return "TwitchVod"

    def _download_base_gql(self, video_id: str, ops: Any, note: str, fatal: bool = True) -> Any:
        data = super()._download_base_gql(video_id, ops, note, fatal)
        if isinstance(ops, list):
            _check_metadata(data, video_id)
        else:
            _check_token(data, video_id)
        return data

    def _extract_m3u8_formats(self, url: str, video_id: str, *args: Any, **kwargs: Any) -> Any:
        try:
            formats = super()._extract_m3u8_formats(url, video_id, *args, **kwargs)
        except ExtractorError as error:
            refusal = answers.http_error(error)
            if refusal is None:
                raise
            raise answers.from_manifest_refusal(
                refusal, video_id, has_cookies=self.answers_with_cookies
            ) from error
        if not formats:
            said = "The VOD's list of formats from Twitch is empty."
            raise Transient(said, code="garbage_playlist")
        return formats


class VideosIE(TwitchVideosIE):  # type: ignore[misc]
    """yt-dlp's channel listing, keeping what else the entries say."""

    answers_with_cookies = False

    @classmethod
    def ie_key(cls) -> str:
        return "TwitchVideos"

    def _download_base_gql(self, video_id: str, ops: Any, note: str, fatal: bool = True) -> Any:
        data = super()._download_base_gql(video_id, ops, note, fatal)
        first = _first_data(data, video_id)
        user = first.get("user")
        if user is None or (isinstance(user, dict) and user.get("id") == ""):
            raise _no_channel(video_id)
        videos = user.get("videos") if isinstance(user, dict) else None
        if not isinstance(videos, dict) or not isinstance(videos.get("edges"), list):
            raise answers.garbage(f"the VODs of channel {video_id} are not listed in it")
        return data

    @staticmethod
    def _extract_entry(node: dict[str, Any]) -> dict[str, Any] | None:
        entry: dict[str, Any] | None = TwitchVideosIE._extract_entry(node)
        if entry is not None:
            entry["timestamp"] = unified_timestamp(node.get("publishedAt"))
            entry["broadcast_type"] = node.get("broadcastType")
        return entry


class LiveIE(TwitchBaseIE):  # type: ignore[misc]
    """Asks as yt-dlp's stream extractor does whether a channel is live, and no more."""

    def look(self, channel: str) -> dict[str, Any] | None:
        operation = {
            "operationName": "StreamMetadata",
            "variables": {"channelLogin": channel, "includeIsDJ": True},
        }
        data = self._download_gql(channel, [operation], "Asking whether the channel is live")
        user = _first_data(data, f"channel {channel}").get("user")
        if user is None:
            raise _no_channel(channel)
        stream = user.get("stream") if isinstance(user, dict) else None
        if not isinstance(stream, dict) or stream.get("type") not in (None, "live"):
            return None
        return {
            "stream_id": str(stream.get("id") or ""),
            "timestamp": unified_timestamp(stream.get("createdAt")),
        }


def _no_channel(channel: str) -> Rejected:
    return Rejected(
        f"Twitch knows no channel named {channel}.",
        hint="check TWITCH_CHANNEL and TWITCH_CHANNELS",
        code="channel_missing",
    )


def _first_data(data: Any, what: str) -> dict[str, Any]:
    """The first `data` of a GraphQL reply that has one."""
    replies = data if isinstance(data, list) else [data]
    for reply in replies:
        if isinstance(reply, dict) and isinstance(reply.get("data"), dict):
            return dict(reply["data"])
    raise answers.garbage(f"GraphQL's reply about {what} has no data")


def _check_metadata(data: Any, vod_id: str) -> None:
    replies = [r for r in data if isinstance(r, dict)] if isinstance(data, list) else []
    if not replies:
        raise answers.garbage(f"the metadata of VOD {vod_id} is not a list of replies")
    found = [reply["data"].get("video") for reply in replies if isinstance(reply.get("data"), dict)]
    if any(isinstance(video, dict) for video in found):
        return
    if not found or any(reply.get("errors") for reply in replies):
        raise answers.garbage(f"GraphQL reports an error for VOD {vod_id}")
    raise answers.missing(vod_id)


def _check_token(data: Any, vod_id: str) -> None:
    token = _first_data(data, f"VOD {vod_id}").get("videoPlaybackAccessToken")
    if token is None:
        if isinstance(data, dict) and data.get("errors"):
            raise answers.garbage(f"GraphQL reports an error for VOD {vod_id}")
        raise answers.missing(vod_id)
    if not isinstance(token, dict) or not {"value", "signature"} <= token.keys():
        raise answers.garbage(f"the access token of VOD {vod_id} is not one")
