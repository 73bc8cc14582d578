"""Media playlists, read without trust."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vodtender.errors import Transient
from vodtender.model.playlist import ByteRange, Twins, is_muted, muted_url, parse

BASE = "https://cdn.example/abc/chunked/index-dvr.m3u8?token=t"
TWITCH = """#EXTM3U
#EXT-X-VERSION:3
#EXT-X-TARGETDURATION:10
#EXT-X-PLAYLIST-TYPE:EVENT
#EXT-X-TWITCH-TOTAL-SECS:24.500
#EXTINF:10.000,
0.ts
#EXTINF:10.000,
1-unmuted.ts
#EXTINF:4.500,
https://other.example/x/2.ts?sig=1
#EXT-X-ENDLIST
"""


def test_segments_have_their_place_in_time_and_whole_addresses() -> None:
    playlist = parse(TWITCH, BASE)
    assert (playlist.ended, playlist.encrypted, playlist.total_seconds) == (True, False, 24.5)
    assert [segment.url for segment in playlist.segments] == [
        "https://cdn.example/abc/chunked/0.ts",
        "https://cdn.example/abc/chunked/1-unmuted.ts",
        "https://other.example/x/2.ts?sig=1",
    ]
    assert [segment.start_seconds for segment in playlist.segments] == [0, 10, 20]
    assert playlist.segments[2].bare_url == "https://other.example/x/2.ts"


@pytest.mark.parametrize("change", [("\n", "\r\n"), ("#EXTM3U", "\ufeff#EXTM3U"), ("\n", "\n\n")])
def test_line_ends_and_marks_do_not_matter(change: tuple[str, str]) -> None:
    assert parse(TWITCH.replace(*change), BASE) == parse(TWITCH, BASE)


def test_a_segments_key_outlives_its_host_and_token() -> None:
    moved = parse(TWITCH.replace("other.example", "third.example").replace("sig=1", "sig=2"), BASE)
    assert [s.key for s in moved.segments] == [s.key for s in parse(TWITCH, BASE).segments]


def test_a_segments_key_outlives_its_muting() -> None:
    before = parse(TWITCH.replace("1-unmuted.ts", "1.ts"), BASE)
    after = parse(TWITCH.replace("1-unmuted.ts", "1-muted.ts"), BASE)
    keys = [[s.key for s in one.segments] for one in (before, parse(TWITCH, BASE), after)]
    assert keys[0] == keys[1] == keys[2]


def test_segments_that_only_their_query_tells_apart_have_keys_of_their_own() -> None:
    text = "#EXTM3U\n" + "".join(f"#EXTINF:2,\nget?n={n}&t={{0}}\n" for n in range(3))
    first, later = (parse(text.format(token), BASE) for token in "ab")
    assert len({segment.key for segment in first.segments}) == 3
    assert [s.key for s in first.segments] == [s.key for s in later.segments]


def test_twins_have_the_same_key() -> None:
    first = parse(TWITCH, BASE)
    cut = parse(TWITCH.replace("#EXTINF:10.000,\n0.ts\n", ""), BASE)
    assert Twins(first, cut).of(first.segments[0]) is None
    found = Twins(first, cut).of(first.segments[2])
    assert found is not None
    assert found.url == first.segments[2].url


def test_where_all_paths_are_new_twins_have_the_same_place() -> None:
    text = TWITCH.replace("https://other.example/", "")
    earlier, later = parse(text, BASE), parse(text, BASE.replace("abc", "other-token"))
    twins = Twins(earlier, later)
    assert [twins.of(segment) for segment in earlier.segments] == list(later.segments)
    otherwise = parse(text.replace("4.500", "4.600"), BASE.replace("abc", "other-token"))
    assert Twins(earlier, otherwise).of(earlier.segments[0]) is None


def test_without_endlist_it_is_still_being_recorded() -> None:
    assert not parse(TWITCH.replace("#EXT-X-ENDLIST\n", ""), BASE).ended
    assert parse("#EXTM3U\n", BASE).segments == ()


def test_init_sections_hold_until_the_next() -> None:
    text = """#EXTM3U
