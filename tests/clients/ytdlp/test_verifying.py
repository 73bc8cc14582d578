"""Nothing is called whole that is not: the last look at a file before it gets its name."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.sandbox import media
from vodtender.clients import ffmpeg
from vodtender.clients.ytdlp.extraction import FoundVod
from vodtender.clients.ytdlp.pool import Gone
from vodtender.clients.ytdlp.verifying import Made, verified
from vodtender.clients.ytdlp.workdir import Stored, digests
from vodtender.errors import Transient
from vodtender.model.playlist import MediaPlaylist, Segment

_COUNT = 10
_SECONDS = media.SMALL.seconds


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A file of ten segments, as it is made."""
    directory = tmp_path_factory.mktemp("made")
    stream, path = directory / "stream.ts", directory / "made.video"
    loop = media.loop(media.SMALL)
    stream.write_bytes(b"".join(loop.segment(place) for place in range(_COUNT)))
    subprocess.run(
        ffmpeg.mux_command(
            ffmpeg.find(), container="mpegts", source=str(stream), target=f"file:{path}"
        ),
        check=True,
    )
    segments = _segments(_COUNT)
    vod = FoundVod(
        title="A stream",
        description=None,
        timestamp=None,
        length_seconds=_COUNT * _SECONDS,
        uploader=None,
        uploader_id=None,
        is_live=False,
        playlist_url="https://cdn.example/index.m3u8",
        headers={},
        format_id="chunked",
        bits_per_second=None,
    )
    stored = [Stored(one.key, f"{one.index}.seg", 1, 0, muted=False) for one in segments]
    return Made(path, vod, _playlist(segments), stored, fed_segments=_COUNT, takes_gaps=False)


def _segments(count: int) -> tuple[Segment, ...]:
    return tuple(
        Segment(number, f"https://cdn.example/{number}.ts", _SECONDS, number * _SECONDS)
        for number in range(count)
    )


def _playlist(segments: tuple[Segment, ...]) -> MediaPlaylist:
    return MediaPlaylist(segments, True, len(segments) * _SECONDS)


def test_a_whole_file_is_recorded_as_it_is(whole: Made) -> None:
    record = verified(ffmpeg.find(), whole)
    assert record["size_bytes"] == whole.path.stat().st_size
    assert (record["sha256"], record["crc32"]) == digests(whole.path)
    assert record["duration_seconds"] == pytest.approx(_COUNT * _SECONDS, abs=0.1)
    assert (record["segments"], record["gaps"]) == (_COUNT, [])


def _one_segment_was_not_fed(made: Made) -> Made:
    return replace(made, fed_segments=_COUNT - 1)


def _one_segment_is_gone(made: Made) -> Made:
    """Counted as if it were in the file, which does not make it so."""
    *stored, last = made.playlist.segments
    return replace(made, outcomes=[*made.outcomes[: len(stored)], Gone(last, "HTTP 404")])


def _half_of_the_time_is_missing(made: Made) -> Made:
    segments = _segments(2 * _COUNT)
    outcomes = [*made.outcomes, *made.outcomes]
    return replace(made, playlist=_playlist(segments), outcomes=outcomes, fed_segments=2 * _COUNT)


def _twitch_says_it_is_longer(made: Made) -> Made:
    return replace(made, vod=replace(made.vod, length_seconds=600.0))


@pytest.mark.parametrize(
    ("spoilt", "code"),
    [
        (_one_segment_was_not_fed, "segments_missing"),
        (_one_segment_is_gone, "segments_missing"),
        (_half_of_the_time_is_missing, "file_too_short"),
        (_twitch_says_it_is_longer, "too_short"),
    ],
)
def test_a_file_that_is_not_the_whole_vod_is_refused(
    whole: Made, spoilt: Callable[[Made], Made], code: str
) -> None:
    with pytest.raises(Transient) as caught:
        verified(ffmpeg.find(), spoilt(whole))
    assert caught.value.code == code


def test_a_file_that_does_not_play_is_refused(whole: Made, tmp_path: Path) -> None:
    """Its header is there and tells the right time; what it should show is not."""
    path = tmp_path / "made.video"
    content = bytearray(whole.path.read_bytes())
    begin = content.index(b"mdat") + 4
    end = content.find(b"moov", begin)
    end = len(content) if end < 0 else end - 4
    content[begin:end] = bytes(end - begin)
    path.write_bytes(content)
    with pytest.raises(Transient) as caught:
        verified(ffmpeg.find(), replace(whole, path=path))
    assert caught.value.code == "unplayable"


def test_a_file_without_a_header_is_refused(whole: Made, tmp_path: Path) -> None:
    path = tmp_path / "made.video"
    path.write_bytes(whole.path.read_bytes()[:1000])
    with pytest.raises(Transient) as caught:
        verified(ffmpeg.find(), replace(whole, path=path))
    assert caught.value.code == "unplayable"
