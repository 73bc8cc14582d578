"""What people paste to name a VOD or a video."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vodtender.errors import UsageError
from vodtender.model.reference import WATCH_URL, parse_video_reference, parse_vod_reference


class TestVods:
    @pytest.mark.parametrize(
        "text",
        [
            "123",
            "v123",
            " 123\n",
            "https://www.twitch.tv/videos/123",
            "https://www.twitch.tv/videos/123?t=1h2m3s&filter=archives",
            "https://www.twitch.tv/videos/123/#chat",
            "http://twitch.tv/videos/v123",
            "HTTPS://WWW.TWITCH.TV/videos/123",
            "www.twitch.tv/videos/123",
            "https://m.twitch.tv/videos/123",
            "https://go.twitch.tv/videos/123",
            "https://www.twitch.tv/alice/video/123",
            "https://www.twitch.tv/alice/v/123?sr=a",
            "https://player.twitch.tv/?video=123&parent=example.org",
            "https://player.twitch.tv/?t=5m10s&video=v123",
            "https://www.twitch.tv/alice/schedule?vodID=123",
            "alice/v/123",
            "videos/123",
        ],
    )
    def test_whatever_people_paste_gives_the_bare_id(self, text: str) -> None:
        assert parse_vod_reference(text) == "123"

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "v",
            "0",
            "0123",
            "-123",
            "12 3",
            "１２３",
            "1" * 20,
            "alice",
            "https://www.twitch.tv/alice",
            "https://www.twitch.tv/videos/",
            "https://www.twitch.tv/videos/abc",
            "https://www.twitch.tv/videos/123abc",
            "https://www.twitch.tv/collections/123",
            "https://clips.twitch.tv/123",
            "https://www.twitch.tv/alice/clip/123",
            "https://player.twitch.tv/?channel=alice",
            "https://example.org/videos/123",
            "https://www.twitch.tv@example.org/videos/123",
            "https://www.twitch.tv.example.org/videos/123",
            "ftp://www.twitch.tv/videos/123",
            "https://[::1/videos/123",
            "file:///videos/123",
        ],
    )
    def test_anything_else_is_refused_with_what_to_type(self, text: str) -> None:
        with pytest.raises(UsageError) as caught:
            parse_vod_reference(text)
        assert "https://www.twitch.tv/videos/" in caught.value.hint

    @pytest.mark.parametrize(
        "text",
        [
            "https://clips.twitch.tv/FunnySlug-abc",
            "clips.twitch.tv/FunnySlug",
            "https://www.twitch.tv/alice/clip/FunnySlug?filter=clips",
            "https://m.twitch.tv/alice/clip/FunnySlug",
        ],
    )
    def test_a_clip_is_called_a_clip(self, text: str) -> None:
        with pytest.raises(UsageError, match="it is a clip, and only whole VODs are carried"):
            parse_vod_reference(text)

    @settings(deadline=None)
    @given(st.text())
    def test_no_text_breaks_it_or_puts_control_characters_on_a_terminal(self, text: str) -> None:
        try:
            said = parse_vod_reference(text)
        except UsageError as error:
            said = error.message
        assert said.isprintable()
        assert said.isascii()


class TestVideos:
    ID = "dQw4w9WgX-_"

    @pytest.mark.parametrize(
        "text",
        [
            ID,
            f" {ID}\n",
            WATCH_URL.format(ID),
            f"https://www.youtube.com/watch?t=5&v={ID}&list=PL1#x",
            f"http://youtube.com/watch/?v={ID}",
            f"m.youtube.com/watch?v={ID}",
            f"https://music.youtube.com/watch?v={ID}",
            f"https://youtu.be/{ID}?si=abc",
            f"youtu.be/{ID}",
            f"https://www.youtube.com/live/{ID}?feature=share",
            f"https://www.youtube.com/shorts/{ID}",
            f"https://www.youtube.com/embed/{ID}/",
            f"https://studio.youtube.com/video/{ID}/edit",
        ],
    )
    def test_whatever_people_paste_gives_the_bare_id(self, text: str) -> None:
        assert parse_video_reference(text) == self.ID

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "short",
            ID + "x",
            f"https://www.youtube.com/watch?list={ID}",
            "https://www.youtube.com/@alice",
            f"https://www.youtube.com/watch?v={ID}x",
            f"https://example.org/watch?v={ID}",
            f"https://www.youtube.com@example.org/watch?v={ID}",
            f"ftp://youtu.be/{ID}",
            "https://youtu.be/",
            "https://[::1",
            "https://www.twitch.tv/videos/123",
        ],
    )
    def test_anything_else_is_refused_with_what_to_type(self, text: str) -> None:
        with pytest.raises(UsageError) as caught:
            parse_video_reference(text)
        assert "https://www.youtube.com/watch?v=ID" in caught.value.hint

    @settings(deadline=None)
    @given(st.text())
    def test_no_text_breaks_it_or_puts_control_characters_on_a_terminal(self, text: str) -> None:
        try:
            said = parse_video_reference(text)
        except UsageError as error:
            said = error.message
        assert said.isprintable()
        assert said.isascii()
