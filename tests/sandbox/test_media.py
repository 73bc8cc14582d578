"""Segments made from one loop play as one continuous stream."""

from __future__ import annotations

import itertools
import subprocess
from pathlib import Path

import pytest

from tests.sandbox import media
from tests.sandbox.media import Form

FORMS = [
    Form(),
    Form(silent=True),
    Form(fill_bytes=500_000),
    Form(codec="none"),
    Form(container="fmp4"),
    Form(container="fmp4", codec="hevc"),
]


def _steps(path: Path) -> dict[str, set[int]]:
    """Stream → the distances between its frames, in its own ticks, by ffmpeg."""
    command = [media.ffmpeg(), "-v", "warning", "-i", str(path)]
    done = subprocess.run(
        [*command, "-c", "copy", "-f", "framecrc", "-"], capture_output=True, text=True, check=True
    )
    assert not done.stderr
    times: dict[str, list[int]] = {}
    for line in done.stdout.splitlines():
        if not line.startswith("#"):
            stream, dts = line.split(",")[:2]
            times.setdefault(stream, []).append(int(dts))
    return {s: {b - a for a, b in itertools.pairwise(t)} for s, t in times.items()}


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_a_stream_has_no_gap_and_no_overlap(form: Form, tmp_path: Path) -> None:
    loop = media.loop(form)
    file = tmp_path / "stream"
    file.write_bytes(loop.init + b"".join(loop.segment(place) for place in range(20)))
    steps = _steps(file)
    assert len(steps) == (1 if form.codec == "none" else 2)
    assert all(len(distances) == 1 for distances in steps.values())


def test_filling_makes_segments_of_the_size_asked_for() -> None:
    size = len(media.loop(Form(fill_bytes=500_000)).base)
    assert 500_000 <= size <= 550_000


def test_segments_are_whole_packets_and_padding_keeps_them_playable(tmp_path: Path) -> None:
    loop = media.loop(media.SMALL)
    segments = [loop.segment(place) for place in range(3)]
    for segment in segments:
        media.pad(segment, 400_000)
        assert len(segment) % media.PACKET_BYTES == 0
        assert 399_000 < len(segment) <= 400_000
    file = tmp_path / "padded.ts"
    file.write_bytes(b"".join(segments))
    assert all(len(distances) == 1 for distances in _steps(file).values())


def test_the_same_place_is_the_same_bytes_and_another_place_is_not() -> None:
    loop = media.loop(media.SMALL)
    assert loop.segment(7) == loop.segment(7)
    assert loop.segment(7) != loop.segment(8)