#EXT-X-MAP:URI="init-0.mp4"
#EXTINF:2,
0.mp4
#EXTINF:2,
1.mp4
#EXT-X-DISCONTINUITY
#EXT-X-MAP:URI="init-2.mp4",BYTERANGE="700@10"
#EXTINF:2,
2.mp4
#EXT-X-ENDLIST
"""
    first, second, third = parse(text, BASE).segments
    assert first.init_url == second.init_url == "https://cdn.example/abc/chunked/init-0.mp4"
    assert (first.init_key == second.init_key, second.init_key == third.init_key) == (True, False)
    assert third.init_range == ByteRange(10, 700)
    assert [one.discontinuity for one in (first, second, third)] == [False, False, True]


def test_byte_ranges_go_on_where_the_last_ended() -> None:
    text = "#EXTM3U\n#EXT-X-BYTERANGE:100@50\n#EXTINF:2,\na.ts\n#EXT-X-BYTERANGE:30\n"
    first, second = parse(text + "#EXTINF:2,\na.ts\n#EXT-X-ENDLIST\n", BASE).segments
    assert first.byte_range is not None
    assert second.byte_range is not None
    assert (first.byte_range.header, second.byte_range.header) == ("bytes=50-149", "bytes=150-179")
    assert first.key != second.key


def test_encryption_is_noticed() -> None:
    key = '#EXT-X-KEY:METHOD=AES-128,URI="key"\n#EXTINF:10.000,\n0.ts'
    assert parse(TWITCH.replace("#EXTINF:10.000,\n0.ts", key), BASE).encrypted


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<html></html>",
        "{}",
        "#EXTM3U\n#EXT-X-ENDLIST\n",
        "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nx.m3u8\n",
        "#EXTM3U\n0.ts\n#EXT-X-ENDLIST\n",
        "#EXTM3U\n#EXTINF:2,\n0.ts\n#EXTINF:2,\n",
        "#EXTM3U\n#EXTINF:nan,\n0.ts\n",
        "#EXTM3U\n#EXTINF:-1,\n0.ts\n",
        "#EXTM3U\n#EXTINF:x,\n0.ts\n",
        "#EXTM3U\n#EXTINF:2,\nfile:///etc/passwd\n",
        "#EXTM3U\n#EXTINF:2,\nhttps://[::1/0.ts\n",
        "#EXTM3U\n#EXT-X-BYTERANGE:0@0\n#EXTINF:2,\n0.ts\n",
        "#EXTM3U\n#EXT-X-BYTERANGE:5\n#EXTINF:2,\n0.ts\n",
        "#EXTM3U\n#EXT-X-MAP:BYTERANGE=1\n",
    ],
)
def test_what_is_no_playlist_is_worth_another_try(text: str) -> None:
    with pytest.raises(Transient) as caught:
        parse(text, BASE)
    assert caught.value.code == "garbage_playlist"


@given(st.text(max_size=300))
def test_no_text_breaks_the_reader(text: str) -> None:
    for whole in (text, f"#EXTM3U\n#EXTINF:1,\n{text}", f"#EXTM3U\n#EXT-X-MAP:{text}"):
        try:
            parse(whole, BASE)
        except Transient as answer:
            assert answer.code == "garbage_playlist"  # noqa: PT017


@pytest.mark.parametrize(
    ("url", "muted"),
    [
        ("https://c/x/1-unmuted.ts", "https://c/x/1-muted.ts"),
        ("https://c/x-unmuted/1-unmuted.ts?a=-unmuted.ts", "https://c/x-unmuted/1-muted.ts?a=-unmuted.ts"),
        ("https://c/x/1-unmuted.mp4", "https://c/x/1-muted.mp4"),
        ("https://c/x/1.ts", None),
        ("https://c/x/1-muted.ts", None),
        ("https://c/x/1.ts?n=1-unmuted.ts", None),
    ],
)  # fmt: skip
def test_the_muted_twin_of_a_segment(url: str, muted: str | None) -> None:
    assert muted_url(url) == muted
    assert is_muted(muted or "https://c/x/1-muted.ts?t=1")
    assert is_muted(url) == url.endswith("-muted.ts")
